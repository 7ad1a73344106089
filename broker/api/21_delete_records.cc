// DeleteRecords (key 21), versions 0 to 2. Moves the start of logs forward: to an offset, which
// need not be a batch's, or to the high watermark (-1).
//
// Promises: when the answer arrives the new start is durable: no crash brings back what lies below
//           it, on no replica that is alive. The low watermark is where all of those start then. An offset at or below the
//           start changes nothing and is no error. Files go later (file.delete.delay.ms). Of a
//           partition that is named twice the last mention counts, as in Kafka.
// Bound:    50,000 topics and partitions in one request.
// Errors:   per partition UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, OFFSET_OUT_OF_RANGE
//           (above the high watermark, or below -1), POLICY_VIOLATION (cleanup.policy=compact),
//           INVALID_TOPIC_EXCEPTION (an internal topic), KAFKA_STORAGE_ERROR.
//           REQUEST_TIMED_OUT: a replica that is alive has not moved its start in timeout_ms, or
//           before this broker began to stop; it will.
// Source:   KIP-107; rules 12.1-12.4.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <variant>
#include <vector>

#include "broker/api/api_support.h"
#include "broker/api/find_partition.h"
#include "broker/api/handlers.h"
#include "broker/fetch/shared_name.h"
#include "common/runtime/task_scope.h"
#include "proto/kafka/delete_records_request.h"
#include "proto/kafka/delete_records_response.h"

namespace millrace {
namespace {

using kafka::DeleteRecordsRequest;
using kafka::DeleteRecordsResponse;

// Topics and partitions of one request.
constexpr size_t kElementsMax = 50'000;
constexpr int64_t kHighWatermark = -1;
constexpr int64_t kNoLowWatermark = -1;

// One partition of the request, and its answer. Touched by one shard at a time.
struct Deletion {
  SharedName topic;
  int32_t partition;
  int64_t offset;
  std::optional<TopicPartitionId> id = {};  // Nothing: answered already.
  absl::Status status = {};
  int64_t low_watermark = kNoLowWatermark;
};

void Resolve(Broker& broker, Deletion& deletion) {
  absl::StatusOr<TopicPartitionId> id =
      ResolvePartition(*broker.image(), deletion.topic.text(), deletion.partition);
  deletion.status = id.status();
  if (!id.ok()) return;
  if (IsInternalTopic(deletion.topic.text())) {
    deletion.status =
        MakeError(ErrorKind::kInvalidTopic,
                  fmt::format("Cannot delete records of internal topic {}", deletion.topic.text()));
    return;
  }
  if (deletion.offset < kHighWatermark) {
    deletion.status =
        MakeError(ErrorKind::kOffsetOutOfRange,
                  fmt::format("The offset {} for partition {}-{} is not valid", deletion.offset,
                              deletion.topic.text(), deletion.partition));
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

// Each topic and partition once, by topic: Kafka answers so, wherever they stood in the request.
std::vector<Deletion> DeletionsOf(const DeleteRecordsRequest& request) {
  // The request's names: a mention costs nothing before it is known to be the first.
  std::map<std::string_view, std::map<int32_t, int64_t>> asked;
  for (const auto& topic : request.topics) {
    if (topic.partitions.empty()) continue;
    std::map<int32_t, int64_t>& offsets = asked[topic.name];
    for (const auto& partition : topic.partitions) {
      offsets[partition.partition_index] = partition.offset;
    }
  }
  std::vector<Deletion> deletions;
  for (const auto& [name, offsets] : asked) {
    const SharedName topic{std::string(name)};
    for (const auto& [partition, offset] : offsets) {
      deletions.push_back({topic, partition, offset});
    }
  }
  return deletions;
}

DeleteRecordsResponse Answer(const std::vector<Deletion>& deletions) {
  DeleteRecordsResponse response;
  const SharedName* last = nullptr;
  for (const Deletion& deletion : deletions) {
    if (last == nullptr || *last != deletion.topic) {
      response.topics.emplace_back().name = deletion.topic.text();
    }
    last = &deletion.topic;
    DeleteRecordsResponse::DeleteRecordsPartitionResult result;
    result.partition_index = deletion.partition;
    result.low_watermark = deletion.low_watermark;
    result.error_code = ErrorCode(deletion.status);
    response.topics.back().partitions.push_back(result);
  }
  return response;
}

}  // namespace

Task<ApiReply> HandleDeleteRecords(Broker* broker, ApiRequest request) {
  absl::StatusOr<DeleteRecordsRequest> body =
      DecodeBody<DeleteRecordsRequest>(request, kElementsMax);
  if (!body.ok()) co_return Undecodable(body.status());
  std::vector<Deletion> deletions = DeletionsOf(*body);
  const Patience patience{request.received + milliseconds(std::max(0, body->timeout_ms)),
                          request.drain};
  body = DeleteRecordsRequest();
  request.body = Slice();
  std::set<ShardId> shards;
  for (Deletion& deletion : deletions) {
    Resolve(*broker, deletion);
    if (deletion.id.has_value()) shards.insert(broker->shards.Of(*deletion.id));
  }
  TaskScope calls(broker->env.reactor);
  for (ShardId shard : shards) calls.Spawn(DeleteAt(broker, shard, &deletions, patience));
  co_await calls.Join();
  co_return Reply(request, Answer(deletions));
}

}  // namespace millrace
