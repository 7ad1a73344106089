#include "common/sys/real_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "common/sys/errno_status.h"
#include "common/sys/file_descriptor.h"
#include "common/sys/real_file.h"

namespace millrace {
namespace {

// What a helper thread did: a descriptor and an alignment, or an errno.
struct Opened {
  int error = 0;
  FileDescriptor fd;
  size_t alignment = 1;
};

// What O_DIRECT must align to on this file; 1 when the file system does not do it.
size_t DirectAlignment(int fd) {
#ifdef STATX_DIOALIGN
  struct statx info{};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) == 0 &&
      (info.stx_mask & STATX_DIOALIGN) != 0) {
    return std::max<size_t>({1, info.stx_dio_mem_align, info.stx_dio_offset_align});
  }
#endif
  return kPageSize;  // A kernel before 6.1 does not say; a page suits every device we know.
}

int OpenRetrying(const std::string& path, int flags) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags, 0644);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

Opened OpenBlocking(const std::string& path, const OpenOptions& options) {
  int flags = O_CLOEXEC | (options.read_only ? O_RDONLY : O_RDWR);
  if (options.create) flags |= O_CREAT;
  if (options.exclusive) flags |= O_EXCL;
  if (options.truncate) flags |= O_TRUNC;
  Opened opened;
  if (options.direct) {
    // O_EXCL is safe to try twice: EINVAL comes before the file is made.
    opened.fd = FileDescriptor(OpenRetrying(path, flags | O_DIRECT));
    if (opened.fd.valid()) {
      opened.alignment = DirectAlignment(opened.fd.get());
      if (opened.alignment > 1) return opened;
      // Opened, and yet no direct I/O on this file.
      ::fcntl(opened.fd.get(), F_SETFL, ::fcntl(opened.fd.get(), F_GETFL) & ~O_DIRECT);
      return opened;
    }
    if (errno != EINVAL) {
      opened.error = errno;
      return opened;
    }
  }
  opened.fd = FileDescriptor(OpenRetrying(path, flags));
  if (!opened.fd.valid()) opened.error = errno;
  return opened;
}

int CreateDirectoriesBlocking(const std::string& path) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string prefix = path.substr(0, end);
    if (::mkdir(prefix.c_str(), 0755) != 0 && errno != EEXIST) return errno;
    if (end == std::string::npos) break;
  }
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return errno;
  return S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
}

// From so many folders on, one sync of the file system is cheaper than two for each, although it
// writes what others have left unsynced there, too.
constexpr size_t kSyncedTogetherMin = 16;

// Whether syncfs() of the file system of `fd` is fsync() of all that is on it, but for what a last fdatasync() adds
// (SyncWhole()). It tells what went wrong since Linux 5.17 (of failed writes since 5.8); a file system in user space,
// or over others, need not hear of it.
bool SyncfsIsEnough(int fd) {
  struct statfs system{};
  if (::fstatfs(fd, &system) != 0) return false;
  static constexpr std::array<int64_t, 3> kKnown = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,
                                                    BTRFS_SUPER_MAGIC};
  if (std::ranges::find(kKnown, static_cast<int64_t>(system.f_type)) == kKnown.end()) return false;
  static const bool tells = [] {
    utsname kernel{};
    int major = 0;
    int minor = 0;
    return ::uname(&kernel) == 0 && std::sscanf(kernel.release, "%d.%d", &major, &minor) == 2 &&
           std::pair(major, minor) >= std::pair(5, 17);
  }();
  return tells;
}

// All of the file system of `fd`. Returns an errno. A file system that was shut down, or has become read-only, lets
// syncfs() succeed, and one whose log is clean leaves the drive's cache as it is: fdatasync() does neither.
int SyncWhole(int fd) { return ::syncfs(fd) != 0 || ::fdatasync(fd) != 0 ? errno : 0; }

// In the folder `base`. Returns an errno.
int MakeFolderBlocking(int base, const NewFolder& folder) {
  if (::mkdirat(base, folder.name.c_str(), 0755) != 0) return errno;
  FileDescriptor made(::openat(base, folder.name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!made.valid()) return errno;
  FileDescriptor file(
      ::openat(made.get(), folder.file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file.valid()) return errno;
  for (size_t done = 0; done < folder.content.size();) {
    const ssize_t wrote =
        ::write(file.get(), folder.content.data() + done, folder.content.size() - done);
    if (wrote < 0 && errno != EINTR) return errno;
    if (wrote > 0) done += static_cast<size_t>(wrote);
  }
  return 0;
}

// What MakeFolderBlocking() made. That a write has failed meanwhile is told to who opens the file now.
int SyncFolderBlocking(int base, const NewFolder& folder) {
  FileDescriptor made(::openat(base, folder.name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!made.valid()) return errno;
  FileDescriptor file(::openat(made.get(), folder.file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return errno;
  return ::fsync(file.get()) != 0 || ::fsync(made.get()) != 0 ? errno : 0;
}

// Returns an errno for each.
std::vector<int> MakeFoldersBlocking(const std::string& path,
                                     const std::vector<NewFolder>& folders) {
  // Open before anything is written: syncfs() tells of errors from then on.
  FileDescriptor base(OpenRetrying(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!base.valid()) return std::vector<int>(folders.size(), errno);
  std::vector<int> errors;
  errors.reserve(folders.size());
  for (const NewFolder& folder : folders) errors.push_back(MakeFolderBlocking(base.get(), folder));
  const bool together = folders.size() >= kSyncedTogetherMin && SyncfsIsEnough(base.get());
  // What it says to have failed may be another's, of long ago.
  if (together && SyncWhole(base.get()) == 0) return errors;
  for (size_t i = 0; i < folders.size(); ++i) {
    if (errors[i] == 0) errors[i] = SyncFolderBlocking(base.get(), folders[i]);
  }
  if (::fsync(base.get()) != 0) {
    const int unsynced = errno;
    for (int& error : errors) error = error == 0 ? unsynced : error;
  }
  return errors;
}

// Of several file systems, each once.
class FileSystemSync {
 public:
  // All that is on the file system of `fd`. Returns an errno; ENOSYS when this one cannot.
  int Sync(int fd) {
    struct stat info{};
    if (::fstat(fd, &info) != 0) return errno;
    if (Has(info)) return 0;
    if (!SyncfsIsEnough(fd)) return ENOSYS;
    synced_.push_back(info.st_dev);
    return SyncWhole(fd);
  }
  // ENOSYS also where it cannot be opened: whoever syncs it alone is told why.
  int Sync(const std::string& folder) {
    struct stat info{};
    if (::stat(folder.c_str(), &info) != 0) return ENOSYS;
    if (Has(info)) return 0;
    FileDescriptor fd(OpenRetrying(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return fd.valid() ? Sync(fd.get()) : ENOSYS;
  }

 private:
  bool Has(const struct stat& info) const {
    return std::ranges::find(synced_, info.st_dev) != synced_.end();
  }

  std::vector<dev_t> synced_;
};

// Returns an errno; ENOSYS when they must be synced one by one.
int SyncTogetherBlocking(const std::vector<int>& files, const std::vector<std::string>& folders) {
  for (const int file : files) {
    if (const int error = BeginWriteBack(file, 0, 0); error != 0) return error;
  }
  FileSystemSync systems;
  for (const int file : files) {
    if (const int error = systems.Sync(file); error != 0) return error;
  }
  for (const std::string& folder : folders) {
    if (const int error = systems.Sync(folder); error != 0) return error;
  }
  // syncfs() tells whoever asks first that something could not be written, which may have been another program. A file
  // tells each that had it open; waiting for writes that have ended costs nothing.
  for (const int file : files) {
    if (::sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE) != 0) return errno;
  }
  return 0;
}

// What getdents64() fills, as the kernel lays it out; a name and padding follow.
struct RawEntry {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
};
constexpr size_t kRawNameAt = 19;
constexpr size_t kListBytes = 32 << 10;

// Adds one entry, unless it has gone since. Returns an errno.
int AddEntry(int folder, const char* name, uint8_t type, std::vector<DirectoryEntry>* entries) {
  if (std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0) return 0;
  // A folder says so itself on the file systems we know; sizes and links must be asked for.
  bool is_directory = type == DT_DIR;
  uint64_t size = 0;
  if (!is_directory) {
    struct stat info{};
    if (::fstatat(folder, name, &info, 0) != 0) {
      return errno == ENOENT ? 0 : errno;  // Removed since, or a dangling link.
    }
    is_directory = S_ISDIR(info.st_mode);
    if (!is_directory) size = static_cast<uint64_t>(info.st_size);
  }
  entries->push_back({.name = name, .is_directory = is_directory, .size = size});
  return 0;
}

// `path` is relative to the folder `base`, which may be AT_FDCWD. Not readdir(): a start lists a
// folder per partition, and opendir()'s buffer and fstat() would be half of what that costs.
int ListBlocking(int base, const std::string& path, std::vector<DirectoryEntry>* entries) {
  FileDescriptor folder;
  do {
    folder = FileDescriptor(::openat(base, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  } while (!folder.valid() && errno == EINTR);
  if (!folder.valid()) return errno;
  alignas(RawEntry) std::array<char, kListBytes> buffer;
  for (;;) {
    const long got = ::syscall(SYS_getdents64, folder.get(), buffer.data(), buffer.size());
    if (got < 0) return errno;
    if (got == 0) break;
    for (long at = 0; at < got;) {
      RawEntry raw;
      std::memcpy(&raw, buffer.data() + at, sizeof(raw));
      if (int error = AddEntry(folder.get(), buffer.data() + at + kRawNameAt, raw.type, entries)) {
        return error;
      }
      at += raw.length;
    }
  }
  std::ranges::sort(*entries, {}, &DirectoryEntry::name);
  return 0;
}

int RemoveBlocking(const std::string& path) { return std::remove(path.c_str()) == 0 ? 0 : errno; }

int SyncDirectoryBlocking(const std::string& path) {
  FileDescriptor folder(OpenRetrying(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) return errno;
  return ::fsync(folder.get()) == 0 ? 0 : errno;
}

// An open file description lock: it also excludes programs that use fcntl's classic locks (as Java
// does), and another Lock() in this process.
Opened LockBlocking(const std::string& path) {
  Opened opened;
  opened.fd = FileDescriptor(OpenRetrying(path, O_RDWR | O_CREAT | O_CLOEXEC));
  if (!opened.fd.valid()) {
    opened.error = errno;
    return opened;
  }
  struct flock range{};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  if (::fcntl(opened.fd.get(), F_OFD_SETLK, &range) != 0) {
    opened.error = errno == EACCES ? EAGAIN : errno;
  }
  return opened;
}

class RealFileLock final : public FileLock {
 public:
  explicit RealFileLock(FileDescriptor fd) : fd_(std::move(fd)) {}

 private:
  FileDescriptor fd_;  // Closing it releases the lock.
};

absl::Status StatusOf(int error, const char* call, const std::string& path) {
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, fmt::format("{} {}", call, path));
}

}  // namespace

Task<absl::StatusOr<std::unique_ptr<File>>> RealDisk::Open(std::string path, OpenOptions options) {
  Opened opened =
      co_await helpers_.Call<Opened>([path, options] { return OpenBlocking(path, options); });
  if (opened.error != 0) co_return StatusOf(opened.error, "open", path);
  FileWrites& writes = opened.alignment > 1 ? *direct_writes_ : *buffered_writes_;
  co_return std::make_unique<RealFile>(port_, writes, helpers_, std::move(opened.fd),
                                       opened.alignment, std::move(path));
}

Task<absl::Status> RealDisk::CreateDirectories(std::string path) {
  int error = co_await helpers_.Call<int>([path] { return CreateDirectoriesBlocking(path); });
  co_return StatusOf(error, "mkdir", path);
}

Task<std::vector<absl::Status>> RealDisk::MakeFolders(std::string path,
                                                      std::vector<NewFolder> folders) {
  using Statuses = std::vector<absl::Status>;
  co_return co_await helpers_.Call<Statuses>([path, folders = std::move(folders)] {
    const std::vector<int> errors = MakeFoldersBlocking(path, folders);
    Statuses made;
    made.reserve(folders.size());
    for (size_t i = 0; i < folders.size(); ++i) {
      made.push_back(StatusOf(errors[i], "make", fmt::format("{}/{}", path, folders[i].name)));
    }
    return made;
  });
}

Task<absl::StatusOr<std::vector<DirectoryEntry>>> RealDisk::List(std::string path) {
  struct Listed {
    int error = 0;
    std::vector<DirectoryEntry> entries;
  };
  Listed listed = co_await helpers_.Call<Listed>([path] {
    Listed result;
    result.error = ListBlocking(AT_FDCWD, path, &result.entries);
    return result;
  });
  if (listed.error != 0) co_return StatusOf(listed.error, "list", path);
  co_return std::move(listed.entries);
}

Task<std::vector<absl::StatusOr<std::vector<DirectoryEntry>>>> RealDisk::ListEach(
    std::string path, std::vector<std::string> folders) {
  using Lists = std::vector<absl::StatusOr<std::vector<DirectoryEntry>>>;
  co_return co_await helpers_.Call<Lists>([path, folders = std::move(folders)] {
    FileDescriptor base(OpenRetrying(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
    const int error = base.valid() ? 0 : errno;
    Lists lists;
    lists.reserve(folders.size());
    for (const std::string& folder : folders) {
      std::vector<DirectoryEntry> entries;
      const int failed = error != 0 ? error : ListBlocking(base.get(), folder, &entries);
      if (failed == 0) {
        lists.emplace_back(std::move(entries));
      } else {
        lists.emplace_back(StatusOf(failed, "list", fmt::format("{}/{}", path, folder)));
      }
    }
    return lists;
  });
}

Task<absl::Status> RealDisk::Rename(std::string from, std::string to) {
  int error = co_await helpers_.Call<int>(
      [from, to] { return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno; });
  co_return StatusOf(error, "rename", from);
}

Task<absl::Status> RealDisk::Remove(std::string path) {
  int error = co_await helpers_.Call<int>([path] { return RemoveBlocking(path); });
  co_return StatusOf(error, "remove", path);
}

Task<absl::Status> RealDisk::SyncDirectory(std::string path) {
  int error = co_await helpers_.Call<int>([path] { return SyncDirectoryBlocking(path); });
  co_return StatusOf(error, "fsync", path);
}

Task<absl::Status> RealDisk::SyncTogether(std::vector<File*> files,
                                          std::vector<std::string> folders) {
  if (files.size() + folders.size() < kSyncedTogetherMin) {
    co_return absl::UnimplementedError("so few are synced one by one");
  }
  std::vector<int> descriptors;
  descriptors.reserve(files.size());
  for (const File* file : files) {
    descriptors.push_back(static_cast<const RealFile*>(file)->descriptor());
  }
  int error = co_await helpers_.Call<int>(
      [descriptors = std::move(descriptors), folders = std::move(folders)] {
        return SyncTogetherBlocking(descriptors, folders);
      });
  if (error == ENOSYS)
    co_return absl::UnimplementedError("this file system cannot sync them together");
  co_return error == 0 ? absl::OkStatus() : SyncFailed(error, "many files");
}

Task<absl::StatusOr<std::unique_ptr<FileLock>>> RealDisk::Lock(std::string path) {
  Opened opened = co_await helpers_.Call<Opened>([path] { return LockBlocking(path); });
  if (opened.error == EAGAIN) {
    co_return absl::FailedPreconditionError(
        fmt::format("{} is locked: another process uses this directory", path));
  }
  if (opened.error != 0) co_return StatusOf(opened.error, "lock", path);
  co_return std::make_unique<RealFileLock>(std::move(opened.fd));
}

Task<absl::StatusOr<DiskSpace>> RealDisk::Space(std::string path) {
  struct Answer {
    int error = 0;
    DiskSpace space{};
  };
  Answer answer = co_await helpers_.Call<Answer>([path] {
    struct statvfs info{};
    if (::statvfs(path.c_str(), &info) != 0) return Answer{errno, {}};
    return Answer{0,
                  {.total_bytes = static_cast<uint64_t>(info.f_blocks) * info.f_frsize,
                   .usable_bytes = static_cast<uint64_t>(info.f_bavail) * info.f_frsize}};
  });
  if (answer.error != 0) co_return StatusOf(answer.error, "statvfs", path);
  co_return answer.space;
}

}  // namespace millrace
