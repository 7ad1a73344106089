// LagMeter: how far behind positions in partitions are, as this shard's replicas know: records up to
// the high watermark, and when the oldest of them was written.
//
// Only a replica that must know is asked: the leader, once it knows what its predecessor had
// committed, or a follower in the ISR, which is behind by a moment. Others say nothing.
//
// Shard:    one.
// Lifetime: what is lent outlives it, and every Measure().
// Cost:     of a Measure(): a look-up per position, and a read per position that has moved and is
//           behind; where the record is not in memory it is a read from disk, of which there are
//           kDiskReadsMax. Nothing is kept for what was not asked last time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/task.h"
#include "common/time.h"
#include "replication/partition_table.h"

namespace millrace {

struct LagQuestion {
  TopicPartitionId at;
  Offset position;  // Of the next record to be read; clients may have said anything.
};

struct Lag {
  int64_t records = 0;  // Not negative: a position behind the end is at the end.
  // Of the oldest record that was not read, if any is unread; as its batch says, so that it may be
  // early by what the batch was gathered in. Nothing: not known, now.
  std::optional<Timestamp> oldest = {};
};

class LagMeter {
 public:
  static constexpr size_t kDiskReadsMax = 128;

  LagMeter(Env& env, PartitionTable& partitions, BrokerId self)
      : self_(self), env_(env), partitions_(partitions) {}

  // An answer for each question, in their order; nothing where this shard cannot tell.
  Task<std::vector<std::optional<Lag>>> Measure(std::vector<LagQuestion> questions);

 private:
  using Place = std::pair<TopicPartitionId, Offset>;
  using Times = std::map<Place, Timestamp>;

  // Of the batch that has `from`, or the next one.
  Task<std::optional<Timestamp>> TimeAt(TopicPartitionId at, Offset from, size_t* disk_reads);

  // Constant after construction.
  const BrokerId self_;
  // Borrowed.
  Env& env_;
  PartitionTable& partitions_;
  // State.
  Times times_;  // Of what was asked last.
};

}  // namespace millrace
