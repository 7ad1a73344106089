#include "common/network.h"

#include <fmt/format.h>

namespace millrace {

std::string SocketAddress::ToString() const {
  if (host.find(':') != std::string::npos) return fmt::format("[{}]:{}", host, port);
  return fmt::format("{}:{}", host, port);
}

}  // namespace millrace
