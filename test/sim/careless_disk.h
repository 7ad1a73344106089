// CarelessDisk: a disk that answers for syncs of segments that it never did, while it is told to: a
// planted bug of whoever uses it.
//
// Shard and lifetime: those of the disk behind it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/disk.h"
#include "common/env.h"

namespace millrace::simtest {

class CarelessDisk final : public Disk {
 public:
  explicit CarelessDisk(Disk& disk) : disk_(disk) {}
  void set_forgets(bool forgets) { forgets_ = forgets; }

  Task<absl::StatusOr<std::unique_ptr<File>>> Open(std::string path, OpenOptions options) override;
  Task<absl::Status> CreateDirectories(std::string path) override {
    return disk_.CreateDirectories(std::move(path));
  }
  Task<absl::StatusOr<std::vector<DirectoryEntry>>> List(std::string path) override {
    return disk_.List(std::move(path));
  }
  Task<absl::Status> Rename(std::string from, std::string to) override {
    return disk_.Rename(std::move(from), std::move(to));
  }
  Task<absl::Status> Remove(std::string path) override { return disk_.Remove(std::move(path)); }
  Task<absl::Status> SyncDirectory(std::string path) override {
    return disk_.SyncDirectory(std::move(path));
  }
  // One by one, then.
  Task<absl::Status> SyncTogether(std::vector<File*>, std::vector<std::string>) override {
    co_return absl::UnimplementedError("one by one");
  }
  Task<absl::StatusOr<std::unique_ptr<FileLock>>> Lock(std::string path) override {
    return disk_.Lock(std::move(path));
  }
  Task<absl::StatusOr<DiskSpace>> Space(std::string path) override {
    return disk_.Space(std::move(path));
  }

 private:
  class CarelessFile;

  Disk& disk_;
  bool forgets_ = false;
};

// The world of `env` with another disk.
inline Env WithDisk(Env& env, Disk& disk) {
  return {env.reactor, env.clock, env.random, disk, env.network, env.helpers, env.logger};
}

}  // namespace millrace::simtest
