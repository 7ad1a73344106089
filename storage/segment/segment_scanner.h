// SegmentScanner: the batches of a segment file one after another, as far as they can be believed.
// What recovery, index rebuilding and `log verify` walk files with.
//
// A batch is believed when it is whole within the file, has sound fields, and (where asked) its CRC
// holds and its offsets continue those before it. The first one that is not ends the walk: defect()
// says why.
//
// Shard:    one; suspends for reading.
// Lifetime: `file` must outlive it.
// Errors:   only what File::ReadAt() returns; unsound bytes are a defect, not an error.
// Bounds:   memory: one window of kScanWindowBytes, or one batch if that is larger.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "common/bytes/slice.h"
#include "common/disk.h"
#include "common/ids.h"
#include "common/runtime/task.h"
#include "storage/record/record_batch.h"

namespace millrace {

inline constexpr size_t kScanWindowBytes = size_t{1} << 20;

class SegmentScanner {
 public:
  struct Options {
    uint64_t begin = 0;
    uint64_t end;          // Bytes at and behind it are not looked at.
    Offset offset_min{0};  // Of the first batch; each later one begins at or above the end of the
                           // one before it.
    // No batch ends above it. A batch's base is outside its checksum: rot may have made it anything.
    std::optional<Offset> offset_max = std::nullopt;
    bool check_crc = true;
    ReadHint hint = ReadHint::kNormal;
    size_t batch_bytes_max = size_t{1} << 31;  // Larger lengths are a defect.
  };

  SegmentScanner(File& file, Options options)
      : options_(options),
        file_(file),
        position_(options.begin),
        next_offset_(options.offset_min) {}

  // The next sound batch; nothing at the end of the range, or at a defect.
  Task<absl::StatusOr<std::optional<BatchView>>> Next();

  // Where the next batch begins, or would: behind the last sound one.
  uint64_t position() const { return position_; }
  // Where the last returned batch begins.
  uint64_t batch_position() const { return batch_position_; }
  Offset next_offset() const { return next_offset_; }
  // What is wrong at position(); empty while nothing is.
  const std::string& defect() const { return defect_; }

 private:
  // Makes at least `bytes` from position_ on available in window_, if the range has them.
  Task<absl::Status> Fill(size_t bytes);
  size_t available() const { return window_.size() - (position_ - window_position_); }

  // Constant after construction.
  const Options options_;

  // Borrowed.
  File& file_;

  // State.
  Slice window_;
  uint64_t window_position_ = 0;
  uint64_t position_;
  uint64_t batch_position_ = 0;
  Offset next_offset_;
  std::string defect_;
};

}  // namespace millrace
