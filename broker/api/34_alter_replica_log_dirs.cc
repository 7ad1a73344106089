// AlterReplicaLogDirs (key 34), versions 1 to 2. Moves replicas between the log directories of this
// broker.
//
// Promises: the answer comes when the move has begun; DescribeLogDirs tells of its progress. Asking
//           for the directory where the replica is ends a move. For a replica that does not exist
//           here the directory is remembered, and it is made there when it comes.
// Errors:   per partition, in this order: LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR (either directory
//           is offline), UNKNOWN_TOPIC_OR_PARTITION, REPLICA_NOT_AVAILABLE (it is not here; yet).
// Source:   KIP-113.
#include <fmt/format.h>

#include <map>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "broker/on_shard.h"
#include "common/status_macros.h"
#include "proto/kafka/alter_replica_log_dirs_request.h"
#include "proto/kafka/alter_replica_log_dirs_response.h"

namespace millrace {
namespace {

using kafka::AlterReplicaLogDirsRequest;
using kafka::AlterReplicaLogDirsResponse;
using kafka::KafkaError;

constexpr size_t kTopicNameMax = 249;

KafkaError CheckTarget(Broker& broker, const std::string& path) {
  for (const LogDirectoryStatus& directory : broker.store.directories()) {
    if (directory.path != path) continue;
    return directory.failure.ok() ? KafkaError::kNone : KafkaError::kKafkaStorageError;
  }
  return KafkaError::kLogDirNotFound;
}

Task<absl::Status> MoveThere(Broker* there, TopicPartitionId id, std::string path) {
  MR_CO_RETURN_IF_ERROR(there->store.OfflineCause(id));
  co_return co_await there->store.Move(id, std::move(path));
}

Task<bool> PreferThere(Broker* there, std::string topic, PartitionId partition, std::string path) {
  co_return there->store.PreferDirectory(std::move(topic), partition, std::move(path));
}

Task<KafkaError> Alter(Broker* broker, std::string topic, int32_t partition, std::string path) {
  if (topic.size() > kTopicNameMax) co_return KafkaError::kInvalidTopicException;
  if (KafkaError target = CheckTarget(*broker, path); target != KafkaError::kNone) {
    co_return target;
  }
  const PartitionId number(partition);
  MetadataImage::Topic known = broker->image()->FindTopic(topic);
  const bool exists = partition >= 0 && known != nullptr && known->Find(number) != nullptr;
  if (exists) {
    const TopicPartitionId id{known->topic_id, number};
    absl::Status moved = co_await OnShard<absl::Status>(
        broker, broker->shards.Of(id),
        [id, path](Broker& there) { return MoveThere(&there, id, path); });
    if (moved.ok()) co_return KafkaError::kNone;
    if (!absl::IsNotFound(moved)) co_return ToKafkaError(moved);
  }
  if (partition >= 0) {
    (void)co_await ForEachShard<bool>(broker, [topic, number, path](Broker& there) {
      return PreferThere(&there, topic, number, path);
    });
  }
  co_return exists ? KafkaError::kReplicaNotAvailable : KafkaError::kUnknownTopicOrPartition;
}

}  // namespace

Task<ApiReply> HandleAlterReplicaLogDirs(Broker* broker, ApiRequest request) {
  absl::StatusOr<AlterReplicaLogDirsRequest> body = DecodeBody<AlterReplicaLogDirsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  // A partition that is named under several directories goes to the last one, as with Kafka.
  std::map<std::string, std::map<int32_t, std::string>> targets;
  for (const auto& directory : body->dirs) {
    for (const auto& topic : directory.topics) {
      for (int32_t partition : topic.partitions) {
        targets[topic.name][partition] = directory.path;
      }
    }
  }
  AlterReplicaLogDirsResponse response;
  for (const auto& [topic, partitions] : targets) {
    auto& result = response.results.emplace_back();
    result.topic_name = topic;
    for (const auto& [partition, path] : partitions) {
      const KafkaError error = co_await Alter(broker, topic, partition, path);
      result.partitions.push_back({partition, ErrorCode(error)});
    }
  }
  co_return Reply(request, response);
}

}  // namespace millrace
