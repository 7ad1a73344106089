#include "common/sys/standard_input.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "common/check.h"
#include "common/sys/errno_status.h"

namespace millrace {

absl::StatusOr<std::unique_ptr<StandardInput>> StandardInput::Create(IoPort& port) {
  FileDescriptor stop(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!stop.valid()) return ErrnoStatus(errno, "eventfd");
  FileDescriptor either(::epoll_create1(EPOLL_CLOEXEC));
  if (!either.valid()) return ErrnoStatus(errno, "epoll_create1");
  for (int fd : {STDIN_FILENO, stop.get()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (::epoll_ctl(either.get(), EPOLL_CTL_ADD, fd, &event) == 0) continue;
    // Files cannot be waited for, nor need they: a read of one ends soon.
    if (fd == STDIN_FILENO && errno == EPERM) {
      either.Close();
      break;
    }
    return ErrnoStatus(errno, "wait for the standard input");
  }
  return std::unique_ptr<StandardInput>(
      new StandardInput(port, std::move(stop), std::move(either)));
}

StandardInput::~StandardInput() {
  MR_CHECK(!waiting_);
  if (either_.valid()) port_.Forget(either_.get());
}

Task<absl::StatusOr<Slice>> StandardInput::ReadSome(size_t bytes_max) {
  MR_CHECK(!waiting_);
  if (!shut_down_ && either_.valid()) {
    waiting_ = true;
    const int result = co_await IoOperation::Poll(port_, either_.get(), POLLIN);
    waiting_ = false;
    if (result < 0) co_return ErrnoStatus(-result, "wait for the standard input");
  }
  if (shut_down_) co_return absl::CancelledError("the standard input is no longer read");
  MutableBuffer buffer(bytes_max);
  const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
  if (count < 0) co_return ErrnoStatus(errno, "read the standard input");
  co_return std::move(buffer).Freeze(static_cast<size_t>(count));
}

void StandardInput::Shutdown() {
  if (shut_down_) return;
  shut_down_ = true;
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(stop_.get(), &one, sizeof(one));
}

}  // namespace millrace
