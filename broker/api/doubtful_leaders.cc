#include "broker/api/doubtful_leaders.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "broker/broker_doubts.h"
#include "broker/life_signs.h"

namespace millrace {
namespace {

static_assert(kElectionWait < BrokerDoubts::kDoubtMax);

// Whether a broker in doubt still counts as alive: it leads what it led.
bool AwaitsFencing(const Broker& broker) {
  return std::ranges::any_of(broker.image()->brokers(), [&](const auto& one) {
    return !one.second.fenced && IsDoubtful(broker, one.second);
  });
}

std::vector<BrokerId> LivingOthers(const Broker& broker) {
  std::vector<BrokerId> others;
  for (const auto& [id, other] : broker.image()->brokers()) {
    if (!other.fenced && other.id != broker.options.node_id) others.push_back(other.id);
  }
  return others;
}

}  // namespace

bool IsDoubtful(const Broker& broker, const BrokerImage& other) {
  return broker.doubts != nullptr && broker.doubts->IsDoubtful(other, broker.env.reactor.Now());
}

bool HasDoubtfulLeader(const Broker& broker, const MetadataImage& image,
                       const PartitionImage& partition) {
  const BrokerImage* known =
      partition.leader.has_value() ? image.FindBroker(*partition.leader) : nullptr;
  return known != nullptr && IsDoubtful(broker, *known);
}

Task<void> AwaitElections(Broker* broker, const std::function<bool()>* concerns_answer) {
  if (broker->doubts == nullptr || broker->life_signs == nullptr) co_return;
  const Instant until = broker->env.reactor.Now() + kElectionWait;
  co_await broker->life_signs->HearFrom(LivingOthers(*broker), until);
  if (!broker->doubts->HasAny(broker->env.reactor.Now())) co_return;
  for (bool waits = (*concerns_answer)(); waits;
       waits = AwaitsFencing(*broker) || (*concerns_answer)()) {
    if (co_await broker->metadata.published().Wait(until) == WaitResult::kTimedOut) break;
  }
}

}  // namespace millrace
