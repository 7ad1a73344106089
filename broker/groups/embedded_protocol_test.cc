#include "broker/groups/embedded_protocol.h"

#include <catch2/catch.hpp>
#include <string>

#include "broker/groups/testing/consumer_world.h"

namespace millrace {
namespace {

using namespace std::string_literals;

TEST_CASE("Embedded protocol: a subscription of each version, and of one to come, is understood") {
  const std::string v0 = "\0\0\0\0\0\1\0\1t\xff\xff\xff\xff"s;
  const std::string owned = "\0\0\0\1\0\1t\0\0\0\1\0\0\0\2"s;
  const std::string body = v0.substr(2) + owned;
  const std::string v2 = "\0\2"s + body + "\0\0\0\7"s;
  const std::string v3 = "\0\3"s + v2.substr(2) + "\0\4rack"s;
  const std::string v4 = "\0\4"s + v3.substr(2) + "more";
  CHECK(ParseSubscription(v0)->topics == std::vector<std::string>{"t"});
  CHECK(ParseSubscription(v0)->owned_partitions.empty());
  for (const std::string& bytes : {"\0\1"s + body, v2, v3, v4}) {
    const auto subscription = ParseSubscription(bytes);
    REQUIRE(subscription.has_value());
    CHECK(subscription->topics == std::vector<std::string>{"t"});
    REQUIRE(subscription->owned_partitions.size() == 1);
    CHECK(subscription->owned_partitions[0].partitions == std::vector<int32_t>{2});
  }
  CHECK(ParseSubscription(v2)->generation_id == 7);
  CHECK(ParseSubscription(v4)->rack_id == "rack");
}

TEST_CASE("Embedded protocol: bytes that are none are told from others, wherever they end") {
  CHECK_FALSE(ParseSubscription("").has_value());
  CHECK_FALSE(ParseSubscription("\xff\xff\0\0\0\0"s).has_value());  // Version -1.
  const std::string whole = "\0\1\0\0\0\1\0\1t\xff\xff\xff\xff\0\0\0\0"s;
  REQUIRE(ParseSubscription(whole).has_value());
  for (size_t size = 0; size < whole.size(); ++size) {
    CHECK_FALSE(ParseSubscription(whole.substr(0, size)).has_value());
  }
  CHECK_FALSE(ParseAssignment("\0\1\0\0"s).has_value());
  // A member that was never assigned anything.
  CHECK(ParseAssignment("")->assigned_partitions.empty());
}

TEST_CASE("Embedded protocol: an assignment is written in the version that its member speaks") {
  ConsumerWorld world;
  world.Topic("t", 3);
  world.Topic("u", 1);
  world.Topic("gone", 1);
  PartitionList partitions = world.Parse("t0 t2 u0 gone0");
  world.DeleteTopic("gone");
  for (const std::string& version : {"\0\0"s, "\0\1"s, "\0\3"s}) {
    const std::string bytes = FormatAssignment(partitions, *world.image, version + "..."s);
    CHECK(bytes.substr(0, 2) == version);
    const auto read = ParseAssignment(bytes);
    REQUIRE(read.has_value());
    CHECK(world.Text(PartitionsIn(read->assigned_partitions, *world.image)) == "t0 t2 u0");
    CHECK_FALSE(read->user_data.has_value());
  }
  // None that we know, or none at all.
  CHECK(FormatAssignment(partitions, *world.image, "\0\x63"s).substr(0, 2) == "\0\3"s);
  CHECK(FormatAssignment(partitions, *world.image, "").substr(0, 2) == "\0\0"s);
}

}  // namespace
}  // namespace millrace
