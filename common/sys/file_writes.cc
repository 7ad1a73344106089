#include "common/sys/file_writes.h"

#include <fcntl.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <span>
#include <utility>

#include "common/sys/chain_cursor.h"

namespace millrace {
namespace {

// One system call's worth of pieces; what is longer takes several.
constexpr size_t kPiecesPerWrite = 64;

// Writes all of `data` on the calling thread; 0 or the errno.
int WriteBlocking(int fd, uint64_t position, const Chain& data, int flags, bool soon) {
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
  return soon ? BeginWriteBack(fd, begin, position - begin) : 0;
}

class HelperWrites final : public FileWrites {
 public:
  explicit HelperWrites(HelperPool& helpers) : helpers_(helpers) {}

  Task<int> Write(int fd, uint64_t position, Chain data, int flags, bool soon) override {
    co_return co_await helpers_.Call<int>([fd, position, data = std::move(data), flags, soon] {
      return WriteBlocking(fd, position, data, flags, soon);
    });
  }

 private:
  HelperPool& helpers_;
};

class ShardWrites final : public FileWrites {
 public:
  Task<int> Write(int fd, uint64_t position, Chain data, int flags, bool soon) override {
    co_return WriteBlocking(fd, position, data, flags, soon);
  }
};

class PortWrites final : public FileWrites {
 public:
  PortWrites(IoPort& port, HelperPool& helpers) : port_(port), helpers_(helpers) {}

  Task<int> Write(int fd, uint64_t position, Chain data, int flags, bool soon) override {
    const uint64_t begin = position;
    ChainCursor remaining(data);
    std::array<iovec, kPiecesPerWrite> pieces;
    while (!remaining.empty()) {
      const size_t count = remaining.Fill(pieces);
      const int result =
          co_await IoOperation::Write(port_, fd, std::span(pieces).first(count), position, flags);
      if (result <= 0) co_return result == 0 ? EIO : -result;
      remaining.Skip(static_cast<size_t>(result));
      position += static_cast<uint64_t>(result);
    }
    if (!soon) co_return 0;
    // May wait for room in the device's queue.
    co_return co_await helpers_.Call<int>(
        [fd, begin, length = position - begin] { return BeginWriteBack(fd, begin, length); });
  }

 private:
  IoPort& port_;
  HelperPool& helpers_;
};

}  // namespace

std::unique_ptr<FileWrites> FileWrites::Make(WritesBy by, IoPort& port, HelperPool& helpers) {
  switch (by) {
    case WritesBy::kHelper:
      return std::make_unique<HelperWrites>(helpers);
    case WritesBy::kShard:
      return std::make_unique<ShardWrites>();
    case WritesBy::kPort:
      return std::make_unique<PortWrites>(port, helpers);
  }
  std::unreachable();
}

int BeginWriteBack(int fd, uint64_t begin, uint64_t length) {
  if (::sync_file_range(fd, static_cast<off_t>(begin), static_cast<off_t>(length),
                        SYNC_FILE_RANGE_WRITE) == 0) {
    return 0;
  }
  // Where there is no such call nothing has happened.
  const bool absent = errno == ENOSYS || errno == EINVAL || errno == ESPIPE || errno == EOPNOTSUPP;
  return absent ? 0 : errno;
}

}  // namespace millrace
