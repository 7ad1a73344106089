// ListOffsets (key 2), versions 1 to 11. Offsets by timestamp, and the special ones: -1 latest, -2
// earliest, -3 the record with the largest timestamp (v7), -4 earliest local (v8), -5 latest tiered
// (v9), -6 earliest pending upload (v11).
//
// Promises: answers are per record, not per batch. READ_COMMITTED bounds by the last stable offset.
// Without tiering -4 is the
//           log start and -5 and -6 are "none" (-1).
// Errors:   per partition UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH,
// UNKNOWN_LEADER_EPOCH,
//           OFFSET_NOT_AVAILABLE (LEADER_NOT_AVAILABLE before v5) while a new leader's high
//           watermark lags, INVALID_REQUEST for a partition asked for twice, UNSUPPORTED_VERSION
//           for a special timestamp above its version.
//           REQUEST_TIMED_OUT for times that were not looked up when the broker began to stop.
// Bound:    50,000 topics and partitions in one request. A few look-ups by time at once on one shard
//           (kTimeSearchesMax), the others wait for them; none begins once the client has left.
// Source:   KIP-79, KIP-207, KIP-734, KIP-405, KIP-1005, KIP-1023; rules 3.1-3.9.
#include <algorithm>
#include <map>
#include <string_view>
#include <variant>

#include "broker/api/api_support.h"
#include "broker/api/await_leadership.h"
#include "broker/api/find_partition.h"
#include "broker/api/handlers.h"
#include "broker/fetch/shared_name.h"
#include "broker/on_shard.h"
#include "common/runtime/task_scope.h"
#include "proto/kafka/list_offsets_request.h"
#include "proto/kafka/list_offsets_response.h"
#include "storage/leader_epoch_cache.h"

namespace millrace {
namespace {

using kafka::ListOffsetsRequest;
using kafka::ListOffsetsResponse;
using PartitionAnswer = ListOffsetsResponse::ListOffsetsPartitionResponse;

enum SpecialTimestamp : int64_t {
  kLatest = -1,
  kEarliest = -2,
  kMaxTimestamp = -3,
  kEarliestLocal = -4,
  kLatestTiered = -5,
  kEarliestPendingUpload = -6,
};
constexpr int8_t kReadCommitted = 1;
constexpr int16_t kLeaderEpochVersion = 4;
constexpr int16_t kNotAvailableVersion = 5;
// Topics and partitions of one request.
constexpr size_t kElementsMax = 50'000;
// The debug replica may ask a broker that does not lead.
constexpr int32_t kDebugReplica = -2;

absl::Status CheckTimestamp(int64_t timestamp, int16_t version) {
  const int16_t needs = timestamp == kMaxTimestamp            ? 7
                        : timestamp == kEarliestLocal         ? 8
                        : timestamp == kLatestTiered          ? 9
                        : timestamp == kEarliestPendingUpload ? 11
                                                              : 1;
  if (version >= needs && timestamp >= kEarliestPendingUpload) return absl::OkStatus();
  return MakeError(ErrorKind::kUnsupportedVersion,
                   "this special timestamp is not defined in the request's version");
}

struct Lookup {
  PartitionId partition;
  int64_t timestamp;
  Offset bound;  // Last fetchable offset for the client.
};

// What needs no search; nothing if the log must be searched.
std::optional<OffsetAndTimestamp> Immediate(Partition& partition, const Lookup& lookup) {
  switch (lookup.timestamp) {
    case kLatest:
      return OffsetAndTimestamp{lookup.bound, kNoTimestamp, partition.leader_epoch()};
    case kEarliest:
    case kEarliestLocal: {
      const Offset start = partition.log().start_offset();
      return OffsetAndTimestamp{start, kNoTimestamp, partition.log().epochs().EpochFor(start)};
    }
    default:
      return std::nullopt;
  }
}

// Rule 3.8: a new leader does not know yet how far its predecessor had committed.
kafka::KafkaError NotAvailable(int16_t version) {
  return version >= kNotAvailableVersion ? kafka::KafkaError::kOffsetNotAvailable
                                         : kafka::KafkaError::kLeaderNotAvailable;
}

// The record that a time names, or the largest time, among those below `bound`.
Task<absl::StatusOr<std::optional<OffsetAndTimestamp>>> Search(Log* log, int64_t timestamp,
                                                               Offset bound) {
  if (timestamp == kMaxTimestamp) co_return co_await log->MaxTimestamp(bound);
  co_return co_await log->OffsetForTimestamp(Timestamp(timestamp), bound);
}

struct Asked {
  TopicPartitionId id;
  const ListOffsetsRequest::ListOffsetsPartition* partition;
  PartitionAnswer* answer;
};

// What all partitions of a request have in common.
struct Terms {
  bool committed;
  bool debug;
  int16_t version;
};

// In its turn. `partition` may be gone when the search ends; the log keeps itself until the store's
// deletion has drained reads.
Task<absl::StatusOr<std::optional<OffsetAndTimestamp>>> SearchInTurn(Broker* broker,
                                                                     TopicPartitionId id,
                                                                     Lookup lookup,
                                                                     CancellationToken drain) {
  if (!(co_await broker->time_searches.Acquire(1, drain)).ok()) {
    co_return MakeError(ErrorKind::kRequestTimedOut, "the broker stops, or the client has left");
  }
  absl::StatusOr<std::optional<OffsetAndTimestamp>> found;
  absl::StatusOr<Partition*> partition = HostedPartition(*broker, id);
  if (partition.ok()) {
    Log* log = &(*partition)->log();
    // While the bound may be behind what clients have seen, what lies above it is not the same as
    // nothing.
    const bool current = (*partition)->high_watermark_is_current();
    found = co_await Search(log, lookup.timestamp,
                            current ? lookup.bound : std::max(lookup.bound, log->end_offset()));
  } else {
    found = partition.status();
  }
  broker->time_searches.Release(1);
  co_return found;
}

// On the partition's shard.
Task<void> Answer(Broker* broker, Asked item, Terms terms, CancellationToken drain) {
  const ListOffsetsRequest::ListOffsetsPartition& asked = *item.partition;
  PartitionAnswer& answer = *item.answer;
  const auto [committed, debug, version] = terms;
  absl::StatusOr<Partition*> found = HostedPartition(*broker, item.id);
  absl::Status status = found.status();
  if (status.ok()) status = CheckTimestamp(asked.timestamp, version);
  if (status.ok() && !(debug && !(*found)->leads())) {
    status = (*found)->CheckLeader(EpochFromWire(asked.current_leader_epoch));
  }
  if (!status.ok()) {
    answer.error_code = ErrorCode(status);
    co_return;
  }
  Partition& partition = **found;
  Lookup lookup{PartitionId(asked.partition_index), asked.timestamp,
                committed ? partition.last_stable_offset() : partition.high_watermark()};
  const bool current = partition.high_watermark_is_current();
  if (!current && asked.timestamp == kLatest) {
    answer.error_code = ErrorCode(NotAvailable(version));
    co_return;
  }
  std::optional<OffsetAndTimestamp> result = Immediate(partition, lookup);
  if (!result.has_value() && (asked.timestamp >= 0 || asked.timestamp == kMaxTimestamp)) {
    // `partition` may be gone when it ends.
    absl::StatusOr<std::optional<OffsetAndTimestamp>> searched =
        co_await SearchInTurn(broker, item.id, lookup, drain);
    if (!searched.ok()) {
      answer.error_code = ErrorCode(searched.status());
      co_return;
    }
    result = *searched;
    if (!current && result.has_value() && result->offset >= lookup.bound) {
      answer.error_code = ErrorCode(NotAvailable(version));
      co_return;
    }
  }
  if (result.has_value()) {
    answer.offset = result->offset.value();
    answer.timestamp = result->timestamp.ms();
    // Older versions have no place for it.
    if (version >= kLeaderEpochVersion && result->leader_epoch.has_value()) {
      answer.leader_epoch = result->leader_epoch->value();
    }
  }
}

// Everything asked of one shard, there.
Task<std::monostate> AnswerAll(Broker* broker, const std::vector<Asked>* asked, Terms terms,
                               CancellationToken drain) {
  std::vector<LeadershipClaim> claims;
  for (const Asked& one : *asked) {
    const auto epoch = EpochFromWire(one.partition->current_leader_epoch);
    if (epoch.has_value() && claims.size() <= kClaimsMax) claims.push_back({one.id, epoch});
  }
  co_await AwaitLeadership(broker, OpenClaims(*broker, std::move(claims)), drain);
  for (const Asked& one : *asked) co_await Answer(broker, one, terms, drain);
  co_return std::monostate();
}

Task<void> AnswerAt(Broker* from, ShardId shard, const std::vector<Asked>* asked, Terms terms,
                    CancellationToken drain) {
  const ShardId here = from->env.reactor.shard();
  if (shard == here) {
    co_await AnswerAll(from, asked, terms, drain);
    co_return;
  }
  Broker* there = from->shards.at(shard);
  co_await from->shards.calls().CallUntil<std::monostate>(
      here, shard, drain, [there, asked, terms](CancellationToken token) {
        return AnswerAll(there, asked, terms, token);
      });
}

// Which partitions are named more than once. Names that no topic has are not compared: that would
// cost as much as they are long, and they are refused anyway.
class TimesAsked {
 public:
  explicit TimesAsked(const ListOffsetsRequest& request) {
    for (const auto& topic : request.topics) {
      if (topic.name.size() > kTopicNameBytesMax) continue;
      for (const auto& partition : topic.partitions) {
        ++times_[{topic.name, partition.partition_index}];
      }
    }
  }
  bool more_than_once(const std::string& topic, int32_t partition) const {
    if (topic.size() > kTopicNameBytesMax) return false;
    return times_.at({topic, partition}) > 1;
  }

 private:
  std::map<std::pair<std::string_view, int32_t>, int> times_;
};

}  // namespace

Task<ApiReply> HandleListOffsets(Broker* broker, ApiRequest request) {
  absl::StatusOr<ListOffsetsRequest> body = DecodeBody<ListOffsetsRequest>(request, kElementsMax);
  if (!body.ok()) co_return Undecodable(body.status());
  request.body = Slice();
  const TimesAsked times_asked(*body);
  ListOffsetsResponse response;
  std::vector<std::vector<Asked>> by_shard(broker->shards.count());
  response.topics.resize(body->topics.size());
  for (size_t t = 0; t < body->topics.size(); ++t) {
    const auto& topic = body->topics[t];
    ListOffsetsResponse::ListOffsetsTopicResponse& answered = response.topics[t];
    answered.name = topic.name;
    answered.partitions.resize(topic.partitions.size());  // Their addresses stay.
    for (size_t p = 0; p < topic.partitions.size(); ++p) {
      const auto& asked = topic.partitions[p];
      PartitionAnswer* answer = &answered.partitions[p];
      answer->partition_index = asked.partition_index;
      absl::StatusOr<TopicPartitionId> id =
          ResolvePartition(*broker->image(), topic.name, asked.partition_index);
      if (times_asked.more_than_once(topic.name, asked.partition_index)) {
        answer->error_code = ErrorCode(kafka::KafkaError::kInvalidRequest);
      } else if (!id.ok()) {
        answer->error_code = ErrorCode(id.status());
      } else {
        by_shard[broker->shards.Of(*id).value()].push_back({*id, &asked, answer});
      }
    }
  }
  const Terms terms{body->isolation_level == kReadCommitted, body->replica_id == kDebugReplica,
                    request.version};
  TaskScope calls(broker->env.reactor);
  for (ShardId shard : ShardsWith(by_shard)) {
    calls.Spawn(AnswerAt(broker, shard, &by_shard[shard.value()], terms, request.drain));
  }
  co_await calls.Join();
  co_return Reply(request, response);
}

}  // namespace millrace
