// IoOperation: one operation on a descriptor, as an awaitable. IoPort: who carries it out (the
// ring, or epoll and the helper threads). Files and sockets are written once on top of the two.
//
// Shard:    one. Lifetime: the operation lives in the awaiting frame, together with the memory it
//           names; neither is destroyed before it has completed (STYLE 3.7.7). There is no cancel:
//           shutdown() of the socket ends what waits on it.
// Errors:   `co_await` gives the system call's result: a count or a descriptor, or -errno. Short
//           counts are the caller's to continue; EINTR and EAGAIN never arrive.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "common/bytes/slice.h"
#include "common/sys/helper_threads.h"

namespace millrace {

class IoOperation;

class IoPort {
 public:
  virtual ~IoPort() = default;
  // "io_uring" or "epoll".
  virtual std::string_view io_name() const = 0;
  virtual LoopReactor& loop() = 0;
  // Starts `operation`; it completes in a later turn.
  virtual void Start(IoOperation& operation) = 0;
  // Before a descriptor that operations ran on is closed.
  virtual void Forget(int fd) = 0;
  // Whether sockets handed to Start() must be in non-blocking mode; they must not otherwise.
  virtual bool wants_nonblocking_sockets() const = 0;
};

class IoOperation final : public HelperJob {
 public:
  enum class Kind : uint8_t {
    kRead,         // pread of `memory`.
    kWrite,        // pwritev2 of `pieces` with `flags`.
    kSync,         // fdatasync.
    kReceive,      // recv into `memory`; may wait for all of it.
    kReceiveSome,  // recv of at most `memory.iov_len` bytes into memory that is taken then.
    kSend,         // sendmsg of `pieces`; may go on until all is sent.
    kAccept,       // accept4; gives a descriptor in the mode the port wants.
    kPoll,         // waits for `flags` (POLLIN, POLLOUT); gives what came true.
  };

  // `cached`: the page cache may have it, so trying without waiting is worth it.
  static IoOperation Read(IoPort& port, int fd, std::span<uint8_t> into, uint64_t position,
                          bool cached) {
    return IoOperation(port, Kind::kRead, fd, {into.data(), into.size()}, {}, position,
                       cached ? RWF_NOWAIT : 0);
  }
  // `pieces` stay in place until completion. `flags`: RWF_*.
  static IoOperation Write(IoPort& port, int fd, std::span<iovec> pieces, uint64_t position,
                           int flags) {
    return IoOperation(port, Kind::kWrite, fd, {}, pieces, position, flags);
  }
  static IoOperation Sync(IoPort& port, int fd) {
    return IoOperation(port, Kind::kSync, fd, {}, {}, 0, 0);
  }
  static IoOperation Receive(IoPort& port, int fd, std::span<uint8_t> into) {
    return IoOperation(port, Kind::kReceive, fd, {into.data(), into.size()}, {}, 0, 0);
  }
  static IoOperation ReceiveSome(IoPort& port, int fd, size_t bytes_max) {
    return IoOperation(port, Kind::kReceiveSome, fd, {nullptr, bytes_max}, {}, 0, 0);
  }
  static IoOperation Send(IoPort& port, int fd, std::span<iovec> pieces) {
    return IoOperation(port, Kind::kSend, fd, {}, pieces, 0, 0);
  }
  static IoOperation Accept(IoPort& port, int fd) {
    return IoOperation(port, Kind::kAccept, fd, {}, {}, 0, 0);
  }
  static IoOperation Poll(IoPort& port, int fd, short events) {
    return IoOperation(port, Kind::kPoll, fd, {}, {}, 0, events);
  }

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    sched_class_ = home().current_class();
    port_.Start(*this);
  }
  int await_resume() const { return result_; }
  // What kReceiveSome received.
  Slice TakeReceived() { return std::move(received_); }

  // For the port alone, from here on.
  const Kind kind;
  const int fd;
  const iovec memory;
  const uint64_t position;
  const int flags;
  msghdr message{};  // The pieces, in the form that kSend and kWrite share.

  // On the shard: ends the operation.
  void Complete(int result) {
    result_ = result;
    home().Ready(handle_, sched_class_);
  }
  void CompleteReceived(std::span<const uint8_t> bytes) {
    received_ = Slice::Copy(bytes);
    Complete(static_cast<int>(bytes.size()));
  }
  // On a helper thread: the blocking call of kRead, kWrite or kSync.
  void Work() override { result_ = CallBlocking(); }
  void Run() override { Complete(result_); }

 private:
  IoOperation(IoPort& port, Kind kind, int fd, iovec memory, std::span<iovec> pieces,
              uint64_t position, int flags)
      : HelperJob(port.loop(), HelperWork::kBlocking),
        kind(kind),
        fd(fd),
        memory(memory),
        position(position),
        flags(flags),
        port_(port) {
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
  }
  int CallBlocking() const;

  IoPort& port_;
  std::coroutine_handle<> handle_;
  SchedClass sched_class_ = SchedClass::kHousekeeping;
  int result_ = 0;
  Slice received_;
};

}  // namespace millrace
