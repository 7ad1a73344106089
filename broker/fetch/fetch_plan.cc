#include "broker/fetch/fetch_plan.h"

#include <algorithm>
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

std::optional<LeaderEpoch> Epoch(int32_t epoch) {
  return epoch < 0 ? std::nullopt : std::optional(LeaderEpoch(epoch));
}

// Gives every topic of a request a number and its name once, whatever the request says how often.
class Topics {
 public:
  explicit Topics(bool by_id) : by_id_(by_id) {}

  // `topic` outlives this.
  template <typename Topic>
  size_t Number(const Topic& topic) {
    // Names too long to be a topic's are not compared, which would cost as much as they are long.
    if (!by_id_ && topic.topic.size() > kTopicNameBytesMax) return Add(topic);
    const auto [place, first] =
        numbers_.try_emplace(by_id_ ? std::tuple(topic.topic_id, std::string_view())
                                    : std::tuple(Uuid(0, 0), std::string_view(topic.topic)),
                             topics_.size());
    return first ? Add(topic) : place->second;
  }
  FetchKey Key(size_t number, int32_t partition) const {
    FetchKey key = topics_[number];
    key.partition = partition;
    return key;
  }

 private:
  template <typename Topic>
  size_t Add(const Topic& topic) {
    topics_.push_back(by_id_ ? FetchKey{topic.topic_id, SharedName(), 0}
                             : FetchKey{std::nullopt, SharedName(topic.topic), 0});
    return topics_.size() - 1;
  }

  const bool by_id_;
  std::map<std::tuple<Uuid, std::string_view>, size_t> numbers_;
  std::vector<FetchKey> topics_;
};

std::vector<FetchTarget> TargetsOf(const kafka::FetchRequest& request, Topics& topics) {
  std::vector<FetchTarget> targets;
  std::map<std::pair<size_t, int32_t>, size_t> places;
  for (const auto& topic : request.topics) {
    const size_t number = topics.Number(topic);
    for (const auto& partition : topic.partitions) {
      const auto [place, first] = places.try_emplace({number, partition.partition}, targets.size());
      if (first) targets.emplace_back().key = topics.Key(number, partition.partition);
      FetchTarget& target = targets[place->second];
      target.fetch_offset = partition.fetch_offset;
      target.bytes_max = partition.partition_max_bytes;
      target.current_leader_epoch = Epoch(partition.current_leader_epoch);
      target.last_fetched_epoch = Epoch(partition.last_fetched_epoch);
    }
  }
  return targets;
}

bool AllMayExist(const std::vector<FetchTarget>& targets) {
  return std::ranges::all_of(
      targets, [](const FetchTarget& target) { return target.key.topic.may_exist(); });
}

// Whether the bounds of all sessions allow what the request changes in `session`.
bool Change(FetchSessionCache& sessions, FetchSession& session, const kafka::FetchRequest& request,
            Topics& topics, std::vector<FetchTarget> named) {
  if (!AllMayExist(named)) {
    sessions.Close(session.id());
    return false;
  }
  const FetchSessionSize before{session.size(), session.name_bytes()};
  for (FetchTarget& target : named) session.Put(std::move(target));
  for (const auto& topic : request.forgotten_topics_data) {
    const size_t number = topics.Number(topic);
    for (int32_t partition : topic.partitions) session.Forget(topics.Key(number, partition));
  }
  return sessions.Resized(session, before);
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

size_t FetchPlan::name_bytes() const {
  size_t bytes = 0;
  const SharedName* last = nullptr;
  for (const FetchTarget& target : targets) {
    if (last == nullptr || *last != target.key.topic) bytes += target.key.topic.size();
    last = &target.key.topic;
  }
  return bytes;
}

size_t FetchPlan::waiting_bytes() const {
  return rack.size() + name_bytes() + targets.size() * kPlanBytesOfPartition;
}

size_t PlanBytes(const FetchSessionCache& sessions, const kafka::FetchRequest& request,
                 int16_t version) {
  size_t bytes = request.rack_id.size();
  size_t partitions = 0;
  for (const auto& topic : request.topics) {
    bytes += topic.topic.size();
    partitions += topic.partitions.size();
  }
  if (version >= kSessionVersion && request.session_epoch > 0) {
    partitions += sessions.PartitionsOf(request.session_id);
  }
  return bytes + partitions * kPlanBytesOfPartition;
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
  Topics topics(by_id);
  std::vector<FetchTarget> named = TargetsOf(request, topics);
  if (version < kSessionVersion || request.session_epoch <= 0) {
    // A full fetch; it ends the session it names, and epoch 0 asks for a new one.
    if (request.session_id != 0) sessions.Close(request.session_id);
    if (version >= kSessionVersion && request.session_epoch == 0 && !named.empty() &&
        AllMayExist(named)) {
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
  if (!Change(sessions, *plan.session, request, topics, std::move(named))) {
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
