#include "common/config/listener.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

using Endpoints = std::vector<Endpoint>;

std::string ErrorOf(std::string_view text) {
  std::expected<Endpoint, std::string> endpoint = ParseEndpoint(text);
  return endpoint.has_value() ? "accepted" : endpoint.error();
}

std::optional<std::string> PortErrorOf(const std::vector<std::string>& entries) {
  return CheckPortsDiffer(*ParseEndpoints(entries));
}

TEST_CASE("Listener: name, host and port, in every form Kafka takes") {
  CHECK(ParseEndpoint("PLAINTEXT://127.0.0.1:9092") == Endpoint{"PLAINTEXT", "127.0.0.1", 9092});
  CHECK(ParseEndpoint("plaintext://:9092") == Endpoint{"PLAINTEXT", "", 9092});
  CHECK(ParseEndpoint("EXT_1.a-b://0.0.0.0:0") == Endpoint{"EXT_1.A-B", "0.0.0.0", 0});
  CHECK(ParseEndpoint("A://[::1]:9092") == Endpoint{"A", "::1", 9092});
  CHECK(ParseEndpoint("A://::1:9092") == Endpoint{"A", "::1", 9092});
  CHECK(ParseEndpoint("A://[fe80::1%eth0]:1") == Endpoint{"A", "fe80::1%eth0", 1});
  CHECK(ParseEndpoint("A://broker-1.example:65535") == Endpoint{"A", "broker-1.example", 65535});
}

TEST_CASE("Listener: what is wrong is said") {
  CHECK(ErrorOf("PLAINTEXT:9092") == "PLAINTEXT:9092 is not NAME://HOST:PORT: it has no ://");
  CHECK(ErrorOf("").starts_with("(nothing) is not"));
  CHECK(ErrorOf("://h:1").ends_with("it has no name"));
  CHECK(ErrorOf("A B://h:1").ends_with("other than letters, digits, _ - ."));
  CHECK(ErrorOf("A://h").ends_with("it has no port"));
  for (std::string_view port : {"", "port", "65536", "99999", "-1", "9092/", "+1", " 1"}) {
    CHECK(ErrorOf("A://h:" + std::string(port)).ends_with("not a number from 0 to 65535"));
  }
  CHECK(ErrorOf("A://local host:1").find("the host may have") != std::string::npos);
  CHECK(ErrorOf("A://[::1:1").ends_with("do not match"));
  CHECK(ErrorOf("A://[h]:1").ends_with("IPv6 addresses only"));
}

TEST_CASE("Listener: names are unique whatever their case") {
  CHECK(ParseEndpoints({"A://:1", "B://:2"}) == Endpoints{{"A", "", 1}, {"B", "", 2}});
  CHECK(ParseEndpoints({"A://:1", "a://:2"}).error().starts_with("the name A occurs twice"));
}

TEST_CASE("Listener: a port is shared by one IPv4 and one IPv6 address at most") {
  CHECK_FALSE(PortErrorOf({"A://:1", "B://:2"}).has_value());
  CHECK_FALSE(PortErrorOf({"A://127.0.0.1:1", "B://[::1]:1"}).has_value());
  CHECK_FALSE(PortErrorOf({"A://:0", "B://:0"}).has_value());
  CHECK(PortErrorOf({"A://:1", "B://:1"})->starts_with("A and B both use port 1"));
  CHECK(PortErrorOf({"A://127.0.0.1:1", "B://127.0.0.2:1"}).has_value());
  CHECK(PortErrorOf({"A://name:1", "B://[::1]:1"}).has_value());
  CHECK(PortErrorOf({"A://127.0.0.1:1", "B://[::1]:1", "C://[::2]:1"}).has_value());
}

TEST_CASE("Listener: the protocol map reads names and protocols in any case") {
  CHECK(ParseProtocolMap({"a:plaintext", "B:SASL_SSL"}) ==
        std::map<std::string, SecurityProtocol>{{"A", SecurityProtocol::kPlaintext},
                                                {"B", SecurityProtocol::kSaslSsl}});
  CHECK(ParseProtocolMap({"A"}).error() == "A is not NAME:PROTOCOL");
  CHECK(ParseProtocolMap({"A:NOPE"}).error().starts_with("A:NOPE: the protocol is one of"));
}

TEST_CASE("Listener: host and port read back as printed") {
  CHECK(HostPortText("h", 1) == "h:1");
  CHECK(HostPortText("::1", 1) == "[::1]:1");
  CHECK(ParseHostPort("[::1]:1") == HostPort{"::1", 1});
  CHECK(ParseHostPort("localhost").error() == "localhost is not HOST:PORT: it has no port");
  CHECK(ParseHostPort(":1").error() == ":1 has no host");
}

}  // namespace
}  // namespace millrace
