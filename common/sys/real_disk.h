// RealDisk: files of the operating system.
//
// Shard:    one. Lifetime: `port` and `helpers` outlive it and its files.
// How:      reads, and writes to files opened `direct`, go through the port (the ring carries
//           O_DIRECT out without a thread). Buffered writes go by the way that is chosen in
//           file_writes.h. Everything that touches names or sizes goes to the helper threads. Sync
//           goes through the port.
// Errors:   as common/disk.h.
#pragma once

#include <memory>

#include "common/disk.h"
#include "common/runtime/helper_pool.h"
#include "common/sys/file_writes.h"
#include "common/sys/io_operation.h"

namespace millrace {

class RealDisk final : public Disk {
 public:
  RealDisk(IoPort& port, HelperPool& helpers, WritesBy buffered_by = kBufferedWritesBy)
      : port_(port),
        helpers_(helpers),
        buffered_writes_(FileWrites::Make(buffered_by, port, helpers)),
        direct_writes_(FileWrites::Make(WritesBy::kPort, port, helpers)) {}

  Task<absl::StatusOr<std::unique_ptr<File>>> Open(std::string path, OpenOptions options) override;
  Task<absl::Status> CreateDirectories(std::string path) override;
  Task<std::vector<absl::Status>> MakeFolders(std::string path,
                                              std::vector<NewFolder> folders) override;
  Task<absl::StatusOr<std::vector<DirectoryEntry>>> List(std::string path) override;
  Task<std::vector<absl::StatusOr<std::vector<DirectoryEntry>>>> ListEach(
      std::string path, std::vector<std::string> folders) override;
  Task<absl::Status> Rename(std::string from, std::string to) override;
  Task<absl::Status> Remove(std::string path) override;
  Task<absl::Status> SyncDirectory(std::string path) override;
  Task<absl::Status> SyncTogether(std::vector<File*> files,
                                  std::vector<std::string> folders) override;
  Task<absl::StatusOr<std::unique_ptr<FileLock>>> Lock(std::string path) override;
  Task<absl::StatusOr<DiskSpace>> Space(std::string path) override;

 private:
  IoPort& port_;
  HelperPool& helpers_;
  const std::unique_ptr<FileWrites> buffered_writes_;
  const std::unique_ptr<FileWrites> direct_writes_;
};

}  // namespace millrace
