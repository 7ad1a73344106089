// FileWrites: who carries a file's writes out. The ways promise the same (common/disk.h) and differ in whose
// processor copies into the page cache, and in who stands still meanwhile.
//
// Shard:    one. Lifetime: outlives the files that write by it; what it is made of outlives it.
// Errors:   Write() gives 0 or an errno; any part of the bytes may have been written then.
// Source:   which way and why: kBufferedWritesBy. The figures: docs/storage.md, Writing behind.
#pragma once

#include <cstdint>
#include <memory>

#include "common/bytes/slice.h"
#include "common/runtime/helper_pool.h"
#include "common/runtime/task.h"
#include "common/sys/io_operation.h"

namespace millrace {

enum class WritesBy : uint8_t {
  kHelper,  // A helper thread makes the call: two switches of threads for each write.
  kShard,  // The shard makes it itself, and stands still until the kernel has copied and found room.
  kPort,  // The ring's: what the page cache is in the way of, the kernel gives to a worker of its own.
};

// How buffered files are written. Not by the shard: the kernel makes a writer wait when much is dirty, and all that the
// shard serves would wait with it. Not by the port: its worker costs what a helper does, where there is a ring at all,
// and what follows a segment's write (write_back_soon) needs the helper anyway. Files opened `direct` are always written
// by the port, which needs no thread for them.
inline constexpr WritesBy kBufferedWritesBy = WritesBy::kHelper;

class FileWrites {
 public:
  virtual ~FileWrites() = default;

  static std::unique_ptr<FileWrites> Make(WritesBy by, IoPort& port, HelperPool& helpers);

  // All of `data` at `position`, in order. `flags`: RWF_*. `soon`: WriteFlags::write_back_soon.
  virtual Task<int> Write(int fd, uint64_t position, Chain data, int flags, bool soon) = 0;
};

// Has the kernel begin to write a part of the file out (length 0: to its end). Returns an errno: some of what was
// written before is lost, and it may be that nobody else is told. (ext4 that finds no blocks for delayed writes
// drops them; fsync() says so, but not behind this call or syncfs().)
int BeginWriteBack(int fd, uint64_t begin, uint64_t length);

}  // namespace millrace
