// DeleteRecords (key 21), versions 0 to 2. Moves the start of logs forward: to an offset, which
// need not be a batch's, or to the high watermark (-1).
//
// Promises: when the answer arrives the new start is durable: no crash brings back what lies below
//           it, on no replica that is alive. The low watermark is where all of those start then. An offset at or below the
//           start changes nothing and is no error. Files go later (file.delete.delay.ms).
// Errors:   per partition UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, OFFSET_OUT_OF_RANGE
//           (above the high watermark, or below -1), POLICY_VIOLATION (cleanup.policy=compact),
//           INVALID_TOPIC_EXCEPTION (an internal topic), KAFKA_STORAGE_ERROR.
//           REQUEST_TIMED_OUT: a replica that is alive has not moved its start in timeout_ms, or
//           before this broker began to stop; it will.
// Source:   KIP-107; rules 12.1-12.4.
#include <algorithm>
#include <map>
#include <set>
#include <variant>
#include <vector>

#include "broker/api/api_support.h"
#include "broker/api/find_partition.h"
#include "broker/api/handlers.h"
#include "common/runtime/task_scope.h"
#include "proto/kafka/delete_records_request.h"
#include "proto/kafka/delete_records_response.h"

namespace millrace {
namespace {

using kafka::DeleteRecordsRequest;
using kafka::DeleteRecordsResponse;

constexpr int64_t kHighWatermark = -1;
constexpr int64_t kNoLowWatermark = -1;

// One partition of the request, and its answer. Touched by one shard at a time.
struct Deletion {
  std::string topic;
  int32_t partition;
  int64_t offset;
  std::optional<TopicPartitionId> id = {};  // Nothing: answered already.
  absl::Status status = {};
  int64_t low_watermark = kNoLowWatermark;
};

void Resolve(Broker& broker, Deletion& deletion) {
  absl::StatusOr<TopicPartitionId> id =
      ResolvePartition(*broker.image(), deletion.topic, deletion.partition);
  deletion.status = id.status();
  if (!id.ok()) return;
  if (IsInternalTopic(deletion.topic)) {
    deletion.status =
        MakeError(ErrorKind::kInvalidTopic,
                  fmt::format("Cannot delete records of internal topic {}", deletion.topic));
    return;
  }
  if (deletion.offset < kHighWatermark) {
    deletion.status = MakeError(ErrorKind::kOffsetOutOfRange,
                                fmt::format("The offset {} for partition {}-{} is not valid",
                                            deletion.offset, deletion.topic, deletion.partition));
    return;
  }
  deletion.id = *id;
}

class LowWatermarkWait final : public OffsetWaiter {
 public:
  explicit LowWatermarkWait(Event* done) : done_(done) {}
  void OnReached(const absl::Status& how) override {
    status = how;
    done_->Set();
  }
  absl::Status status;

 private:
  Event* done_;
};

// How long replicas are waited for: until then, or until the client has left or the broker stops.
struct Patience {
  Instant deadline;
  CancellationToken drain;
};

// Waits until all replicas that are alive start at `start`, and says where they start then.
Task<void> WaitForReplicas(Broker* there, Deletion* deletion, Offset start, Patience patience) {
  absl::StatusOr<Partition*> partition = HostedPartition(*there, *deletion->id);
  deletion->status = partition.status();
  if (!partition.ok()) co_return;
  if ((*partition)->low_watermark() < start) {
    Event done(there->env.reactor);
    LowWatermarkWait wait(&done);
    (*partition)->started().Add(wait, start);
    const WaitResult result = co_await done.Wait(patience.deadline, patience.drain);
    deletion->status = result == WaitResult::kSignalled
                           ? wait.status
                           : MakeError(ErrorKind::kRequestTimedOut, "a replica is late");
    // The partition may be gone meanwhile.
    partition = HostedPartition(*there, *deletion->id);
  }
  if (deletion->status.ok()) {
    deletion->low_watermark =
        (partition.ok() ? std::max((*partition)->low_watermark(), start) : start).value();
  }
}

Task<void> DeleteOne(Broker* there, Deletion* deletion, Patience patience) {
  absl::StatusOr<Partition*> partition = HostedPartition(*there, *deletion->id);
  deletion->status = partition.status();
  if (!partition.ok()) co_return;
  absl::StatusOr<Offset> start =
      (*partition)
          ->StartAfterDelete(deletion->offset == kHighWatermark
                                 ? std::nullopt
                                 : std::optional(Offset(deletion->offset)));
  deletion->status = start.status();
  if (!start.ok()) co_return;
  deletion->status = co_await (*partition)->DeleteBefore(*start);
  if (deletion->status.ok()) co_await WaitForReplicas(there, deletion, *start, patience);
}

Task<std::monostate> DeleteOn(Broker* there, std::vector<Deletion>* deletions, Patience patience) {
  // At once, so that one write of the store makes all of the starts durable.
  TaskScope group(there->env.reactor);
  for (Deletion& deletion : *deletions) {
    const bool here = deletion.id && there->shards.Of(*deletion.id) == there->env.reactor.shard();
    if (here) group.Spawn(DeleteOne(there, &deletion, patience));
  }
  co_await group.Join();
  co_return std::monostate();
}

// On `shard`, with a token of that shard.
Task<void> DeleteAt(Broker* from, ShardId shard, std::vector<Deletion>* deletions,
                    Patience patience) {
  const ShardId here = from->env.reactor.shard();
  if (shard == here) {
    co_await DeleteOn(from, deletions, patience);
    co_return;
  }
  Broker* there = from->shards.at(shard);
  co_await from->shards.calls().CallUntil<std::monostate>(
      here, shard, patience.drain,
      [there, deletions, deadline = patience.deadline](CancellationToken token) {
        return DeleteOn(there, deletions, {deadline, token});
      });
}

}  // namespace

Task<ApiReply> HandleDeleteRecords(Broker* broker, ApiRequest request) {
  absl::StatusOr<DeleteRecordsRequest> body = DecodeBody<DeleteRecordsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  std::vector<Deletion> deletions;
  std::set<ShardId> shards;
  for (const auto& topic : body->topics) {
    for (const auto& partition : topic.partitions) {
      Deletion& deletion =
          deletions.emplace_back(Deletion{topic.name, partition.partition_index, partition.offset});
      Resolve(*broker, deletion);
      if (deletion.id.has_value()) shards.insert(broker->shards.Of(*deletion.id));
    }
  }
  request.body = Slice();
  const Patience patience{request.received + milliseconds(std::max(0, body->timeout_ms)),
                          request.drain};
  TaskScope calls(broker->env.reactor);
  for (ShardId shard : shards) calls.Spawn(DeleteAt(broker, shard, &deletions, patience));
  co_await calls.Join();
  // Kafka answers each topic once, wherever its partitions stood in the request.
  std::map<std::string, DeleteRecordsResponse::DeleteRecordsTopicResult> answers;
  for (const Deletion& deletion : deletions) {
    DeleteRecordsResponse::DeleteRecordsPartitionResult result;
    result.partition_index = deletion.partition;
    result.low_watermark = deletion.low_watermark;
    result.error_code = ErrorCode(deletion.status);
    answers[deletion.topic].partitions.push_back(result);
  }
  DeleteRecordsResponse response;
  for (auto& [name, answer] : answers) {
    answer.name = name;
    response.topics.push_back(std::move(answer));
  }
  co_return Reply(request, response);
}

}  // namespace millrace
