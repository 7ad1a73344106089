#include "broker/api/doubtful_leaders.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "broker/broker_doubts.h"
#include "broker/life_signs.h"

namespace millrace {
namespace {

// What was in doubt when it was waited for is so when the answer is made.
static_assert(LifeSigns::kPatience + kElectionWait < BrokerDoubts::kDoubtMax);

// Whether a broker in doubt still counts as alive: it leads what it led.
bool AwaitsFencing(const Broker& broker) {
  return std::ranges::any_of(broker.image()->brokers(), [&](const auto& one) {
    return !one.second.fenced && IsDoubtful(broker, one.second);
  });
}

}  // namespace

bool IsDoubtful(const Broker& broker, const BrokerImage& other) {
  return broker.doubts != nullptr && broker.doubts->IsDoubtful(other, broker.env.reactor.Now());
}

bool IsDoubtful(const Broker& broker, const std::optional<BrokerId>& leader) {
  const BrokerImage* known = leader.has_value() ? broker.image()->FindBroker(*leader) : nullptr;
  return known != nullptr && IsDoubtful(broker, *known);
}

std::vector<BrokerId> LivingOthers(const Broker& broker) {
  std::vector<BrokerId> others;
  for (const auto& [id, other] : broker.image()->brokers()) {
    if (!other.fenced && other.id != broker.options.node_id) others.push_back(other.id);
  }
  return others;
}

void AddLeader(const Broker& broker, const PartitionImage& partition,
               std::vector<BrokerId>* leaders) {
  if (!partition.leader.has_value() || *partition.leader == broker.options.node_id) return;
  if (std::ranges::find(*leaders, *partition.leader) == leaders->end()) {
    leaders->push_back(*partition.leader);
  }
}

Task<void> AwaitElections(Broker* broker, std::vector<BrokerId> leaders,
                          const std::function<bool()>* concerns_answer, CancellationToken cancel) {
  if (broker->doubts == nullptr || broker->life_signs == nullptr) co_return;
  co_await broker->life_signs->HearFrom(std::move(leaders), cancel);
  if (!broker->doubts->HasAny(broker->env.reactor.Now())) co_return;
  const Instant until = broker->env.reactor.Now() + kElectionWait;
  for (bool waits = (*concerns_answer)(); waits;
       waits = AwaitsFencing(*broker) || (*concerns_answer)()) {
    const WaitResult result = co_await broker->metadata.published().Wait(until, cancel);
    if (result != WaitResult::kSignalled) break;
  }
}

}  // namespace millrace
