// MetadataFolder: what lies in metadata.log.dir beside meta.properties:
//
//   millrace-state/            the node's key-value store: the metadata log, checkpoints of logs
//   .millrace_started          there has been a store with a metadata log here. An empty one beside
//                              it was lost, and the votes it had cast (RaftQuorumOptions::had_store)
//   millrace-state.damaged.N/  stores that could not be read, set aside; people may remove them
//
// Shard:      shard 0.
// Lifetime:   `disk` outlives it.
// Durability: what succeeded is on the disk.
// Errors:     the disk's.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <string>
#include <utility>

#include "common/disk.h"
#include "common/runtime/task.h"

namespace millrace {

class MetadataFolder {
 public:
  MetadataFolder(Disk& disk, std::string path) : disk_(disk), path_(std::move(path)) {}

  std::string store_path() const;
  std::string mark_path() const;

  Task<absl::StatusOr<bool>> HadStore();
  Task<absl::Status> RememberStore();

  // Moves the store out of the way; gives its new path. REQUIRES: nobody has it open.
  Task<absl::StatusOr<std::string>> SetStoreAside();

 private:
  Disk& disk_;
  const std::string path_;
};

}  // namespace millrace
