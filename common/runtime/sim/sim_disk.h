// SimDisk: Disk over a node's SimDiskImage, as one shard of one process sees it: every operation
// takes virtual time, takes effect at a drawn moment of it, and may fail as the options say.
//
// An operation that a crash interrupts may have happened, not happened, or, for a write, happened
// up to a sector: part of it takes effect when it is submitted and the rest at its completion.
// Operations in flight together complete in any order. After the process's death every call ends
// with kCancelled, without effect (SimProcess).
//
// Shard:    one.
// Lifetime: as its process.
// Errors:   as Disk says; kCancelled after the process's death. Breaking a rule of O_DIRECT
//           (alignment of position, length, memory) is a bug of ours and CHECKed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/disk.h"
#include "common/runtime/sim/sim_disk_image.h"

namespace millrace {

class SimProcess;
class SimReactor;

class SimDisk final : public Disk {
 public:
  SimDisk(SimProcess& process, SimReactor& reactor) : process_(process), reactor_(reactor) {}

  Task<absl::StatusOr<std::unique_ptr<File>>> Open(std::string path, OpenOptions options) override;
  Task<absl::Status> CreateDirectories(std::string path) override;
  Task<absl::StatusOr<std::vector<DirectoryEntry>>> List(std::string path) override;
  Task<absl::Status> Rename(std::string from, std::string to) override;
  Task<absl::Status> Remove(std::string path) override;
  Task<absl::Status> SyncDirectory(std::string path) override;
  Task<absl::Status> SyncTogether(std::vector<File*> files,
                                  std::vector<std::string> folders) override;
  Task<absl::StatusOr<std::unique_ptr<FileLock>>> Lock(std::string path) override;
  Task<absl::StatusOr<DiskSpace>> Space(std::string path) override;

  // --- For its files.
  SimDiskImage& image();
  SimProcess& process() { return process_; }
  // Counts and traces the beginning of an operation, and waits for its time; false when the process
  // is dead. `sync`: it waits for the medium, which takes `more` on top of the disk's time.
  Task<bool> Begin(std::string_view what, uint64_t position, uint64_t length, bool sync,
                   Duration more = Duration(0));
  // Runs `change` at one of the operation's two ends, and answers what it did.
  Task<absl::Status> Change(std::string_view what, bool sync,
                            std::move_only_function<absl::Status()> change,
                            Duration more = Duration(0));

 private:
  SimProcess& process_;
  SimReactor& reactor_;
};

}  // namespace millrace
