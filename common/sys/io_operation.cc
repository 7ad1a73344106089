#include "common/sys/io_operation.h"

#include <unistd.h>

#include <cerrno>

#include "common/check.h"

namespace millrace {

int IoOperation::CallBlocking() const {
  for (;;) {
    ssize_t done = -1;
    switch (kind) {
      case Kind::kRead:
        done = ::pread(fd, memory.iov_base, memory.iov_len, static_cast<off_t>(position));
        break;
      case Kind::kWrite:
        done = ::pwritev2(fd, message.msg_iov, static_cast<int>(message.msg_iovlen),
                          static_cast<off_t>(position), flags);
        break;
      case Kind::kSync:
        done = ::fdatasync(fd);
        break;
      case Kind::kReceive:
      case Kind::kReceiveSome:
      case Kind::kSend:
      case Kind::kAccept:
      case Kind::kPoll:
        MR_CHECK(false);  // Sockets wait in the reactor, not in a thread.
    }
    if (done >= 0) return static_cast<int>(done);
    if (errno != EINTR) return -errno;
  }
}

}  // namespace millrace
