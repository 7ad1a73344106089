#include "common/runtime/epoll/epoll_reactor.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "common/check.h"
#include "common/sys/errno_status.h"

namespace millrace {
namespace {

constexpr size_t kScratchBytes = 16 * 1024;
constexpr size_t kEventsPerPoll = 128;

bool IsWriter(const IoOperation& operation) {
  return operation.kind == IoOperation::Kind::kSend ||
         (operation.kind == IoOperation::Kind::kPoll && (operation.flags & POLLOUT) != 0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EpollReactor>> EpollReactor::Create(RealReactorOptions options,
                                                                   HelperThreads& helpers,
                                                                   Logger& logger) {
  FileDescriptor epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus(errno, "epoll_create1");
  absl::StatusOr<FileDescriptor> wake_event = MakeWakeEvent(/*nonblocking=*/true);
  if (!wake_event.ok()) return wake_event.status();
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = wake_event->get();
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake_event->get(), &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }
  return std::unique_ptr<EpollReactor>(
      new EpollReactor(options, helpers, std::move(epoll), *std::move(wake_event), logger));
}

EpollReactor::EpollReactor(RealReactorOptions options, HelperThreads& helpers, FileDescriptor epoll,
                           FileDescriptor wake_event, Logger& logger)
    : RealReactor(options, std::move(wake_event), logger),
      helpers_(helpers),
      epoll_(std::move(epoll)),
      scratch_(kScratchBytes) {}

EpollReactor::~EpollReactor() { MR_CHECK(waiting_ == 0); }

void EpollReactor::Start(IoOperation& operation) {
  switch (operation.kind) {
    case IoOperation::Kind::kRead:
      // What the page cache has is copied here and now; only what must wait for the medium pays for
      // a thread.
      if ((operation.flags & RWF_NOWAIT) == 0 || !Try(operation)) helpers_.Submit(operation);
      return;
    case IoOperation::Kind::kWrite:
    case IoOperation::Kind::kSync:
      helpers_.Submit(operation);
      return;
    case IoOperation::Kind::kReceive:
    case IoOperation::Kind::kReceiveSome:
    case IoOperation::Kind::kSend:
    case IoOperation::Kind::kAccept:
    case IoOperation::Kind::kPoll:
      if (!Try(operation)) Watch(operation);
      return;
  }
}

bool EpollReactor::TryReceiveSome(IoOperation& operation) {
  for (;;) {
    ssize_t got = ::recv(operation.fd, scratch_.data(),
                         std::min(operation.memory.iov_len, scratch_.size()), MSG_DONTWAIT);
    if (got > 0) {
      operation.CompleteReceived({scratch_.data(), static_cast<size_t>(got)});
      return true;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return false;
    operation.Complete(got == 0 ? 0 : -errno);
    return true;
  }
}

bool EpollReactor::Try(IoOperation& operation) {
  if (operation.kind == IoOperation::Kind::kReceiveSome) return TryReceiveSome(operation);
  for (;;) {
    ssize_t done = -1;
    errno = 0;
    switch (operation.kind) {
      case IoOperation::Kind::kRead:
        done = ::preadv2(operation.fd, &operation.memory, 1, static_cast<off_t>(operation.position),
                         RWF_NOWAIT);
        // EOPNOTSUPP: a file system that cannot promise not to wait.
        if (done < 0 && errno == EOPNOTSUPP) return false;
        break;
      case IoOperation::Kind::kReceive:
        done =
            ::recv(operation.fd, operation.memory.iov_base, operation.memory.iov_len, MSG_DONTWAIT);
        break;
      case IoOperation::Kind::kSend:
        done = ::sendmsg(operation.fd, &operation.message, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
      case IoOperation::Kind::kAccept:
        done = ::accept4(operation.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        break;
      case IoOperation::Kind::kPoll: {
        pollfd probe{operation.fd, static_cast<short>(operation.flags), 0};
        done = ::poll(&probe, 1, 0);
        if (done == 0) return false;
        if (done > 0) done = probe.revents;
        break;
      }
      case IoOperation::Kind::kReceiveSome:
      case IoOperation::Kind::kWrite:
      case IoOperation::Kind::kSync:
        MR_CHECK(false);
    }
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN) return false;
    operation.Complete(done < 0 ? -errno : static_cast<int>(done));
    return true;
  }
}

void EpollReactor::Watch(IoOperation& operation) {
  const auto index = static_cast<size_t>(operation.fd);
  if (index >= watched_.size()) watched_.resize(std::max(index + 1, watched_.size() * 2));
  Watched& watched = watched_[index];
  IoOperation*& waiting = IsWriter(operation) ? watched.writer : watched.reader;
  MR_CHECK(waiting == nullptr);
  waiting = &operation;
  ++waiting_;
  if (watched.registered) return;
  // Edge-triggered and for both directions, once: an edge that nobody waits for is dropped, because
  // every operation tries first. Adding reports what is already so.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.fd = operation.fd;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, operation.fd, &event) != 0) {
    const int error = errno;
    waiting = nullptr;
    --waiting_;
    operation.Complete(-error);
    return;
  }
  watched.registered = true;
}

void EpollReactor::Forget(int fd) {
  const auto index = static_cast<size_t>(fd);
  if (index >= watched_.size()) return;
  Watched& watched = watched_[index];
  MR_CHECK(watched.reader == nullptr);
  MR_CHECK(watched.writer == nullptr);
  if (watched.registered) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  watched.registered = false;
}

void EpollReactor::Retry(IoOperation*& waiting) {
  if (waiting == nullptr) return;
  IoOperation* operation = std::exchange(waiting, nullptr);
  if (Try(*operation)) {
    --waiting_;
  } else {
    waiting = operation;
  }
}

void EpollReactor::Poll(std::optional<Duration> timeout) {
  std::array<epoll_event, kEventsPerPoll> events;
  int wait_ms = -1;
  if (timeout.has_value()) {
    const int64_t ms = (timeout->count() + 999'999) / 1'000'000;  // Up: no turn before the timer.
    wait_ms = static_cast<int>(std::min<int64_t>(ms, 60'000));
  }
  int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerPoll, wait_ms);
  MR_CHECK(count >= 0 || errno == EINTR);
  for (int i = 0; i < count; ++i) {
    const int fd = events[i].data.fd;
    const uint32_t what = events[i].events;
    if (fd == wake_event()) {
      uint64_t wakes = 0;
      [[maybe_unused]] ssize_t got = ::read(fd, &wakes, sizeof(wakes));
      continue;
    }
    Watched& watched = watched_[static_cast<size_t>(fd)];
    constexpr uint32_t kEnded = EPOLLHUP | EPOLLERR | EPOLLRDHUP;
    if ((what & (EPOLLIN | kEnded)) != 0) Retry(watched.reader);
    if ((what & (EPOLLOUT | kEnded)) != 0) Retry(watched.writer);
  }
}

}  // namespace millrace
