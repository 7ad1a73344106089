// Copies of logs that moves make and leave behind (log_mover.h): whose they are, and what becomes of
// one that a start finds, or a move that begins anew.
//
// Shard:  FateOf(): any; pure. The others: whichever; they use the disk alone.
// Errors: the disk's.
// Source: docs/storage.md, Several directories.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <optional>
#include <string>

#include "common/disk.h"
#include "common/ids.h"
#include "common/runtime/task.h"

namespace millrace {

// What a start knows of a copy whose log has a checkpoint.
struct CopyFacts {
  // Whose log it is a whole copy of; nothing where it is not whole.
  std::optional<TopicPartitionId> of;
  // The log that the checkpoint is of, and whether it names the copy's directory; nothing where it
  // names none, as those of old versions.
  TopicPartitionId log;
  std::optional<bool> named_here;
  bool folder_here;   // Beside the copy there is a folder with the log's name.
  bool folder_there;  // There is one in the other directory that the checkpoint names, or may mean.
};

enum class CopyFate {
  kIsTheLog,  // The move was made, and the copy lacks but its name.
  kGoes,      // The log is elsewhere for certain, and all that is in here.
  kSetAside,  // The log is elsewhere for certain, but this was once another one, or the log itself.
  kStays,     // Nobody can tell.
};

CopyFate FateOf(const CopyFacts& facts);

// The log that the folder at `path` holds, as its partition.metadata says; nothing where it has none
// that can be understood: a copy is not whole before it has, and what is removed has it no more.
Task<absl::StatusOr<std::optional<TopicPartitionId>>> LogIn(
    Disk& disk, std::string path, PartitionId partition);  // Borrowed: awaited in place.

// Gives `directory`/`from` the name `to`, durably.
Task<absl::Status> RenameFolder(Disk& disk, std::string directory, std::string from,
                                std::string to);  // Borrowed: awaited in place.

}  // namespace millrace
