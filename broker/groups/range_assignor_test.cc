#include "broker/groups/range_assignor.h"

#include <catch2/catch.hpp>

#include "broker/groups/testing/assignor_case.h"

using namespace millrace;

TEST_CASE("RangeAssignor: each gets a range of each topic, the first ones one more") {
  AssignorCase asked({5});
  asked.Member("a", {0});
  asked.Member("b", {0});
  const auto given = RangeAssignor().Assign(asked.request());
  CHECK(given[0] == PartitionList{asked.At(0, 0), asked.At(0, 1), asked.At(0, 2)});
  CHECK(given[1] == PartitionList{asked.At(0, 3), asked.At(0, 4)});
}

TEST_CASE("RangeAssignor: topics with the same subscribers and sizes are cut alike") {
  AssignorCase asked({7, 3, 7});
  for (const char* name : {"a", "b", "c"}) asked.Member(name, {0, 1, 2});
  for (const PartitionList& one : RangeAssignor().Assign(asked.request())) {
    PartitionList first;
    PartitionList third;
    for (const TopicPartitionId& partition : one) {
      if (partition.topic_id == TopicId(1, 1))
        first.push_back({TopicId(1, 3), partition.partition});
      if (partition.topic_id == TopicId(1, 3)) third.push_back(partition);
    }
    CHECK(first == third);
  }
}

TEST_CASE("RangeAssignor: a static member that comes back with another id has its range again") {
  AssignorCase before({4});
  before.Member("a", {0});
  before.Member("z", {0}, {}, "0");
  AssignorCase after({4});
  after.Member("a", {0});
  after.Member("b", {0}, {}, "0");
  CHECK(RangeAssignor().Assign(before.request()) == RangeAssignor().Assign(after.request()));
  CHECK(RangeAssignor().Assign(after.request())[1] ==
        PartitionList{after.At(0, 0), after.At(0, 1)});
}

TEST_CASE("RangeAssignor: more members than partitions leave some without") {
  AssignorCase asked({1, 1});
  asked.Member("a", {0, 1});
  asked.Member("b", {0, 1});
  const auto given = RangeAssignor().Assign(asked.request());
  CHECK(given[0].size() == 2);
  CHECK(given[1].empty());
}
