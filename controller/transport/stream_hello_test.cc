#include "controller/transport/stream_hello.h"

#include <catch2/catch.hpp>
#include <string>

namespace millrace {
namespace {

StreamHello Full() {
  return {.kind = StreamKind::kRaft,
          .cluster_id = "Kc3-xYz",
          .from = BrokerId(1),
          .from_directory = DirectoryId(0x1122334455667788, 0x99aabbccddeeff00),
          .to = BrokerId(2147483647),
          .protocol = 3,
          .features = 0xfedcba9876543210};
}

}  // namespace

TEST_CASE("StreamHello: what is said arrives, present and absent parts alike") {
  for (int absent = 0; absent < 4; ++absent) {
    StreamHello hello = Full();
    if ((absent & 1) != 0) hello.from_directory.reset();
    if ((absent & 2) != 0) hello.to.reset();
    const auto got = DecodeHello(EncodeHello(hello));
    REQUIRE(got.ok());
    CHECK(got->kind == hello.kind);
    CHECK(got->cluster_id == hello.cluster_id);
    CHECK(got->from == hello.from);
    CHECK(got->from_directory == hello.from_directory);
    CHECK(got->to == hello.to);
    CHECK(got->protocol == hello.protocol);
    CHECK(got->features == hello.features);
  }
  StreamWelcome welcome{
      .from = BrokerId(2), .from_directory = DirectoryId(1, 2), .protocol = 1, .features = 6};
  const auto got = DecodeWelcome(EncodeWelcome(welcome));
  REQUIRE(got.ok());
  CHECK(got->from == welcome.from);
  CHECK(got->from_directory == welcome.from_directory);
  CHECK(got->protocol == welcome.protocol);
  CHECK(got->features == welcome.features);
}

TEST_CASE("StreamHello: what is cut off is refused, what a later version adds is not") {
  const std::string hello = EncodeHello(Full());
  for (size_t size = 0; size < hello.size(); ++size) {
    CHECK(absl::IsInvalidArgument(DecodeHello(hello.substr(0, size)).status()));
  }
  CHECK(DecodeHello(hello + "news").ok());
  const std::string welcome =
      EncodeWelcome({.from = BrokerId(2), .from_directory = DirectoryId(1, 2)});
  for (size_t size = 0; size < welcome.size(); ++size) {
    CHECK(absl::IsInvalidArgument(DecodeWelcome(welcome.substr(0, size)).status()));
  }
  CHECK(DecodeWelcome(welcome + "news").ok());
}

TEST_CASE("StreamHello: no node has a negative id, no cluster an endless one") {
  StreamHello hello = Full();
  hello.from = BrokerId(-1);
  CHECK(absl::IsInvalidArgument(DecodeHello(EncodeHello(hello)).status()));
  std::string bytes = EncodeHello(Full());
  const size_t length_at = bytes.size() - Full().cluster_id.size() - 2;
  bytes.resize(length_at);
  bytes += std::string("\x04\x01", 2) + std::string(0x401, 'c');
  CHECK(absl::IsInvalidArgument(DecodeHello(bytes).status()));
}

}  // namespace millrace
