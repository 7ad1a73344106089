#include "cli/group/reset_plan.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

const TopicPartition kPlace{"t", PartitionId(1)};

// A partition with the offsets 10 to 99 and a position at 40.
PartitionFacts Facts() { return {Offset(40), Offset(10), Offset(100), std::nullopt}; }

int64_t Planned(const ResetTarget& target, const PartitionFacts& facts = Facts()) {
  absl::StatusOr<NewPosition> position = PlanReset(target, "g", kPlace, facts);
  return position.ok() ? position->offset.value() : -1;
}

}  // namespace

TEST_CASE("ResetPlan: each target puts a position where it says") {
  CHECK(Planned(ResetToEarliest{}) == 10);
  CHECK(Planned(ResetToLatest{}) == 100);
  CHECK(Planned(ResetToCurrent{}) == 40);
  CHECK(Planned(ResetToOffset{55}) == 55);
  CHECK(Planned(ResetShiftBy{-5}) == 35);
  PartitionFacts facts = Facts();
  facts.at_time = Offset(77);
  CHECK(Planned(ResetToTime{Timestamp(1)}, facts) == 77);
  CHECK(Planned(ResetFromFile{{{"g", {{kPlace, Offset(12)}}}}}) == 12);
  CHECK(Planned(ResetFromFile{{{"other", {{kPlace, Offset(12)}}}}}) == -1);
}

TEST_CASE("ResetPlan: a position outside the partition becomes the nearer end, and that is said") {
  CHECK(Planned(ResetToOffset{9}) == 10);
  CHECK(Planned(ResetToOffset{101}) == 100);
  CHECK(Planned(ResetToOffset{100}) == 100);
  CHECK(Planned(ResetShiftBy{INT64_MAX}) == 100);
  CHECK(Planned(ResetShiftBy{INT64_MIN}) == 10);
  CHECK(!PlanReset(ResetToOffset{9}, "g", kPlace, Facts())->note.empty());
  CHECK(PlanReset(ResetToOffset{10}, "g", kPlace, Facts())->note.empty());
  CHECK(PlanReset(ResetToTime{Timestamp(1)}, "g", kPlace, Facts())->no_record_as_young);
}

TEST_CASE("ResetPlan: without a position there is nothing to shift, and `current` is the end") {
  PartitionFacts facts = Facts();
  facts.committed.reset();
  CHECK(Planned(ResetShiftBy{1}, facts) == -1);
  CHECK(Planned(ResetToCurrent{}, facts) == 100);
}

TEST_CASE("ResetPlan: scopes and files") {
  CHECK(ParseTopicScope("t")->partitions.empty());
  CHECK(ParseTopicScope("t:0,12")->partitions == std::vector{PartitionId(0), PartitionId(12)});
  for (const char* wrong : {"", ":1", "t:", "t:x", "t:1,", "t:-1", "a:1:2"}) {
    CHECK(!ParseTopicScope(wrong).ok());
  }
  const GroupPositions one = {{"g", {{kPlace, Offset(5)}}}};
  CHECK(*ParsePositions("t,1,5\n", "g") == one);
  CHECK(*ParsePositions("\"t\",1,5\r\n\n", "g") == one);
  CHECK(*ParsePositions("g,t,1,5", std::nullopt) == one);
  CHECK(ParsePositions("t,1,5", std::nullopt).status().message() ==
        "line 1: 't,1,5' is not GROUP,TOPIC,PARTITION,OFFSET");
  CHECK(!ParsePositions("t,1,x", "g").ok());
  CHECK(!ParsePositions("t,-1,5", "g").ok());
}

}  // namespace millrace
