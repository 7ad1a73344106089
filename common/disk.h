// Disk and File: everything this program does with files, so that the simulator can lie about it.
//
// Shard:      a Disk and its Files belong to one shard. Tasks suspend while the kernel works.
// Lifetime:   Close() a file before destroying it (CHECKed); the Disk outlives its files.
// Units:      bytes. Paths are absolute or relative to the process's directory, '/'-separated.
// Errors:     kNotFound, kAlreadyExists, kResourceExhausted (no space, no descriptors),
// kPermissionDenied,
//             kFailedPrecondition (not a directory, not empty, locked), kDataLoss (EIO),
//             kUnavailable (other). A failed Sync() is final for that file: the kernel may have
//             dropped the dirty pages, so the directory goes offline and the call is never
//             repeated.
// Durability: a write is durable after Sync() of the file, or at its completion when
// WriteFlags::durable.
//             A created, renamed or removed name is durable after SyncDirectory() of its folder.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/bytes/slice.h"
#include "common/runtime/task.h"

namespace millrace {

struct OpenOptions {
  bool create = false;     // Create if absent.
  bool exclusive = false;  // With create: kAlreadyExists if present.
  bool truncate = false;
  bool read_only = false;
  // Bypass the page cache where the file system allows it: positions, lengths and memory addresses
  // must then be multiples of File::alignment(). Where it does not, the file is opened without,
  // silently.
  bool direct = false;
};

struct WriteFlags {
  bool durable = false;  // RWF_DSYNC: the data is on the medium at completion.
  // The kernel begins to write it out now, instead of with all the rest at the next Sync(), whose
  // burst would hold up who shares the disk. A hint: promises nothing about durability.
  bool write_back_soon = false;
};

enum class ReadHint { kNormal, kSequentialOnce };  // The second drops the pages behind it.

class File {
 public:
  virtual ~File() = default;

  // Up to `length` bytes at `position`; fewer only at the end of the file. The memory is page
  // aligned.
  virtual Task<absl::StatusOr<Slice>> ReadAt(uint64_t position, size_t length, ReadHint hint) = 0;

  // Whether the page cache has all of these bytes, so that a reader of a direct file would only
  // trouble the disk for them. True also where nobody can tell. REQUIRES: they are in the file.
  virtual bool IsCached(uint64_t position, size_t length) = 0;

  // All of `data` at `position`, in order. On error any part of it may have been written.
  virtual Task<absl::Status> WriteAt(uint64_t position, Chain data, WriteFlags flags) = 0;

  // fdatasync. Never retried after a failure.
  virtual Task<absl::Status> Sync() = 0;

  virtual Task<absl::Status> Truncate(uint64_t size) = 0;

  // Reserves blocks for [position, position + length); grows the file to that end when `grow`.
  virtual Task<absl::Status> Allocate(uint64_t position, uint64_t length, bool grow) = 0;

  virtual Task<absl::StatusOr<uint64_t>> Size() = 0;

  // How many names the file has: with more than one, somebody else's copy of it is the file itself.
  virtual Task<absl::StatusOr<uint64_t>> Links() = 0;

  virtual Task<absl::Status> Close() = 0;

  // What direct I/O must align to; 1 when the file is buffered.
  virtual size_t alignment() const = 0;
};

struct DirectoryEntry {
  std::string name;
  bool is_directory;
  uint64_t size;  // 0 for directories.
};

// A folder to be made, and the one file in it.
struct NewFolder {
  std::string name;
  std::string file;
  std::string content;
};

// Of a file system, as its owner's quota and reserved blocks leave it.
struct DiskSpace {
  uint64_t total_bytes;
  uint64_t usable_bytes;  // What an unprivileged writer may still use.
};

// Held while the process uses a directory; released by its destructor or the process's end.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

class Disk {
 public:
  virtual ~Disk() = default;

  virtual Task<absl::StatusOr<std::unique_ptr<File>>> Open(std::string path,
                                                           OpenOptions options) = 0;
  // Creates the folder and its parents; ok if present.
  virtual Task<absl::Status> CreateDirectories(std::string path) = 0;
  // Makes folders in `path`, which is there, each with one file; what came of each, in their order.
  // Durable when it returns, their names in `path` too. For very many: they share what a call and
  // what a sync costs. Of one that failed there may be a part. kAlreadyExists: something has the
  // folder's name.
  virtual Task<std::vector<absl::Status>> MakeFolders(std::string path,
                                                      std::vector<NewFolder> folders);
  // Sorted by name, so that the order is the same in every process.
  virtual Task<absl::StatusOr<std::vector<DirectoryEntry>>> List(std::string path) = 0;
  // What List() says of each of these folders of `path`, in their order. For very many folders:
  // they share what a call costs.
  virtual Task<std::vector<absl::StatusOr<std::vector<DirectoryEntry>>>> ListEach(
      std::string path, std::vector<std::string> folders);
  virtual Task<absl::Status> Rename(std::string from, std::string to) = 0;
  // A file or an empty folder. kNotFound when absent.
  virtual Task<absl::Status> Remove(std::string path) = 0;
  virtual Task<absl::Status> SyncDirectory(std::string path) = 0;
  // Sync() of each of these files and SyncDirectory() of each of these folders, together: for very many, because
  // they share what a sync costs, and what others have left unsynced there is written, too. REQUIRES: the files are
  // this disk's and not closed meanwhile. kUnimplemented: not on this file system, or not for so few: to be synced one
  // by one. Any other failure is final for all of them.
  virtual Task<absl::Status> SyncTogether(std::vector<File*> files,
                                          std::vector<std::string> folders) = 0;
  // Exclusive lock on a file that is created when absent; kFailedPrecondition when another process
  // has it.
  virtual Task<absl::StatusOr<std::unique_ptr<FileLock>>> Lock(std::string path) = 0;
  // The room on the file system of `path`.
  virtual Task<absl::StatusOr<DiskSpace>> Space(std::string path) = 0;
};

// Reads a whole file of at most `bytes_max`; kOutOfRange beyond it.
Task<absl::StatusOr<Slice>> ReadWholeFile(Disk& disk, std::string path,
                                          size_t bytes_max);  // Borrowed: awaited in place.

// CreateDirectories(), and every name on the way to `path` is durable when it returns: what is made
// durable inside the folder is worth nothing if power loss takes the folder itself.
Task<absl::Status> CreateDirectoriesDurably(Disk& disk,
                                            std::string path);  // Borrowed: awaited in place.

// Replaces `path` by `content` so that a crash leaves the old or the new: temporary file, sync,
// rename, sync of the folder.
Task<absl::Status> ReplaceFile(Disk& disk, std::string path,
                               std::string content);  // Borrowed: awaited in place.

}  // namespace millrace
