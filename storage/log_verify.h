// Checks the files of a partition as they lie there: every batch's CRC, fields and records, that
// offsets go up, and that the indexes lead to where they should. Reads only; a node may be running
// on the files (the segment it writes to may then end in a batch that is not whole yet).
//
// Shard:    one; suspends for reading.
// Lifetime: `disk` outlives the tasks.
// Errors:   as Disk. What is wrong with the content is a finding, not an error.
// Bounds:   memory: SegmentScanner's window and both index files of a segment; findings per file:
//           kFindingsMax.
// Source:   Kafka's log format; docs/storage.md, Files.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/disk.h"
#include "common/ids.h"
#include "common/runtime/task.h"
#include "storage/record/compression.h"
#include "storage/record/record_batch.h"
#include "storage/segment/offset_index.h"
#include "storage/segment/time_index.h"

namespace millrace {

inline constexpr size_t kFindingsMax = 20;

// What cannot be as it is, in sentences. Further ones are counted.
class Findings {
 public:
  void Add(std::string finding) {
    ++count_;
    if (list_.size() < kFindingsMax) list_.push_back(std::move(finding));
  }
  size_t count() const { return count_; }
  const std::vector<std::string>& list() const { return list_; }

 private:
  std::vector<std::string> list_;
  size_t count_ = 0;
};

// Compares indexes with the batches of their segment, fed in order. Pure.
//
// An offset index may be sparse, but no entry may lead past a record: its position must be a
// batch's, which begins at or before its offset. An entry of the time index promises that nothing
// up to its offset is newer than its time.
class IndexAgreement {
 public:
  // The bytes must outlive it.
  IndexAgreement(std::span<const uint8_t> offset_index, std::span<const uint8_t> time_index,
                 Offset base)
      : offsets_(offset_index, base), times_(time_index, base) {}

  void OnBatch(const BatchHeader& header, uint64_t position, Findings& findings);
  // After the last batch, which ends at `log_bytes` with `end` behind its last offset.
  void Finish(Offset end, uint64_t log_bytes, Findings& findings);

 private:
  OffsetIndexView offsets_;
  TimeIndexView times_;
  size_t next_offset_entry_ = 0;
  size_t next_time_entry_ = 0;
  std::optional<Timestamp> newest_;  // Of the batches so far.
};

// Whether the records inside are as many as the header says, whole, and with offsets that go up
// within the batch.
absl::Status CheckBatchRecords(const BatchView& batch, Decompressor& decompressor);

struct SegmentReport {
  uint64_t batches = 0;
  uint64_t records = 0;
  uint64_t bytes = 0;         // Of whole batches.
  uint64_t unused_bytes = 0;  // Zeroes behind them: space taken in advance.
  Offset begin{0};            // Of the file's name.
  Offset end{0};              // Behind the last record.
  bool readable = true;       // To its end, batch by batch.
  Findings findings;
};

// The segment at `path` (a .log file named by its base offset) with the indexes beside it, if they
// are there. Offsets below `offset_min` are a finding.
Task<absl::StatusOr<SegmentReport>> VerifySegment(Disk& disk, std::string path,
                                                  Offset offset_min);  // Borrowed: in place.

}  // namespace millrace
