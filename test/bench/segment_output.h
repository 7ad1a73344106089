// SegmentOutput: one growing segment file, as the benchmark of segment writes brings gathered pieces into it.
// Whatever the way, the file has in the end what was appended, in order, and Kafka's layout: nothing between pieces.
//
// Shard:      one; one call at a time. Lifetime: `disk` outlives it; Close() before destruction.
// Errors:     as common/disk.h.
// Durability: Append() promises nothing; after Sync() all that was appended is on the medium.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "common/bytes/slice.h"
#include "common/disk.h"
#include "common/runtime/task.h"

namespace millrace::bench {

class SegmentOutput {
 public:
  virtual ~SegmentOutput() = default;
  virtual Task<absl::Status> Append(Chain bytes) = 0;
  virtual Task<absl::Status> Sync() = 0;
  virtual Task<absl::Status> Close() = 0;
  virtual uint64_t size() const = 0;
};

using OpenedOutput = absl::StatusOr<std::unique_ptr<SegmentOutput>>;

// Through the page cache, by the way that the world's disk was made with.
Task<OpenedOutput> OpenBufferedOutput(Disk& disk, std::string path,
                                      bool write_back_soon);  // Borrowed: awaited in place.

// Past the page cache. Pieces begin and end anywhere, so they are copied into aligned memory; the whole blocks of that
// are written, and the rest waits for the next piece. Sync() writes that rest through the page cache, and the next
// piece writes its block once more. With `reserve_bytes` above 0 blocks are reserved ahead, so many at a time.
Task<OpenedOutput> OpenDirectOutput(Disk& disk, std::string path,
                                    uint64_t reserve_bytes);  // Borrowed: awaited in place.

}  // namespace millrace::bench
