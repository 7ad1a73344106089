// What `millrace log stat` tells of a partition's folder: how many segments, how large, which
// offsets. Reads the names, and the batch headers of the last segment.
//
// Shard: one. Errors: as Disk.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/disk.h"
#include "common/ids.h"
#include "common/time.h"

namespace millrace {

struct PartitionStat {
  std::string folder;
  uint64_t segments = 0;
  uint64_t log_bytes = 0;
  uint64_t index_bytes = 0;         // Offset, time and transaction indexes.
  Offset begin{0};                  // Of the first segment's name.
  Offset end{0};                    // Behind the last sound batch.
  std::optional<Timestamp> newest;  // In the last segment.
  std::string defect;               // Why the last segment ends before its file does.
};

// Of the partition at `path`; nothing when it holds no segments.
Task<absl::StatusOr<std::optional<PartitionStat>>> StatPartition(
    Disk& disk, std::string path);  // Borrowed: awaited in place.

// `path` itself, or the partitions in it when it is a data directory. kNotFound without any.
Task<absl::StatusOr<std::vector<PartitionStat>>> StatPath(
    Disk& disk, std::string path);  // Borrowed: awaited in place.

std::string StatTable(const std::vector<PartitionStat>& stats);
// An object per line.
std::string StatJson(const std::vector<PartitionStat>& stats);

}  // namespace millrace
