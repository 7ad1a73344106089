#include "broker/control/directory_reporter.h"

#include <algorithm>
#include <utility>

#include "broker/control/controller_question.h"
#include "broker/kafka_error.h"
#include "controller/image/metadata_image.h"
#include "proto/kafka/assign_replicas_to_dirs_request.h"
#include "proto/kafka/assign_replicas_to_dirs_response.h"

namespace millrace {
namespace {

using kafka::KafkaError;

constexpr int16_t kVersion = 0;

// Taken note of; or there is no such replica any more, which the metadata will say. A replica that
// cannot be spared now is not given up later, when this broker may think otherwise.
bool IsDecided(int16_t error_code, const DirectoryId& directory) {
  if (directory == kLostDirectory) return true;
  switch (static_cast<KafkaError>(error_code)) {
    case KafkaError::kNone:
    case KafkaError::kUnknownTopicId:
    case KafkaError::kUnknownTopicOrPartition:
    case KafkaError::kNotLeaderOrFollower:
      return true;
    default:
      return false;
  }
}

}  // namespace

DirectoryReporter::DirectoryReporter(Env& env, ControllerRequests& requests,
                                     DirectoryReporterOptions options)
    : options_(std::move(options)),
      env_(env),
      requests_(requests),
      changed_(env.reactor),
      scope_(env.reactor) {}

Task<void> DirectoryReporter::Stop() {
  co_await scope_.Stop();
  pending_.clear();
}

Task<void> DirectoryReporter::NoteDirectory(TopicPartitionId id, DirectoryId directory) {
  if (scope_.stopping()) co_return;
  pending_.insert_or_assign(id, directory);
  changed_.Pulse();
}

DirectoryReporter::Directories DirectoryReporter::NextBatch() const {
  const auto count = std::min(pending_.size(), options_.partitions_max);
  return {pending_.begin(), std::next(pending_.begin(), static_cast<ptrdiff_t>(count))};
}

Task<void> DirectoryReporter::Run() {
  Duration pause = options_.retry_min;
  size_t open_before = 0;  // Said once for each number.
  while (!scope_.stopping()) {
    if (pending_.empty()) {
      (void)co_await changed_.Wait(std::nullopt, scope_.token());
      continue;
    }
    co_await Yield(env_.reactor);  // What this turn brings comes along.
    const Directories batch = NextBatch();
    const std::set<TopicPartitionId> decided = co_await Ask(batch);
    for (const TopicPartitionId& id : decided) {
      // Unless the replica has been put elsewhere meanwhile.
      auto asked = batch.find(id);
      auto found = pending_.find(id);
      if (asked != batch.end() && found != pending_.end() && found->second == asked->second) {
        pending_.erase(found);
      }
    }
    const size_t open = batch.size() - decided.size();
    if (open == 0) {
      pause = options_.retry_min;
      env_.logger.Info("the controller knows the log directories of {} replicas more",
                       batch.size());
      open_before = 0;
      continue;
    }
    if (open != open_before) {
      env_.logger.Warning(
          "the controller does not take note yet of the log directories of {} replicas: they stay "
          "out of the ISR. It is asked again",
          open);
      open_before = open;
    }
    (void)co_await Sleep(env_.reactor, pause, scope_.token());
    pause = std::min(pause * 2, options_.retry_max);
  }
}

Task<std::set<TopicPartitionId>> DirectoryReporter::Ask(Directories batch) {
  std::set<TopicPartitionId> decided;
  const std::optional<BrokerEpoch> epoch = options_.epoch();
  if (!epoch.has_value()) co_return decided;
  kafka::AssignReplicasToDirsRequest request;
  request.broker_id = options_.self.value();
  request.broker_epoch = epoch->value();
  std::map<DirectoryId, std::map<TopicId, std::vector<PartitionId>>> directories;
  for (const auto& [id, directory] : batch) {
    directories[directory][id.topic_id].push_back(id.partition);
  }
  for (const auto& [directory, topics] : directories) {
    auto& to = request.directories.emplace_back();
    to.id = directory;
    for (const auto& [topic, partitions] : topics) {
      auto& named = to.topics.emplace_back();
      named.topic_id = topic;
      for (PartitionId partition : partitions) {
        named.partitions.emplace_back().partition_index = partition.value();
      }
    }
  }
  absl::StatusOr<kafka::AssignReplicasToDirsResponse> response =
      co_await AskWithKafka<kafka::AssignReplicasToDirsResponse>(&requests_, std::move(request),
                                                                 kVersion);
  if (!response.ok() || response->error_code != 0) co_return decided;
  for (const auto& directory : response->directories) {
    for (const auto& topic : directory.topics) {
      for (const auto& partition : topic.partitions) {
        const TopicPartitionId id{topic.topic_id, PartitionId(partition.partition_index)};
        auto asked = batch.find(id);
        if (asked != batch.end() && IsDecided(partition.error_code, asked->second)) {
          decided.insert(id);
        }
      }
    }
  }
  co_return decided;
}

Task<void> RemoteDirectoryReports::NoteDirectory(TopicPartitionId id, DirectoryId directory) {
  co_await shards_.Call<void>(here_, ShardId(0), [reporter = &reporter_, id, directory] {
    return reporter->NoteDirectory(id, directory);
  });
}

}  // namespace millrace
