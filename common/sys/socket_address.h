// Between SocketAddress (text and port) and the kernel's form.
#pragma once

#include <absl/status/statusor.h>
#include <sys/socket.h>

#include <optional>
#include <vector>

#include "common/network.h"

namespace millrace {

struct KernelAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// An IPv4 or IPv6 address in digits; nothing for a name.
std::optional<KernelAddress> NumericAddress(const SocketAddress& address);

// Looks the name up, on the calling thread, which blocks. kUnavailable when it has no address.
absl::StatusOr<std::vector<KernelAddress>> ResolveBlocking(const SocketAddress& address);

SocketAddress FromKernel(const KernelAddress& address);
// What getsockname or getpeername says of `fd`; an empty address when it says nothing.
SocketAddress LocalAddress(int fd);
SocketAddress PeerAddress(int fd);

}  // namespace millrace
