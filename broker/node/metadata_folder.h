// MetadataFolder: what lies in metadata.log.dir beside meta.properties:
//
//   millrace-state/            the node's key-value store: the metadata log, checkpoints of logs
//   .millrace_started          there has been a store with a metadata log here. An empty one beside
//                              it was lost, and the votes it had cast (RaftQuorumOptions::had_store)
//   .millrace_alone            this controller is the only voter of its quorum: nobody else has what
//                              is in its store (RaftQuorumOptions::alone)
//   .millrace_damaged          what is in millrace-state/ turned out to be damaged while it was open
//   millrace-state.damaged.N/  stores that could not be read, set aside; people may remove them
//
// Shard:      shard 0.
// Lifetime:   `disk` outlives it.
// Durability: what succeeded is on the disk.
// Errors:     the disk's.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/disk.h"
#include "common/ids.h"
#include "common/runtime/task.h"

namespace millrace {

class MetadataFolder {
 public:
  MetadataFolder(Disk& disk, std::string path) : disk_(disk), path_(std::move(path)) {}

  // Of meta.properties: a mark of another one is of a life before it was formatted anew.
  void SetIdentity(DirectoryId directory) { identity_ = directory; }

  std::string store_path() const;
  std::string mark_path() const;

  // REQUIRES: SetIdentity().
  Task<absl::StatusOr<bool>> HadStore();
  Task<absl::Status> RememberStore();
  Task<absl::StatusOr<bool>> IsAlone();
  Task<absl::Status> RememberAlone(bool alone);
  // The store is damaged where it was not read at its opening: the next start is to set it aside.
  Task<absl::Status> RememberDamage();
  Task<absl::StatusOr<bool>> HasDamage();

  // Moves the store out of the way, and then forgets the damage; gives the store's new path. Nothing
  // where there is none: a start that a crash ended had moved it. REQUIRES: nobody has it open.
  Task<absl::StatusOr<std::optional<std::string>>> SetStoreAside();
  // How many are there that were.
  Task<absl::StatusOr<size_t>> CountSetAside();

 private:
  Task<absl::StatusOr<bool>> HasMark(std::string_view file,
                                     std::string_view text);  // Constants.

  Disk& disk_;
  const std::string path_;
  DirectoryId identity_{0, 0};
};

}  // namespace millrace
