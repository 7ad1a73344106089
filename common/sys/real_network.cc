#include "common/sys/real_network.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "common/connection_refused.h"
#include "common/runtime/event.h"
#include "common/sys/errno_status.h"
#include "common/sys/file_descriptor.h"
#include "common/sys/real_connection.h"
#include "common/sys/real_listener.h"
#include "common/sys/socket_address.h"

namespace millrace {
namespace {

using Addresses = std::vector<KernelAddress>;

// What was sent to a node that was dialed, and is not acknowledged, ends the connection after so
// long. The kernel's own limit is a quarter of an hour, with tries that grow ever rarer: a minute
// after a cut link is whole again, nothing may have moved yet on a connection nobody gave up.
constexpr int kUnacknowledgedMsMax = 5000;

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<Addresses>> Resolve(HelperPool& helpers,
                                        SocketAddress address) {  // Borrowed: awaited in place.
  if (std::optional<KernelAddress> numeric = NumericAddress(address); numeric.has_value()) {
    co_return Addresses{*numeric};
  }
  co_return co_await helpers.Call<absl::StatusOr<Addresses>>(
      [address] { return ResolveBlocking(address); });
}

void SetInt(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value, sizeof(value));
}

absl::StatusOr<FileDescriptor> ListenOn(const KernelAddress& address, const ListenOptions& options,
                                        int mode, const std::string& name) {
  FileDescriptor fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | mode, 0));
  if (!fd.valid()) return ErrnoStatus(errno, fmt::format("socket for {}", name));
  SetInt(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);  // A restart need not wait for old connections.
  if (options.sharing == PortSharing::kJoin) SetInt(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (address.storage.ss_family == AF_INET6) SetInt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  // Accepted sockets inherit these; after the handshake it is too late for the window's scale.
  if (options.send_buffer_bytes.has_value()) {
    SetInt(fd.get(), SOL_SOCKET, SO_SNDBUF, *options.send_buffer_bytes);
  }
  if (options.receive_buffer_bytes.has_value()) {
    SetInt(fd.get(), SOL_SOCKET, SO_RCVBUF, *options.receive_buffer_bytes);
  }
  if (::bind(fd.get(), address.get(), address.length) != 0) {
    return ErrnoStatus(errno, fmt::format("bind {}", name));
  }
  // Without the option, bind() has refused a port of another process. From here on it admits those
  // who join: the kernel looks at the option of both sockets, when the second one binds. Before
  // listen(), which makes the group that connections are spread over.
  if (options.sharing == PortSharing::kFirst) SetInt(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (::listen(fd.get(), options.backlog) != 0) {
    return ErrnoStatus(errno, fmt::format("listen {}", name));
  }
  return fd;
}

// Ends a connection attempt at its deadline: shutdown() takes the socket out of the handshake,
// which wakes the poll that waits for it.
class ConnectDeadline final : private Timer {
 public:
  ConnectDeadline(Reactor& reactor, int fd, Instant deadline) : reactor_(reactor), fd_(fd) {
    if (deadline != Instant::Max()) reactor_.Arm(*this, deadline);
  }
  ~ConnectDeadline() { reactor_.Disarm(*this); }
  bool expired() const { return expired_; }

 private:
  void Fire() override {
    expired_ = true;
    ::shutdown(fd_, SHUT_RDWR);
  }
  Reactor& reactor_;
  const int fd_;
  bool expired_ = false;
};

int PendingError(int fd) {
  int error = 0;
  socklen_t length = sizeof(error);
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

Task<absl::StatusOr<FileDescriptor>> ConnectTo(IoPort& port, KernelAddress address,
                                               Instant deadline,
                                               std::string name) {  // Borrowed: awaited in place.
  FileDescriptor fd(
      ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) co_return ErrnoStatus(errno, fmt::format("socket for {}", name));
  int error = ::connect(fd.get(), address.get(), address.length) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    ConnectDeadline timer(port.loop(), fd.get(), deadline);
    int polled = co_await IoOperation::Poll(port, fd.get(), POLLOUT);
    if (timer.expired()) {
      error = ETIMEDOUT;
    } else {
      error = polled < 0 ? -polled : PendingError(fd.get());
    }
  }
  if (error != 0) {
    port.Forget(fd.get());
    absl::Status status = ErrnoStatus(error, fmt::format("connect to {}", name));
    if (error == ECONNREFUSED) co_return ConnectionRefusedError(std::string(status.message()));
    // Other failures of the peer may have many names; to the caller they are one.
    const bool ours = absl::IsResourceExhausted(status) || absl::IsDeadlineExceeded(status);
    co_return ours ? status : absl::UnavailableError(std::string(status.message()));
  }
  if (!port.wants_nonblocking_sockets()) {
    ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
  }
  co_return std::move(fd);
}

}  // namespace

Task<absl::StatusOr<std::unique_ptr<Listener>>> RealNetwork::Listen(SocketAddress address,
                                                                    ListenOptions options) {
  const int mode = port_.wants_nonblocking_sockets() ? SOCK_NONBLOCK : 0;
  Addresses addresses;
  if (address.host.empty()) {
    addresses.push_back(*NumericAddress({.host = "::", .port = address.port}));
    addresses.push_back(*NumericAddress({.host = "0.0.0.0", .port = address.port}));
  } else {
    absl::StatusOr<Addresses> resolved = co_await Resolve(helpers_, address);
    if (!resolved.ok()) co_return resolved.status();
    addresses = *std::move(resolved);
  }
  // The first that works: a machine without IPv6 still has names and "all interfaces".
  absl::Status first_error;
  for (const KernelAddress& kernel : addresses) {
    absl::StatusOr<FileDescriptor> fd = ListenOn(kernel, options, mode, address.ToString());
    if (fd.ok()) co_return std::make_unique<RealListener>(port_, *std::move(fd));
    first_error.Update(fd.status());
  }
  co_return first_error;
}

Task<absl::StatusOr<std::unique_ptr<Connection>>> RealNetwork::Connect(SocketAddress address,
                                                                       Instant deadline) {
  absl::StatusOr<Addresses> addresses = co_await Resolve(helpers_, address);
  if (!addresses.ok()) co_return addresses.status();
  absl::Status error = absl::UnavailableError(fmt::format("{} has no address", address.host));
  for (const KernelAddress& kernel : *addresses) {
    absl::StatusOr<FileDescriptor> fd =
        co_await ConnectTo(port_, kernel, deadline, address.ToString());
    if (fd.ok()) {
      SetInt(fd->get(), IPPROTO_TCP, TCP_USER_TIMEOUT, kUnacknowledgedMsMax);
      co_return std::make_unique<RealConnection>(port_, *std::move(fd));
    }
    error = fd.status();
    if (absl::IsDeadlineExceeded(error)) break;
  }
  co_return error;
}

std::unique_ptr<Connection> RealNetwork::Adopt(std::unique_ptr<DetachedConnection> connection) {
  // All shards of a process have the same kind of port, so the socket is in the mode this one wants.
  return std::make_unique<RealConnection>(port_, static_cast<RealDetached&>(*connection).Take());
}

}  // namespace millrace
