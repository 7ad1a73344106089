// What a journal carries: positions, and the entries about partitions.
//
// Lifetime: values. The bytes of an append are a Slice: in memory they belong to the caller's
//           buffer (Enqueue() copies them), in a replay to the frame that was read, which they pin.
// Source:   docs/storage.md, Journal.
#pragma once

#include <compare>
#include <cstdint>
#include <variant>

#include "common/bytes/slice.h"
#include "common/ids.h"
#include "common/strong.h"

namespace millrace {

// The number of an entry within one generation of one journal: 1, 2, 3, ... in the order of
// Enqueue(). Positions of different generations do not compare.
using JournalPosition = StrongId<struct JournalPositionTag, uint64_t>;

// Drawn anew for every journal that is opened; also the salt that keeps the frames of another
// journal, or of an earlier start, from being taken for ours.
using JournalGeneration = Uuid;

// `bytes` (whole record batches as they lie in the segment) are appended where the log ends at
// `base_offset`. They begin there, or above it, where the leader has compacted away what was between.
struct JournalAppend {
  TopicPartitionId partition;
  // Of the replica: one that was deleted and came back has another, and so has one that has moved to
  // another log directory.
  IncarnationId incarnation;
  Offset base_offset;
  LeaderEpoch leader_epoch;
  Slice bytes;
};

// The log ends at `end_offset` from here on: what lay at and above it is gone.
struct JournalTruncate {
  TopicPartitionId partition;
  IncarnationId incarnation;
  Offset end_offset;
};

// The log was emptied and starts anew at `start_offset` (a follower that fell below the leader's
// start; its truncation is to a point above its own end).
struct JournalReset {
  TopicPartitionId partition;
  IncarnationId incarnation;
  Offset start_offset;
};

// The replica is gone from this directory: earlier entries of this incarnation mean nothing any more.
struct JournalDelete {
  TopicPartitionId partition;
  IncarnationId incarnation;
};

// Later types are added at the end: the index in the variant is no part of the format
// (journal_format.h numbers them).
using JournalEntry = std::variant<JournalAppend, JournalTruncate, JournalReset, JournalDelete>;

}  // namespace millrace
