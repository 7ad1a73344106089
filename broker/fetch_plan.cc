#include "broker/fetch_plan.h"

#include <utility>

namespace millrace {
namespace {

using kafka::KafkaError;

constexpr int16_t kTopicIdVersion = 13;
constexpr int16_t kSessionVersion = 7;

FetchKey KeyOf(const std::string& topic, const Uuid& topic_id, int32_t partition, bool by_id) {
  if (by_id) return {topic_id, "", partition};
  return {std::nullopt, topic, partition};
}

std::optional<LeaderEpoch> Epoch(int32_t epoch) {
  return epoch < 0 ? std::nullopt : std::optional(LeaderEpoch(epoch));
}

std::vector<FetchTarget> TargetsOf(const kafka::FetchRequest& request, bool by_id) {
  std::vector<FetchTarget> targets;
  for (const auto& topic : request.topics) {
    for (const auto& partition : topic.partitions) {
      targets.push_back({KeyOf(topic.topic, topic.topic_id, partition.partition, by_id),
                         partition.fetch_offset, partition.partition_max_bytes,
                         Epoch(partition.current_leader_epoch),
                         Epoch(partition.last_fetched_epoch)});
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

FetchPlan PlanFetch(FetchSessionCache& sessions, const kafka::FetchRequest& request,
                    int16_t version, Instant now, Random& random) {
  const bool by_id = version >= kTopicIdVersion;
  FetchPlan plan;
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
