#include "common/sys/real_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
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

int ListBlocking(const std::string& path, std::vector<DirectoryEntry>* entries) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return errno;
  const int folder = ::dirfd(directory);
  int error = folder < 0 ? EBADF : 0;
  while (error == 0) {
    errno = 0;
    const dirent* found = ::readdir(directory);
    if (found == nullptr) {
      error = errno;
      break;
    }
    if (std::strcmp(found->d_name, ".") == 0 || std::strcmp(found->d_name, "..") == 0) continue;
    struct stat info{};
    if (::fstatat(folder, found->d_name, &info, 0) != 0) {
      if (errno == ENOENT) continue;  // Removed since, or a dangling link.
      error = errno;
      break;
    }
    const bool is_directory = S_ISDIR(info.st_mode);
    entries->push_back({.name = found->d_name,
                        .is_directory = is_directory,
                        .size = is_directory ? 0 : static_cast<uint64_t>(info.st_size)});
  }
  ::closedir(directory);
  std::ranges::sort(*entries, {}, &DirectoryEntry::name);
  return error;
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
  co_return std::make_unique<RealFile>(port_, helpers_, std::move(opened.fd), opened.alignment,
                                       std::move(path));
}

Task<absl::Status> RealDisk::CreateDirectories(std::string path) {
  int error = co_await helpers_.Call<int>([path] { return CreateDirectoriesBlocking(path); });
  co_return StatusOf(error, "mkdir", path);
}

Task<absl::StatusOr<std::vector<DirectoryEntry>>> RealDisk::List(std::string path) {
  struct Listed {
    int error = 0;
    std::vector<DirectoryEntry> entries;
  };
  Listed listed = co_await helpers_.Call<Listed>([path] {
    Listed result;
    result.error = ListBlocking(path, &result.entries);
    return result;
  });
  if (listed.error != 0) co_return StatusOf(listed.error, "list", path);
  co_return std::move(listed.entries);
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
