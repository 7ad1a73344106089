// What the group APIs share: which partition of __consumer_offsets coordinates a group, and the way
// to its coordinator on this broker.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/api/api_support.h"
#include "broker/broker.h"
#include "broker/coordinator/group_service.h"
#include "broker/groups/coordinator_hash.h"
#include "common/runtime/task_scope.h"

namespace millrace {

// The wire's negative generation (or epoch) says that there is none.
inline std::optional<GenerationId> GenerationFromWire(int32_t generation) {
  return generation < 0 ? std::nullopt : std::optional(GenerationId(generation));
}

inline std::string TextOf(const Slice& bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}
inline Slice BytesOf(const std::string& text) {
  return Slice::Copy({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

// READ (3), DELETE (6), DESCRIBE (8), DESCRIBE_CONFIGS (10), ALTER_CONFIGS (11): what may be done to
// a group where there is no authorizer.
inline constexpr int32_t kAllGroupOperations =
    (1 << 3) | (1 << 6) | (1 << 8) | (1 << 10) | (1 << 11);

// Consumer groups of the new protocol are served from this level of group.version on.
inline bool ServesConsumerGroups(const MetadataImage& image) {
  return image.feature_level("group.version") >= 1;
}

// NOT_COORDINATOR while the topic does not exist: whoever asks for the coordinator makes it.
inline std::expected<TopicPartitionId, kafka::KafkaError> CoordinatorOf(const Broker& broker,
                                                                        const std::string& group) {
  static const std::string kTopic(kGroupsTopic);
  const MetadataImage::Topic topic = broker.image()->FindTopic(kTopic);
  if (topic == nullptr) return std::unexpected(kafka::KafkaError::kNotCoordinator);
  return TopicPartitionId{
      topic->topic_id,
      CoordinatorPartitionOf(group, static_cast<int32_t>(topic->partitions.size()))};
}

template <typename T>
using CoordinatorWork = std::function<Task<T>(GroupService& groups, CancellationToken cancel)>;

// Runs `work` on the shard that `at` belongs to. What it refers to is kept by the caller.
template <typename T>
Task<T> AtCoordinator(Broker* broker, TopicPartitionId at, CancellationToken cancel,
                      CoordinatorWork<T> work) {
  const ShardId here = broker->env.reactor.shard();
  const ShardId to = broker->shards.Of(at);
  if (to == here) co_return co_await work(*broker->groups, cancel);
  Broker* there = broker->shards.at(to);
  co_return co_await broker->shards.calls().CallUntil<T>(
      here, to, cancel,
      [there, &work](CancellationToken token) { return work(*there->groups, token); });
}

}  // namespace millrace
