#include "common/sys/socket_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>

#include <array>
#include <cstring>
#include <string>

namespace millrace {

std::optional<KernelAddress> NumericAddress(const SocketAddress& address) {
  KernelAddress result;
  sockaddr_in v4{};
  if (::inet_pton(AF_INET, address.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    std::memcpy(&result.storage, &v4, sizeof(v4));
    result.length = sizeof(v4);
    return result;
  }
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET6, address.host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(address.port);
    std::memcpy(&result.storage, &v6, sizeof(v6));
    result.length = sizeof(v6);
    return result;
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<KernelAddress>> ResolveBlocking(const SocketAddress& address) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = fmt::format("{}", address.port);
  int error = ::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        fmt::format("{} cannot be resolved: {}", address.host, ::gai_strerror(error)));
  }
  std::vector<KernelAddress> result;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    KernelAddress& kernel = result.emplace_back();
    std::memcpy(&kernel.storage, each->ai_addr, each->ai_addrlen);
    kernel.length = each->ai_addrlen;
  }
  ::freeaddrinfo(found);
  return result;
}

SocketAddress FromKernel(const KernelAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.storage.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address.storage, sizeof(v4));
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return {.host = text.data(), .port = ntohs(v4.sin_port)};
  }
  if (address.storage.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address.storage, sizeof(v6));
    // An IPv4 peer of a dual-stack listener is shown as what it is.
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text.data(), text.size());
    } else {
      ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    }
    return {.host = text.data(), .port = ntohs(v6.sin6_port)};
  }
  return {};
}

SocketAddress LocalAddress(int fd) {
  KernelAddress address;
  address.length = sizeof(address.storage);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0) {
    return {};
  }
  return FromKernel(address);
}

SocketAddress PeerAddress(int fd) {
  KernelAddress address;
  address.length = sizeof(address.storage);
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0) {
    return {};
  }
  return FromKernel(address);
}

}  // namespace millrace
