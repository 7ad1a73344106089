// Producer: writes records to one topic, in batches, idempotently.
//
// Records wait per partition. One request per partition is in flight; what arrived meanwhile goes
// into the next, so a trickle is sent at once and a flood in large batches. A request that failed
// in a way that may pass is sent again with the same sequence numbers: with acks=all the broker
// tells a repetition from a new record, so each record is written once and in order.
//
// Shard:    one.
// Lifetime: `client` outlives it. Stop() must have ended before destruction (CHECKed by its scope).
// Errors:   the first failure is kept: from then on Append() and Flush() answer it. Records that
//           were not acknowledged by then may have been written, or not.
// Bounds:   waiting records: pending_bytes_max (Append() waits); a batch: batch_bytes_max, or one
//           record if that is larger.
// Source:   KIP-98 (idempotence); broker errors as Kafka's own clients treat them.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/client/kafka_client.h"
#include "cli/client/partitioner.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "storage/record/record_batch.h"

namespace millrace {

struct OutgoingHeader {
  std::string key;
  std::optional<std::string> value;
};

struct OutgoingRecord {
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<OutgoingHeader> headers;
  Timestamp timestamp{0};

  // What it will take in a batch, roughly.
  size_t bytes() const;
};

enum class Acks : int16_t { kNone = 0, kLeader = 1, kAll = -1 };

struct ProducerOptions {
  std::string topic;
  // All records go there; else by key, or in turns without one.
  std::optional<PartitionId> partition;
  Acks acks = Acks::kAll;
  Compression compression = Compression::kNone;
  // Uncompressed. Larger: fewer requests; must stay below the topic's max.message.bytes (1 MiB by
  // default) where the records do not compress.
  size_t batch_bytes_max = 900'000;
  size_t pending_bytes_max = 32 << 20;
  // For a record, from Append() to its acknowledgement.
  Duration delivery_timeout = seconds(30);
  // For one try of a request. Lower: quicker away from a broker that hangs.
  Duration request_timeout = seconds(10);
};

class Producer {
 public:
  struct Written {
    uint64_t records = 0;
    uint64_t bytes = 0;  // Keys and values.
    // Of the first and behind the last record; unknown with acks=0.
    std::optional<Offset> begin;
    std::optional<Offset> end;
    // The longest time in which records waited here and none was acknowledged: what a failover of
    // this partition cost.
    Duration longest_gap{0};
  };

  Producer(KafkaClient& client, ProducerOptions options);

  // Finds the topic (which the broker may create by itself) and gets a producer id.
  Task<absl::Status> Start();

  // Takes the record over. Waits while too much is pending.
  Task<absl::Status> Append(OutgoingRecord record);

  // Returns when everything is acknowledged, or has failed.
  Task<absl::Status> Flush();

  // Gives up what is not acknowledged; waits for requests in flight (KafkaClient::Shutdown() ends
  // those).
  Task<void> Stop();

  // What was acknowledged (with acks=0: sent), by partition.
  const std::map<PartitionId, Written>& written() const { return written_; }
  bool idempotent() const { return producer_.has_value(); }

 private:
  struct Pending {
    OutgoingRecord record;
    Instant deadline;
  };
  struct Queue {
    std::deque<Pending> records;
    Instant
        silent_since;  // While there are records: the last acknowledgement, or the first of them.
    bool sending = false;
    int32_t next_sequence = 0;  // Of the record at the front.
    size_t count_max;           // Halved where the broker finds a batch too large.
  };

  Task<absl::Status> GetProducerId(Instant deadline);
  absl::StatusOr<PartitionId> Choose(const OutgoingRecord& record);
  Task<void> SendLoop(PartitionId partition);
  // One batch from the front of the queue, to its acknowledgement.
  Task<absl::Status> SendFront(PartitionId partition);
  size_t CountFront(const Queue& queue) const;
  absl::StatusOr<Slice> Build(const Queue& queue, size_t count) const;
  // One try; the base offset, or nothing if the broker does not say.
  Task<absl::StatusOr<std::optional<Offset>>> TrySend(PartitionId partition, Slice batch,
                                                      Instant deadline);
  void Acknowledge(PartitionId partition, size_t count, std::optional<Offset> base);
  void Fail(absl::Status status);
  bool idle() const { return pending_bytes_ == 0; }

  // Constant after construction.
  const ProducerOptions options_;

  // Borrowed.
  KafkaClient& client_;

  // State.
  TaskScope scope_;
  TopicView topic_;
  std::vector<PartitionId> available_;  // With a leader.
  StickyPartitioner sticky_;
  std::optional<BatchProducer> producer_;
  std::map<PartitionId, Queue> queues_;
  size_t pending_bytes_ = 0;
  Event progress_;  // Pulsed when something was acknowledged or has failed.
  absl::Status failure_;
  std::map<PartitionId, Written> written_;
};

}  // namespace millrace
