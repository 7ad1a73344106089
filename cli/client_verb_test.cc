#include "cli/client_verb.h"

#include <catch2/catch.hpp>

#include "cli/records/line_splitter.h"

namespace millrace {
namespace {

using Addresses = std::vector<SocketAddress>;

std::vector<std::string> Lines(std::vector<std::string_view> chunks) {
  LineSplitter splitter(100);
  std::vector<std::string> lines;
  for (std::string_view chunk : chunks) {
    REQUIRE(splitter.Feed(chunk, [&lines](std::string line) { lines.push_back(line); }));
  }
  if (std::optional<std::string> rest = splitter.TakeRest(); rest.has_value()) {
    lines.push_back("rest:" + *rest);
  }
  return lines;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("ParseServers: hosts and ports, 9092 where none is named") {
  CHECK(*ParseServers("localhost") == Addresses{{"localhost", 9092}});
  CHECK(*ParseServers("a:1,b:65535") == Addresses{{"a", 1}, {"b", 65535}});
  CHECK(*ParseServers("[::1]:19092,[fe80::1]") == Addresses{{"::1", 19092}, {"fe80::1", 9092}});
}

TEST_CASE("ParseServers: what is no server is named") {
  for (const char* text :
       {"", "a,", ":9092", "a:", "a:0", "a:65536", "a:x", "a:1:2", "[::1", "[::1]9092", "[]:1"}) {
    CAPTURE(text);
    CHECK(absl::IsInvalidArgument(ParseServers(text).status()));
  }
}

TEST_CASE("LineSplitter: lines come out whole, however the input was cut") {
  CHECK(Lines({"a\nb\n"}) == Texts{"a", "b"});
  CHECK(Lines({"a", "b", "\n", "\nc"}) == Texts{"ab", "", "rest:c"});
  CHECK(Lines({"a\r\n"}) == Texts{"a\r"});
  CHECK(Lines({}).empty());
}

TEST_CASE("LineSplitter: a line above the limit is given up, also when its end never comes") {
  LineSplitter splitter(3);
  auto ignore = [](std::string) {};
  CHECK(splitter.Feed("abc\nab", ignore));
  CHECK(splitter.Feed("c", ignore));
  CHECK(!splitter.Feed("d", ignore));
  CHECK(!LineSplitter(3).Feed("abcd\n", ignore));
}

}  // namespace millrace
