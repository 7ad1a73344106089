#include "common/sys/real_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/sys/chain_cursor.h"
#include "common/sys/errno_status.h"

namespace millrace {

absl::Status SyncFailed(int error, const std::string& path) {
  const absl::Status why = ErrnoStatus(error, fmt::format("fdatasync {}", path));
  return absl::DataLossError(why.message());
}

RealFile::RealFile(IoPort& port, FileWrites& writes, HelperPool& helpers, FileDescriptor fd,
                   size_t alignment, std::string path)
    : port_(port),
      writes_(writes),
      helpers_(helpers),
      fd_(std::move(fd)),
      alignment_(alignment),
      path_(std::move(path)) {}

RealFile::~RealFile() { MR_CHECK(!fd_.valid()); }

absl::Status RealFile::Failed(int error, const char* call) const {
  return ErrnoStatus(error, fmt::format("{} {}", call, path_));
}

Task<absl::StatusOr<Slice>> RealFile::ReadAt(uint64_t position, size_t length, ReadHint hint) {
  MR_CHECK(position % alignment_ == 0);
  MR_CHECK(length % alignment_ == 0);
  MutableBuffer buffer(length, kPageSize);
  size_t got = 0;
  while (got < length) {
    const size_t step = std::min(length - got, kBytesPerCall);
    int result = co_await IoOperation::Read(port_, fd_.get(), {buffer.data() + got, step},
                                            position + got, /*cached=*/!direct());
    if (result < 0) co_return Failed(-result, "read");
    if (result == 0) break;
    got += static_cast<size_t>(result);
    // A direct read is cut short, and not to a multiple, only by the end of the file.
    if (got % alignment_ != 0) break;
  }
  if (hint == ReadHint::kSequentialOnce && !direct() && got > 0) {
    ::posix_fadvise(fd_.get(), static_cast<off_t>(position), static_cast<off_t>(got),
                    POSIX_FADV_DONTNEED);
  }
  co_return std::move(buffer).Freeze(got);
}

bool RealFile::IsCached(uint64_t position, size_t length) {
  // Nothing is mapped in: the pages are only asked for. (A kernel with larger pages refuses some
  // positions.) Not cachestat(): older kernels and seccomp profiles do not know it.
  const uint64_t begin = position / kPageSize * kPageSize;
  const size_t bytes = static_cast<size_t>(position - begin) + length;
  void* map = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd_.get(), static_cast<off_t>(begin));
  if (map == MAP_FAILED) return true;
  std::vector<unsigned char> pages((bytes + kPageSize - 1) / kPageSize);
  const bool known = ::mincore(map, bytes, pages.data()) == 0;
  ::munmap(map, bytes);
  if (known && std::exchange(reads_ahead_, false)) {
    ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_RANDOM);
  }
  return !known || std::ranges::all_of(pages, [](unsigned char page) { return (page & 1) != 0; });
}

Task<absl::Status> RealFile::WriteAt(uint64_t position, Chain data, WriteFlags flags) {
  MR_CHECK(position % alignment_ == 0);
  MR_CHECK(data.size() % alignment_ == 0);
  // A direct file has nothing in the page cache to be written back.
  const int error =
      co_await writes_.Write(fd_.get(), position, std::move(data), flags.durable ? RWF_DSYNC : 0,
                             flags.write_back_soon && !direct());
  co_return error == 0 ? absl::OkStatus() : Failed(error, "write");
}

Task<absl::Status> RealFile::Sync() {
  const int result = co_await IoOperation::Sync(port_, fd_.get());
  co_return result == 0 ? absl::OkStatus() : SyncFailed(-result, path_);
}

Task<absl::Status> RealFile::Truncate(uint64_t size) {
  int error = co_await helpers_.Call<int>([fd = fd_.get(), size] {
    return ::ftruncate(fd, static_cast<off_t>(size)) == 0 ? 0 : errno;
  });
  co_return error == 0 ? absl::OkStatus() : Failed(error, "ftruncate");
}

Task<absl::Status> RealFile::Allocate(uint64_t position, uint64_t length, bool grow) {
  int error = co_await helpers_.Call<int>([fd = fd_.get(), position, length, grow] {
    const int mode = grow ? 0 : FALLOC_FL_KEEP_SIZE;
    int result = 0;
    do {
      result = ::fallocate(fd, mode, static_cast<off_t>(position), static_cast<off_t>(length));
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
  });
  co_return error == 0 ? absl::OkStatus() : Failed(error, "fallocate");
}

Task<absl::StatusOr<uint64_t>> RealFile::Size() {
  struct stat info{};
  if (::fstat(fd_.get(), &info) != 0) co_return Failed(errno, "fstat");
  co_return static_cast<uint64_t>(info.st_size);
}

Task<absl::StatusOr<uint64_t>> RealFile::Links() {
  struct stat info{};
  if (::fstat(fd_.get(), &info) != 0) co_return Failed(errno, "fstat");
  co_return static_cast<uint64_t>(info.st_nlink);
}

Task<absl::Status> RealFile::Close() {
  port_.Forget(fd_.get());
  const int fd = fd_.Release();
  if (fd < 0) co_return absl::OkStatus();
  int error =
      co_await helpers_.Call<int>([fd] { return ::close(fd) == 0 || errno == EINTR ? 0 : errno; });
  co_return error == 0 ? absl::OkStatus() : Failed(error, "close");
}

}  // namespace millrace
