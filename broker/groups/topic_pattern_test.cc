#include "broker/groups/topic_pattern.h"

#include <catch2/catch.hpp>

using namespace millrace;

TEST_CASE("TopicPattern: the name as a whole has to match") {
  const auto pattern = TopicPattern::Compile("orders-[0-9]+|bills");
  REQUIRE(pattern.ok());
  CHECK(pattern->Matches("orders-12"));
  CHECK(pattern->Matches("bills"));
  CHECK_FALSE(pattern->Matches("my-orders-12"));
  CHECK_FALSE(pattern->Matches("orders-12a"));
}

TEST_CASE("TopicPattern: what RE2 does not know, and what is too large, is refused with a reason") {
  for (const std::string& expression :
       {std::string("("), std::string("a(?=b)"), std::string("(a)\\1"), std::string("*"),
        std::string("((a{100}){100}){100}"), std::string("(abc|def){900}"), std::string("\xff("),
        std::string(5000, 'a')}) {
    INFO(expression.substr(0, 30));
    const auto pattern = TopicPattern::Compile(expression);
    REQUIRE(absl::IsInvalidArgument(pattern.status()));
    CHECK_FALSE(pattern.status().message().empty());
  }
}

TEST_CASE("TopicPattern: what takes other engines for ever takes this one a moment") {
  const auto pattern = TopicPattern::Compile("(a*)*b|(a|aa)+c");
  REQUIRE(pattern.ok());
  CHECK_FALSE(pattern->Matches(std::string(249, 'a')));
  CHECK(pattern->Cost("a") > 0);
}
