#include "broker/groups/uniform_assignor.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "broker/groups/range_assignor.h"
#include "broker/groups/testing/assignor_case.h"
#include "common/runtime/sim/sim_random.h"

using namespace millrace;

namespace {

size_t Moved(const std::vector<PartitionList>& before, const std::vector<PartitionList>& after) {
  size_t moved = 0;
  for (size_t i = 0; i < before.size(); ++i) moved += Difference(before[i], after[i]).size();
  return moved;
}

}  // namespace

TEST_CASE("UniformAssignor: all partitions are given out, as evenly as it goes") {
  AssignorCase asked({5, 3});
  for (const char* name : {"a", "b", "c"}) asked.Member(name, {0, 1});
  const auto given = UniformAssignor().Assign(asked.request());
  CHECK(asked.Wrong(given) == "");
  for (const PartitionList& one : given) CHECK(one.size() >= 2);
  for (const PartitionList& one : given) CHECK(one.size() <= 3);
}

TEST_CASE("UniformAssignor: with nobody, or nothing to give, nothing is given") {
  CHECK(UniformAssignor().Assign(AssignorCase({3}).request()).empty());
  AssignorCase asked({});
  asked.Member("a", {});
  CHECK(UniformAssignor().Assign(asked.request()) == std::vector<PartitionList>{{}});
  AssignorCase unwanted({3});
  unwanted.Member("a", {});
  CHECK(UniformAssignor().Assign(unwanted.request()) == std::vector<PartitionList>{{}});
}

TEST_CASE("UniformAssignor: what is held by two, gone or not one's own is not kept") {
  AssignorCase asked({2, 2});
  asked.Member("a", {0},
               {asked.At(0, 0), asked.At(0, 9), asked.At(1, 0), {TopicId(9, 9), PartitionId(0)}});
  asked.Member("b", {0, 1}, {asked.At(0, 0)});
  CHECK(asked.Wrong(UniformAssignor().Assign(asked.request())) == "");
}

TEST_CASE("UniformAssignor: one more member takes its share, and nothing else moves") {
  AssignorCase asked({100, 100});
  for (const char* name : {"a", "b", "c"}) asked.Member(name, {0, 1});
  const auto before = UniformAssignor().Assign(asked.request());
  asked.Hold(before);
  asked.Member("d", {0, 1});
  const auto after = UniformAssignor().Assign(asked.request());
  CHECK(asked.Wrong(after) == "");
  CHECK(Moved(before, after) == 50);
  CHECK(after[3].size() == 50);
  // Each topic stays spread: the new member has of both.
  CHECK(std::ranges::count(after[3], TopicId(1, 1), &TopicPartitionId::topic_id) >= 20);
  CHECK(std::ranges::count(after[3], TopicId(1, 2), &TopicPartitionId::topic_id) >= 20);
  // And it stays so.
  asked.Hold(after);
  CHECK(UniformAssignor().Assign(asked.request()) == after);
}

TEST_CASE("UniformAssignor: where one leaves, only what it had moves") {
  AssignorCase asked({30});
  for (const char* name : {"a", "b", "c"}) asked.Member(name, {0});
  const auto before = UniformAssignor().Assign(asked.request());
  asked.Hold(before);
  asked.Leave(1);
  const auto after = UniformAssignor().Assign(asked.request());
  CHECK(asked.Wrong(after) == "");
  CHECK(Includes(after[0], before[0]));
  CHECK(Includes(after[1], before[2]));
}

TEST_CASE("Assignors: whatever is asked, each partition goes to one subscriber, in the same way") {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    SimRandom random(seed);
    std::vector<int32_t> topics(random.Below(6));
    for (int32_t& partitions : topics) partitions = static_cast<int32_t>(random.Below(8));
    AssignorCase asked(topics);
    const bool same = random.Coin();
    for (uint64_t m = random.Below(7); m > 0; --m) {
      std::vector<uint32_t> wanted;
      for (uint32_t t = 0; t < topics.size(); ++t) {
        if (same || random.Coin()) wanted.push_back(t);
      }
      asked.Member("m" + std::to_string(m), wanted);
    }
    for (int round = 0; round < 3; ++round) {
      const auto ranges = RangeAssignor().Assign(asked.request());
      CHECK(asked.Wrong(ranges) == "");
      const auto given = UniformAssignor().Assign(asked.request());
      CHECK(asked.Wrong(given) == "");
      CHECK(given == UniformAssignor().Assign(asked.request()));
      CHECK(asked.Uneven(given) == "");
      asked.Hold(given);
      CHECK(UniformAssignor().Assign(asked.request()) == given);
      if (round == 0) asked.Member("late", same ? asked.AllTopics() : std::vector<uint32_t>{});
      if (round == 1) asked.Leave(random.Below(asked.request().members.size()));
    }
  }
}

TEST_CASE("UniformAssignor: a thousand members and a thousand partitions do not take long") {
  for (const bool same : {true, false}) {
    AssignorCase asked(std::vector<int32_t>(100, 10));
    for (uint32_t m = 0; m < 1000; ++m) {
      std::vector<uint32_t> wanted;
      for (uint32_t t = 0; t < 100; ++t) {
        if (same || (t * 7 + m) % 3 != 0) wanted.push_back(t);
      }
      asked.Member(std::to_string(10'000 + m), wanted);
    }
    const auto started = std::clock();
    const auto given = UniformAssignor().Assign(asked.request());
    // CPU time, generously: sanitizers are slow.
    CHECK(static_cast<double>(std::clock() - started) / CLOCKS_PER_SEC < 2.0);
    CHECK(asked.Wrong(given) == "");
    for (const PartitionList& one : given) CHECK(one.size() == 1);
  }
}
