// ProducePart: the partitions of one Produce request that belong to one shard, on that shard:
// memory, checks, append, and the wait for acknowledgements. The request itself, with what it
// shares out and puts together again, is 00_produce.cc.
//
// Shard:    the partitions'; made, used and destroyed there.
// Lifetime: what `items` points to is lent by the request until the part is gone. The records are
//           read until Append() has ended, the answers are written until WaitForAcks() has.
// Order:    appends happen in the order of the items, also when a helper validates one of them.
// Errors:   per partition, in its answer.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "broker/api/await_leadership.h"
#include "broker/broker.h"
#include "broker/kafka_error.h"
#include "common/ids.h"
#include "common/runtime/event.h"
#include "proto/kafka/produce_request.h"
#include "proto/kafka/produce_response.h"
#include "replication/offset_waiters.h"

namespace millrace {

using ProducedPartition = kafka::ProduceRequest::PartitionProduceData;
using ProduceAnswer = kafka::ProduceResponse::PartitionProduceResponse;

// What all partitions of a request have in common.
struct ProduceTerms {
  int16_t version;
  int16_t acks;
  int32_t timeout_ms;
  bool may_write_internal_topics;
  // The records are another shard's memory: they are copied, since a log keeps what it is given.
  bool lent;
};

struct ProduceItem {
  TopicPartitionId id;
  const ProducedPartition* data;
  ProduceAnswer* answer;
};

class ProducePart {
 public:
  ProducePart(Broker& broker, ProduceTerms terms, std::span<const ProduceItem> items)
      : broker_(broker), terms_(terms), items_(items), done_(broker.env.reactor) {}

  // False: cancelled while it waited for memory; some may have been appended.
  Task<bool> Append(CancellationToken cancel);
  // Whether anything that was appended is not acknowledged yet.
  bool waits() const { return waiting_ > 0; }
  // What is not acknowledged in time answers REQUEST_TIMED_OUT; NOT_LEADER_OR_FOLLOWER where this
  // broker has to assume that it was fenced (fencing_doubts.h).
  Task<void> WaitForAcks(CancellationToken cancel);

 private:
  // One partition that was appended to and is waited for.
  class AppendWait final : public OffsetWaiter {
   public:
    // `partition`: asked once more when its offset is committed; null where only this replica's
    // durable end counts. It is there for as long as the wait is linked.
    AppendWait(size_t* left, Event* done, ProduceAnswer* answer, const Partition* partition)
        : left_(left), done_(done), answer_(answer), partition_(partition) {}
    void OnReached(const absl::Status& status) override;
    ProduceAnswer& answer() { return *answer_; }
    const Partition* partition() const { return partition_; }
    // Never here.
    void GiveUp(const absl::Status& status);

   private:
    size_t* left_;
    Event* done_;
    ProduceAnswer* answer_;
    const Partition* partition_;
  };

  struct PartitionInDoubt {
    TopicPartitionId id;
    LeaderEpoch epoch;
  };

  // What one batch waits for before it can be appended. Nothing has happened to it yet.
  struct Unfinished {
    std::optional<ValidationJob> validation;  // A helper's, because it may take long.
    size_t grown_bytes =
        0;  // Or memory: so much more than came in, if recompression made it larger.
  };

  // Nothing: done, or refused. `valid`: what a helper made of the batch, if one was needed.
  std::optional<Unfinished> TryAppendOne(const ProduceItem& item,
                                         std::optional<ValidationOutcome> valid);
  // Waits for what is missing, until it is done or refused. False: cancelled.
  Task<bool> Finish(const ProduceItem* item, Unfinished rest, CancellationToken cancel);
  // `item` was refused because this broker does not lead it: what it may be about to lead, of that and
  // those that follow.
  std::vector<LeadershipClaim> ClaimsFrom(const ProduceItem& item) const;
  // Until they are decided; `item` may be tried again. False: cancelled.
  Task<bool> AwaitTurnToLead(const ProduceItem* item, std::vector<LeadershipClaim> claims,
                             CancellationToken cancel);
  std::span<const ProduceItem> From(const ProduceItem* first) const;
  // Waits for memory, and for journals, for what this broker leads of `first` and those that follow;
  // for what it leads no more it waits no longer, and takes nothing: that will be refused. False:
  // cancelled.
  Task<bool> Admit(const ProduceItem* first, size_t grown_bytes, CancellationToken cancel);
  Slice RecordsOf(const ProducedPartition& data) const;
  void Wait(Partition& partition, Offset next, ProduceAnswer* answer);
  // Gives up what waits for followers of a leader that has to assume it was fenced.
  std::vector<PartitionInDoubt> GiveUpInDoubt();
  Task<void> TellDoubts(std::vector<PartitionInDoubt> partitions);

  Broker& broker_;
  const ProduceTerms terms_;
  const std::span<const ProduceItem> items_;
  // For the partitions that have not had their turn, as far as they were led when it was taken.
  Admission admission_;
  bool awaited_leadership_ = false;
  std::deque<AppendWait> waits_;
  size_t waiting_ = 0;
  Event done_;
};

// What a partition that is refused answers.
void RefuseProduce(const absl::Status& status, ProduceAnswer* answer);

}  // namespace millrace
