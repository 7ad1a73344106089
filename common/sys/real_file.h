// RealFile: one open file; see common/disk.h for what each call promises.
//
// Shard:    one. Lifetime: `port`, `writes` and `helpers` outlive it; Close() before destruction (CHECKed),
// and
//           no call may be pending then.
#pragma once

#include <cstdint>
#include <string>

#include "common/disk.h"
#include "common/runtime/helper_pool.h"
#include "common/sys/file_descriptor.h"
#include "common/sys/file_writes.h"
#include "common/sys/io_operation.h"

namespace millrace {

// What has not been synced may be gone, whatever the reason, so it is no case of "try again": kDataLoss.
absl::Status SyncFailed(int error, const std::string& path);

class RealFile final : public File {
 public:
  // `alignment`: what direct I/O needs; 1 for a buffered file. `path` is for messages.
  RealFile(IoPort& port, FileWrites& writes, HelperPool& helpers, FileDescriptor fd,
           size_t alignment, std::string path);
  ~RealFile() override;

  Task<absl::StatusOr<Slice>> ReadAt(uint64_t position, size_t length, ReadHint hint) override;
  // Who asks reads as much as he means to: from here on the kernel adds nothing of its own, which
  // would lie before others' writes in the device's queue (8 MiB for each reader on some machines).
  bool IsCached(uint64_t position, size_t length) override;
  Task<absl::Status> WriteAt(uint64_t position, Chain data, WriteFlags flags) override;
  Task<absl::Status> Sync() override;
  Task<absl::Status> Truncate(uint64_t size) override;
  Task<absl::Status> Allocate(uint64_t position, uint64_t length, bool grow) override;
  Task<absl::StatusOr<uint64_t>> Size() override;
  Task<absl::StatusOr<uint64_t>> Links() override;
  Task<absl::Status> Close() override;
  size_t alignment() const override { return alignment_; }
  int descriptor() const { return fd_.get(); }

 private:
  bool direct() const { return alignment_ > 1; }
  absl::Status Failed(int error, const char* call) const;

  IoPort& port_;
  FileWrites& writes_;
  HelperPool& helpers_;
  FileDescriptor fd_;
  const size_t alignment_;
  const std::string path_;
  bool reads_ahead_ = true;
};

}  // namespace millrace
