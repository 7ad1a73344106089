// SimDiskImage: a simulated file system: what a node's processes see, and what is on the medium.
//
// Names are like data: a created, renamed or removed name is shown at once and durable after
// SyncDirectory(). A power loss keeps a prefix of the unsynced name changes (a journalling file
// system) or any subset of them (the least POSIX promises), drawn anew; each rename is whole or not
// at all. A file's data and its name are independent: a synced file whose folder was not may have
// no name, and a name may lead to an empty file.
// A kill loses nothing here: the page cache is the kernel's.
//
// Shard:    the world's. State only: waiting and latency are SimDisk's.
// Lifetime: the node's; files stay while somebody has them open.
// Units:    bytes. Paths are '/'-separated; a relative path starts at the root.
// Errors:   as Disk says.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/disk.h"
#include "common/runtime/sim/sim_disk_options.h"
#include "common/runtime/sim/sim_file_data.h"
#include "common/runtime/sim/sim_random.h"

namespace millrace {

// A file or a folder, apart from its names.
struct SimInode {
  bool is_directory = false;
  SimFileData data;
  int links = 0;  // Names shown that lead here.
  int opens = 0;  // Files open on it. With neither it takes no room, although it may come back.
  // Folders: as shown and as the medium has them.
  std::map<std::string, std::shared_ptr<SimInode>> names;
  std::map<std::string, std::shared_ptr<SimInode>> synced_names;
};

// What an operation wants of the disk, each more than the one before.
enum class SimAccess { kRead, kChange, kRoom };

class SimDiskImage {
 public:
  SimDiskImage(SimDiskOptions options, uint64_t seed);
  SimDiskImage(const SimDiskImage&) = delete;
  SimDiskImage& operator=(const SimDiskImage&) = delete;

  // May be changed at any time: that is how a disk begins to fail.
  SimDiskOptions& options() { return options_; }
  SimRandom& dice() { return dice_; }

  // --- What SimDisk does with it.
  absl::StatusOr<std::shared_ptr<SimInode>> Open(const std::string& path, OpenOptions options);
  absl::Status CreateDirectories(const std::string& path);
  absl::StatusOr<std::vector<DirectoryEntry>> List(const std::string& path);
  absl::Status Rename(const std::string& from, const std::string& to);
  absl::Status Remove(const std::string& path);
  absl::Status SyncDirectory(const std::string& path);
  // Creates the file when absent.
  absl::Status Lock(const std::string& path);
  void Unlock(const std::string& path);
  uint64_t UsedBytes() const;
  uint64_t FreeBytes() const;
  // kResourceExhausted when `file` may not take `bytes` in all.
  absl::Status CheckRoom(const std::string& path, const SimFileData& file, uint64_t bytes) const;
  // Why an operation on `path` fails: what Break() was told.
  absl::Status CheckAccess(const std::string& path, SimAccess access) const;

  // --- Crashes.
  void ReleaseLocks() { locks_.clear(); }
  void LosePower();
  void Wipe();

  // --- What scenarios do to it.
  // The next such operation of any file fails (then it works again).
  void FailNextRead() { ++reads_to_fail_; }
  void FailNextWrite() { ++writes_to_fail_; }
  void FailNextSync() { ++syncs_to_fail_; }
  // Of a file whose path has `part` in it.
  void MisdirectNextWrite(std::string part = "") {
    ++writes_to_misdirect_;
    misdirected_part_ = std::move(part);
  }
  void CountMisdirected() { ++misdirected_; }
  uint64_t misdirected() const { return misdirected_; }
  // A part of the tree, as if it were a disk of its own, fails with `why` at every operation that
  // wants `least` or more: kRead is a disk that is gone, kChange one that is read-only, kRoom one
  // that is full. Files that are open there fail too. Until Mend().
  void Break(const std::string& prefix, SimAccess least, absl::Status why);
  void Mend(const std::string& prefix) { broken_.erase(Normal(prefix)); }
  // There what is made durable, or removed, takes so much longer, until Slow() with 0.
  void Slow(const std::string& prefix, Duration more);
  // How much longer it takes for `path`.
  Duration SlowBy(const std::string& path) const;
  // What was ordered and has not happened does not happen.
  void ForgetOrderedFaults();
  // Whether this one does: by order or by chance.
  bool ReadFails();
  bool WriteFails();
  bool SyncFails();
  bool WriteIsMisdirected(const std::string& path);
  // Makes all that is shown durable: what a machine had long before the story begins.
  void SyncEverything();
  // The file behind a path as it is shown; null when there is none. For checks, rot and surgery
  // (FlipBit(), Write(), Resize()) while the node is off.
  SimFileData* Find(const std::string& path);
  // Every file's path, sorted.
  std::vector<std::string> Files();
  // Called at the beginning of each operation, with its number since the image was made: "crash at
  // any file operation" asks the world for a kill from here.
  void set_operation_hook(std::function<void(uint64_t)> hook) { hook_ = std::move(hook); }
  uint64_t operations() const { return operations_; }
  void CountOperation();

 private:
  // One name now leads to another file, or nowhere.
  struct NameChange {
    std::shared_ptr<SimInode> directory;
    std::string name;
    std::shared_ptr<SimInode> target;
  };
  // What one call changed; survives whole or not at all.
  using Change = std::vector<NameChange>;
  struct Place {
    std::shared_ptr<SimInode> directory;
    std::string name;
  };

  static std::vector<std::string> Split(const std::string& path);
  static std::string Normal(const std::string& path);
  std::shared_ptr<SimInode> Walk(const std::string& path) const;
  // The folder that has, or may get, the last part of `path`.
  absl::StatusOr<Place> Locate(const std::string& path) const;
  void Apply(Change change);
  static void ApplySynced(const Change& change);
  // What a crash leaves becomes what is shown.
  static void ShowSynced(SimInode& directory, SimRandom& dice);
  static void CollectFiles(const SimInode& directory, const std::string& prefix,
                           std::vector<std::string>* files);

  SimDiskOptions options_;
  SimRandom dice_;
  std::shared_ptr<SimInode> root_;
  std::vector<Change> unsynced_changes_;  // Oldest first.
  std::map<std::string, bool> locks_;     // By normal path.
  struct Breakage {
    SimAccess least;
    absl::Status why;
  };
  std::map<std::string, Breakage> broken_;      // By normal path.
  std::map<std::string, Duration> slow_;        // Likewise.
  std::vector<std::weak_ptr<SimInode>> files_;  // All that may take room, named or open.
  uint64_t operations_ = 0;
  std::function<void(uint64_t)> hook_;
  uint32_t reads_to_fail_ = 0;
  uint32_t writes_to_fail_ = 0;
  uint32_t syncs_to_fail_ = 0;
  uint32_t writes_to_misdirect_ = 0;
  std::string misdirected_part_;
  uint64_t misdirected_ = 0;
};

}  // namespace millrace
