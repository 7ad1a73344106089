// LogCheckpoint: what is remembered of a log at its recovery point, so that a start needs to read
// only what came after it. One value in the KvStore (space kLogCheckpoint) per log, written after
// the segments it speaks of were synced and before the journal is recycled.
//
// Shard:  any; a value and a pure codec.
// Errors: kDataLoss: the bytes are not a checkpoint, or of a newer version.
// Source: docs/storage.md, Recovery.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/ids.h"
#include "common/time.h"
#include "storage/journal/journal_entry.h"
#include "storage/segment/segment.h"

namespace millrace {

struct LogCheckpoint {
  std::string topic;
  IncarnationId incarnation;
  Offset log_start;
  // Everything below is in synced segments. It lies in this segment, at this position.
  Offset recovery_point;
  Offset segment_base;
  uint64_t position;
  // Of that segment.
  Timestamp segment_created;
  std::optional<Timestamp> first_timestamp;
  std::optional<TimeIndexEntry> max_time;
  uint32_t aborted_transactions;  // At least so many entries stand in its transaction index.
  // Journal entries of this generation up to this position are covered. Another generation: none
  // is.
  JournalGeneration journal_generation;
  JournalPosition journal_position;
  // Encoded by ProducerState and LeaderEpochCache; empty when they are.
  std::string producers;
  std::string epochs;
  // Where the log is. Nothing in checkpoints of the first format.
  std::optional<DirectoryId> directory;
  // Compaction has seen every record below. Nothing: none.
  std::optional<Offset> cleaned_to = std::nullopt;
  friend bool operator==(const LogCheckpoint&, const LogCheckpoint&) = default;
};

std::string EncodeLogCheckpoint(const LogCheckpoint& checkpoint);
absl::StatusOr<LogCheckpoint> DecodeLogCheckpoint(std::string_view bytes);

// The key: topic id and partition, big-endian, so that keys order as ids do.
std::string LogCheckpointKey(const TopicPartitionId& id);
absl::StatusOr<TopicPartitionId> ParseLogCheckpointKey(std::string_view key);

}  // namespace millrace
