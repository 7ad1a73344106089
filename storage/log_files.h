// Names and text formats of a log directory, as Kafka lays it out: pure functions, no I/O.
//
// Shard:  any; pure.
// Errors: kDataLoss: a file's text is not what its format says (the message names the line).
// Source: Kafka's log directory; docs/storage.md, Files.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"

namespace millrace {

inline constexpr std::string_view kLogSuffix = ".log";
inline constexpr std::string_view kIndexSuffix = ".index";
inline constexpr std::string_view kTimeIndexSuffix = ".timeindex";
inline constexpr std::string_view kTxnIndexSuffix = ".txnindex";
inline constexpr std::string_view kSnapshotSuffix = ".snapshot";
// Behind any of these: removed from the log, the file goes after file.delete.delay.ms.
inline constexpr std::string_view kDeletedSuffix = ".deleted";
// Behind any of these: written by a compaction that has not come to its end; and: takes the place
// of what it was made of (segment_swap.h).
inline constexpr std::string_view kCleanedSuffix = ".cleaned";
inline constexpr std::string_view kSwapSuffix = ".swap";
inline constexpr std::string_view kPartitionMetadataFile = "partition.metadata";
inline constexpr std::string_view kLeaderEpochFile = "leader-epoch-checkpoint";
inline constexpr std::string_view kMetaPropertiesFile = "meta.properties";
inline constexpr std::string_view kLockFile = ".lock";
inline constexpr std::string_view kCleanShutdownFile = ".kafka_cleanshutdown";
inline constexpr std::string_view kRecoveryPointFile = "recovery-point-offset-checkpoint";
inline constexpr std::string_view kLogStartFile = "log-start-offset-checkpoint";
inline constexpr std::string_view kHighWatermarkFile = "replication-offset-checkpoint";

// "00000000000000000042.log".
std::string SegmentFileName(Offset base, std::string_view suffix);
// The offset, if `name` is 20 digits and `suffix`.
std::optional<Offset> ParseSegmentFileName(std::string_view name, std::string_view suffix);

// "<topic>-<partition>".
std::string PartitionDirectoryName(std::string_view topic, PartitionId partition);

struct PartitionDirectory {
  std::string topic;
  PartitionId partition;
};
// Nothing for any other name, also for those being deleted, moved or orphaned.
std::optional<PartitionDirectory> ParsePartitionDirectoryName(std::string_view name);

// "<topic>-<partition>.<32 hex digits>-delete", shortened so that a file system takes it.
std::string DeletedDirectoryName(std::string_view topic, PartitionId partition, Uuid unique);
bool IsDeletedDirectoryName(std::string_view name);

// "<topic>-<partition>.<32 hex digits>-stray", shortened likewise: of a topic that the cluster does
// not know, kept for a person to look at.
std::string StrayDirectoryName(std::string_view topic, PartitionId partition, Uuid unique);
bool IsStrayDirectoryName(std::string_view name);

// "<topic>-<partition>.<32 hex digits>-future": a copy that is being made in another directory.
std::string FutureDirectoryName(std::string_view topic, PartitionId partition, Uuid unique);
std::optional<PartitionDirectory> ParseFutureDirectoryName(std::string_view name);

// `a` + '/' + `b`.
std::string JoinPath(std::string_view a, std::string_view b);

// partition.metadata.
std::string FormatPartitionMetadata(TopicId topic_id);
absl::StatusOr<TopicId> ParsePartitionMetadata(std::string_view text);

// The offset checkpoints: one line per partition.
struct OffsetCheckpointEntry {
  std::string topic;
  PartitionId partition;
  Offset offset;
  friend bool operator==(const OffsetCheckpointEntry&, const OffsetCheckpointEntry&) = default;
};
std::string FormatOffsetCheckpoint(const std::vector<OffsetCheckpointEntry>& entries);
absl::StatusOr<std::vector<OffsetCheckpointEntry>> ParseOffsetCheckpoint(std::string_view text);

// `.kafka_cleanshutdown`. The epoch is the broker's when it stopped; -1 where none was known.
std::string FormatCleanShutdown(std::optional<BrokerEpoch> epoch);

}  // namespace millrace
