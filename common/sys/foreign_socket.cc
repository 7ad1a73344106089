#include "common/sys/foreign_socket.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "common/sys/errno_status.h"
#include "common/sys/real_connection.h"

namespace millrace {

absl::StatusOr<ForeignSocket> MakeForeignSocket(IoPort& port) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return ErrnoStatus(errno, "socketpair");
  }
  FileDescriptor ours(ends[0]);
  FileDescriptor theirs(ends[1]);
  if (!port.wants_nonblocking_sockets()) {
    ::fcntl(ours.get(), F_SETFL, ::fcntl(ours.get(), F_GETFL) & ~O_NONBLOCK);
  }
  return ForeignSocket{std::make_unique<RealConnection>(port, std::move(ours)), std::move(theirs)};
}

}  // namespace millrace
