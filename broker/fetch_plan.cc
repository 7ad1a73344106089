#include "broker/fetch_plan.h"

#include <map>
#include <string_view>
#include <tuple>
#include <utility>

namespace millrace {
namespace {

using kafka::KafkaError;

constexpr int16_t kTopicIdVersion = 13;
constexpr int16_t kSessionVersion = 7;
constexpr int8_t kReadCommitted = 1;
// Of a partition that is waited for, beside its target: its id and the offset that is news, a
// waiter, and the waiter's place at the partition.
constexpr size_t kWaiterBytes = 160;

FetchKey KeyOf(const std::string& topic, const Uuid& topic_id, int32_t partition, bool by_id) {
  if (by_id) return {topic_id, "", partition};
  return {std::nullopt, topic, partition};
}

std::optional<LeaderEpoch> Epoch(int32_t epoch) {
  return epoch < 0 ? std::nullopt : std::optional(LeaderEpoch(epoch));
}

std::vector<FetchTarget> TargetsOf(const kafka::FetchRequest& request, bool by_id) {
  std::vector<FetchTarget> targets;
  // By what the request holds, so that a mention costs nothing before it is known to be the first.
  std::map<std::tuple<Uuid, std::string_view, int32_t>, size_t> places;
  for (const auto& topic : request.topics) {
    for (const auto& partition : topic.partitions) {
      const auto [place, first] = places.try_emplace(
          by_id ? std::tuple(topic.topic_id, std::string_view(), partition.partition)
                : std::tuple(Uuid(0, 0), std::string_view(topic.topic), partition.partition),
          targets.size());
      FetchTarget target = {KeyOf(topic.topic, topic.topic_id, partition.partition, by_id),
                            partition.fetch_offset, partition.partition_max_bytes,
                            Epoch(partition.current_leader_epoch),
                            Epoch(partition.last_fetched_epoch)};
      if (first) {
        targets.push_back(std::move(target));
      } else {
        targets[place->second] = std::move(target);
      }
    }
  }
  return targets;
}

KafkaError ToError(FetchSessionCache::Refusal refusal) {
  switch (refusal) {
    case FetchSessionCache::Refusal::kNone:
      return KafkaError::kNone;
    case FetchSessionCache::Refusal::kNotFound:
      return KafkaError::kFetchSessionIdNotFound;
    case FetchSessionCache::Refusal::kWrongEpoch:
      return KafkaError::kInvalidFetchSessionEpoch;
    case FetchSessionCache::Refusal::kTopicIdMismatch:
      return KafkaError::kFetchSessionTopicIdError;
  }
  return KafkaError::kUnknownServerError;
}

}  // namespace

size_t FetchPlan::waiting_bytes() const {
  size_t bytes = rack.size() + targets.size() * (sizeof(FetchTarget) + kWaiterBytes);
  for (const FetchTarget& target : targets) bytes += target.key.topic.size();
  return bytes;
}

FetchPlan PlanFetch(FetchSessionCache& sessions, const kafka::FetchRequest& request,
                    int16_t version, Instant now, Random& random) {
  const bool by_id = version >= kTopicIdVersion;
  FetchPlan plan;
  plan.wait_ms_max = request.max_wait_ms;
  plan.bytes_min = request.min_bytes;
  plan.bytes_max = request.max_bytes;
  plan.read_committed = request.isolation_level == kReadCommitted;
  plan.rack = request.rack_id;
  std::vector<FetchTarget> named = TargetsOf(request, by_id);
  if (version < kSessionVersion || request.session_epoch <= 0) {
    // A full fetch; it ends the session it names, and epoch 0 asks for a new one.
    if (request.session_id != 0) sessions.Close(request.session_id);
    if (version >= kSessionVersion && request.session_epoch == 0 && !named.empty()) {
      plan.session = sessions.Create(named, by_id, now, [&random] { return random.Next(); });
    }
    plan.targets = std::move(named);
    return plan;
  }
  FetchSessionCache::Refusal refusal = FetchSessionCache::Refusal::kNone;
  plan.session = sessions.Continue(request.session_id, request.session_epoch, by_id, now, &refusal);
  if (plan.session == nullptr) {
    plan.error = ToError(refusal);
    return plan;
  }
  const size_t before = plan.session->size();
  for (FetchTarget& target : named) plan.session->Put(std::move(target));
  for (const auto& topic : request.forgotten_topics_data) {
    for (int32_t partition : topic.partitions) {
      plan.session->Forget(KeyOf(topic.topic, topic.topic_id, partition, by_id));
    }
  }
  if (!sessions.Resized(*plan.session, before)) {
    // The client makes a full fetch then, and is answered without a session if that is too large.
    plan.session = nullptr;
    plan.error = KafkaError::kFetchSessionIdNotFound;
    return plan;
  }
  plan.incremental = true;
  plan.targets = plan.session->Targets();
  return plan;
}

}  // namespace millrace
