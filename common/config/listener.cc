#include "common/config/listener.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "common/config/config_value.h"

namespace millrace {
namespace {

constexpr SecurityProtocol kProtocols[] = {SecurityProtocol::kPlaintext, SecurityProtocol::kSsl,
                                           SecurityProtocol::kSaslPlaintext,
                                           SecurityProtocol::kSaslSsl};

bool IsLetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool ConsistsOf(std::string_view text, std::string_view others) {
  return std::ranges::all_of(text, [others](char c) {
    return IsLetterOrDigit(c) || others.find(c) != std::string_view::npos;
  });
}

std::optional<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

bool IsIpv6(std::string_view host) { return host.find(':') != std::string_view::npos; }

// Four decimal numbers up to 255.
bool IsIpv4(std::string_view host) {
  for (int part = 0; part < 4; ++part) {
    size_t dot = host.find('.');
    bool is_last = part == 3;
    if ((dot == std::string_view::npos) != is_last) return false;
    std::string_view digits = host.substr(0, dot);
    unsigned number = 256;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc() || end != digits.data() + digits.size() || number > 255) return false;
    if (!is_last) host.remove_prefix(dot + 1);
  }
  return true;
}

// Host and port of "host:port", split at the last colon; brackets around the host are taken off.
std::expected<HostPort, std::string> SplitHostPort(std::string_view text) {
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::unexpected("it has no port");
  std::string_view host = text.substr(0, colon);
  std::optional<uint16_t> port = ParsePort(text.substr(colon + 1));
  if (!port.has_value()) return std::unexpected("the port is not a number from 0 to 65535");
  bool opens = host.starts_with('[');
  if (opens != host.ends_with(']'))
    return std::unexpected("the brackets around the host do not match");
  if (opens) host = host.substr(1, host.size() - 2);
  if (opens && !IsIpv6(host)) return std::unexpected("brackets belong around IPv6 addresses only");
  if (!ConsistsOf(host, "-_.:%")) {
    return std::unexpected("the host may have letters, digits, '.', '-', '_', ':' and '%' only");
  }
  return HostPort{std::string(host), *port};
}

}  // namespace

std::string_view SecurityProtocolName(SecurityProtocol protocol) {
  switch (protocol) {
    case SecurityProtocol::kPlaintext:
      return "PLAINTEXT";
    case SecurityProtocol::kSsl:
      return "SSL";
    case SecurityProtocol::kSaslPlaintext:
      return "SASL_PLAINTEXT";
    case SecurityProtocol::kSaslSsl:
      return "SASL_SSL";
  }
  std::abort();
}

std::optional<SecurityProtocol> ParseSecurityProtocol(std::string_view name) {
  std::string upper = ListenerName(name);
  for (SecurityProtocol protocol : kProtocols) {
    if (upper == SecurityProtocolName(protocol)) return protocol;
  }
  return std::nullopt;
}

std::string ListenerName(std::string_view text) {
  std::string name(text);
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return name;
}

std::expected<Endpoint, std::string> ParseEndpoint(std::string_view text) {
  auto wrong = [text](std::string_view reason) {
    return std::unexpected(
        fmt::format("{} is not NAME://HOST:PORT: {}", text.empty() ? "(nothing)" : text, reason));
  };
  size_t separator = text.find("://");
  if (separator == std::string_view::npos) return wrong("it has no ://");
  std::string_view name = text.substr(0, separator);
  if (name.empty()) return wrong("it has no name");
  if (!ConsistsOf(name, "_-."))
    return wrong("the name has characters other than letters, digits, _ - .");
  std::expected<HostPort, std::string> address = SplitHostPort(text.substr(separator + 3));
  if (!address.has_value()) return wrong(address.error());
  return Endpoint{ListenerName(name), std::move(address->host), address->port};
}

std::expected<std::vector<Endpoint>, std::string> ParseEndpoints(
    const std::vector<std::string>& entries) {
  std::vector<Endpoint> endpoints;
  for (const std::string& entry : entries) {
    std::expected<Endpoint, std::string> endpoint = ParseEndpoint(entry);
    if (!endpoint.has_value()) return std::unexpected(std::move(endpoint).error());
    bool known = std::ranges::find(endpoints, endpoint->name, &Endpoint::name) != endpoints.end();
    if (known) {
      return std::unexpected(fmt::format(
          "the name {} occurs twice; each listener needs a name of its own", endpoint->name));
    }
    endpoints.push_back(*std::move(endpoint));
  }
  return endpoints;
}

std::optional<std::string> CheckPortsDiffer(const std::vector<Endpoint>& endpoints) {
  std::map<uint16_t, std::vector<const Endpoint*>> by_port;
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.port != 0) by_port[endpoint.port].push_back(&endpoint);
  }
  for (const auto& [port, sharing] : by_port) {
    if (sharing.size() == 1) continue;
    bool is_pair = sharing.size() == 2 && ((IsIpv4(sharing[0]->host) && IsIpv6(sharing[1]->host)) ||
                                           (IsIpv6(sharing[0]->host) && IsIpv4(sharing[1]->host)));
    if (is_pair) continue;
    return fmt::format(
        "{} and {} both use port {}; only one IPv4 and one IPv6 address may share a port",
        sharing[0]->name, sharing[1]->name, port);
  }
  return std::nullopt;
}

std::expected<std::map<std::string, SecurityProtocol>, std::string> ParseProtocolMap(
    const std::vector<std::string>& entries) {
  std::map<std::string, SecurityProtocol> map;
  for (const std::string& entry : entries) {
    size_t colon = entry.rfind(':');
    if (colon == std::string::npos || colon == 0) {
      return std::unexpected(fmt::format("{} is not NAME:PROTOCOL", entry));
    }
    std::string_view protocol_name = TrimConfigText(std::string_view(entry).substr(colon + 1));
    std::optional<SecurityProtocol> protocol = ParseSecurityProtocol(protocol_name);
    if (!protocol.has_value()) {
      return std::unexpected(fmt::format(
          "{}: the protocol is one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL", entry));
    }
    map[ListenerName(TrimConfigText(entry.substr(0, colon)))] = *protocol;
  }
  return map;
}

std::expected<HostPort, std::string> ParseHostPort(std::string_view text) {
  std::expected<HostPort, std::string> address = SplitHostPort(text);
  if (!address.has_value()) {
    return std::unexpected(fmt::format("{} is not HOST:PORT: {}", text, address.error()));
  }
  if (address->host.empty()) return std::unexpected(fmt::format("{} has no host", text));
  return address;
}

std::string HostPortText(std::string_view host, uint16_t port) {
  return IsIpv6(host) ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

}  // namespace millrace
