#include "common/sys/signals.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "common/check.h"
#include "common/sys/errno_status.h"

namespace millrace {
namespace {

sigset_t Watched() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

void Signals::Block() {
  sigset_t set = Watched();
  MR_CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  std::signal(SIGPIPE, SIG_IGN);
}

absl::StatusOr<std::unique_ptr<Signals>> Signals::Create(IoPort& port) {
  sigset_t set = Watched();
  FileDescriptor signals(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals.valid()) return ErrnoStatus(errno, "signalfd");
  FileDescriptor stop(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!stop.valid()) return ErrnoStatus(errno, "eventfd");
  FileDescriptor either(::epoll_create1(EPOLL_CLOEXEC));
  if (!either.valid()) return ErrnoStatus(errno, "epoll_create1");
  for (int fd : {signals.get(), stop.get()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (::epoll_ctl(either.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return ErrnoStatus(errno, "epoll_ctl");
    }
  }
  return std::unique_ptr<Signals>(
      new Signals(port, std::move(signals), std::move(stop), std::move(either)));
}

Signals::~Signals() {
  MR_CHECK(!waiting_);
  port_.Forget(either_.get());
}

Task<absl::StatusOr<int>> Signals::Next() {
  MR_CHECK(!waiting_);
  for (;;) {
    if (shut_down_) co_return absl::CancelledError("no longer waiting for signals");
    signalfd_siginfo info{};
    if (::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
      co_return static_cast<int>(info.ssi_signo);
    }
    waiting_ = true;
    const int result = co_await IoOperation::Poll(port_, either_.get(), POLLIN);
    waiting_ = false;
    if (result < 0) co_return ErrnoStatus(-result, "poll for signals");
  }
}

void Signals::Shutdown() {
  if (shut_down_) return;
  shut_down_ = true;
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(stop_.get(), &one, sizeof(one));
}

}  // namespace millrace
