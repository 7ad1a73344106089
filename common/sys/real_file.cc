#include "common/sys/real_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/sys/chain_cursor.h"
#include "common/sys/errno_status.h"

namespace millrace {
namespace {

// One system call's worth of pieces; what is longer takes several.
constexpr size_t kPiecesPerWrite = 64;
// On a helper thread: writes all of `data`; 0 or the errno.
int WriteBlocking(int fd, uint64_t position, const Chain& data, int flags, bool write_back_soon) {
  const uint64_t begin = position;
  ChainCursor remaining(data);
  std::array<iovec, kPiecesPerWrite> pieces;
  while (!remaining.empty()) {
    const size_t count = remaining.Fill(pieces);
    ssize_t done =
        ::pwritev2(fd, pieces.data(), static_cast<int>(count), static_cast<off_t>(position), flags);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno;
    if (done == 0) return EIO;
    remaining.Skip(static_cast<size_t>(done));
    position += static_cast<uint64_t>(done);
  }
  return write_back_soon ? BeginWriteBack(fd, begin, position - begin) : 0;
}

}  // namespace

int BeginWriteBack(int fd, uint64_t begin, uint64_t length) {
  if (::sync_file_range(fd, static_cast<off_t>(begin), static_cast<off_t>(length),
                        SYNC_FILE_RANGE_WRITE) == 0) {
    return 0;
  }
  // Where there is no such call nothing has happened.
  const bool absent = errno == ENOSYS || errno == EINVAL || errno == ESPIPE || errno == EOPNOTSUPP;
  return absent ? 0 : errno;
}

absl::Status SyncFailed(int error, const std::string& path) {
  const absl::Status why = ErrnoStatus(error, fmt::format("fdatasync {}", path));
  return absl::DataLossError(why.message());
}

RealFile::RealFile(IoPort& port, HelperPool& helpers, FileDescriptor fd, size_t alignment,
                   std::string path)
    : port_(port),
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
  const int kernel_flags = flags.durable ? RWF_DSYNC : 0;
  if (!direct()) {
    int error = co_await helpers_.Call<int>([fd = fd_.get(), position, data = std::move(data),
                                             kernel_flags, soon = flags.write_back_soon] {
      return WriteBlocking(fd, position, data, kernel_flags, soon);
    });
    co_return error == 0 ? absl::OkStatus() : Failed(error, "write");
  }
  ChainCursor remaining(data);
  std::array<iovec, kPiecesPerWrite> pieces;
  while (!remaining.empty()) {
    const size_t count = remaining.Fill(pieces);
    int result = co_await IoOperation::Write(port_, fd_.get(), std::span(pieces).first(count),
                                             position, kernel_flags);
    if (result <= 0) co_return Failed(result == 0 ? EIO : -result, "write");
    remaining.Skip(static_cast<size_t>(result));
    position += static_cast<uint64_t>(result);
  }
  co_return absl::OkStatus();
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
