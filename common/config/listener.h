// Listeners: the addresses a node listens on, and those it tells clients to use. Pure text work.
//
//   NAME://HOST:PORT    a name of letters, digits, '_', '-', '.', in any case, kept in upper case
//                       HOST: name, IPv4, or IPv6 with or without brackets; none: every interface
//                       PORT: 0 (any free one) to 65535
//
// Errors: the message says what is wrong with which entry, and what is accepted.
// Source: listeners and advertised.listeners of Kafka 4.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

enum class SecurityProtocol { kPlaintext, kSsl, kSaslPlaintext, kSaslSsl };

// "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL".
std::string_view SecurityProtocolName(SecurityProtocol protocol);
std::optional<SecurityProtocol> ParseSecurityProtocol(std::string_view name);  // In any case.

// One entry of listeners or advertised.listeners.
struct Endpoint {
  std::string name;  // Upper case.
  std::string
      host;       // Without brackets; empty: every interface, or (advertised) this machine's name.
  uint16_t port;  // 0: any free one, or (advertised) the one the listener was given.

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

std::expected<Endpoint, std::string> ParseEndpoint(std::string_view text);

// Several, with unique names.
std::expected<std::vector<Endpoint>, std::string> ParseEndpoints(
    const std::vector<std::string>& entries);

// What Kafka demands of addresses to listen on: each port once, unless one IPv4 and one IPv6
// address share it. Port 0 may occur often. Nothing if all is well.
std::optional<std::string> CheckPortsDiffer(const std::vector<Endpoint>& endpoints);

// NAME:PROTOCOL entries of listener.security.protocol.map.
std::expected<std::map<std::string, SecurityProtocol>, std::string> ParseProtocolMap(
    const std::vector<std::string>& entries);

// HOST:PORT, with or without brackets around an IPv6 host. Neither may be missing.
struct HostPort {
  std::string host;
  uint16_t port;

  friend bool operator==(const HostPort&, const HostPort&) = default;
};
std::expected<HostPort, std::string> ParseHostPort(std::string_view text);

// "host:port", with brackets where `host` is an IPv6 address.
std::string HostPortText(std::string_view host, uint16_t port);

// Letters in upper case: how listener names are compared.
std::string ListenerName(std::string_view text);

}  // namespace millrace
