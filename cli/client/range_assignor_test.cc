#include "cli/client/range_assignor.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>

namespace millrace {
namespace {

AssignableMember Member(std::string id, std::vector<std::string> topics) {
  return {std::move(id), std::nullopt, std::move(topics)};
}

std::string Text(const Assignments& assignments) {
  std::string text;
  for (const auto& [member, assignment] : assignments) {
    text += fmt::format("{}{}=", text.empty() ? "" : " ", member);
    for (const TopicPartition& place : assignment) {
      text += fmt::format("{}{}", place.topic, place.partition);
    }
  }
  return text;
}

}  // namespace

TEST_CASE("RangeAssignor: each topic is divided into runs, the first members get one more") {
  const std::vector<AssignableMember> two = {Member("B", {"t", "u"}), Member("A", {"t", "u"})};
  CHECK(Text(AssignRanges(two, {{"t", 3}, {"u", 3}})) == "A=t0t1u0u1 B=t2u2");
  CHECK(Text(AssignRanges(two, {{"t", 4}})) == "A=t0t1 B=t2t3");
  CHECK(Text(AssignRanges({Member("A", {"t"})}, {{"t", 2}})) == "A=t0t1");
}

TEST_CASE(
    "RangeAssignor: members that subscribe to other topics, and more members than partitions") {
  CHECK(Text(AssignRanges({Member("A", {"t"}), Member("B", {"t", "u"}), Member("C", {"u"})},
                          {{"t", 2}, {"u", 3}})) == "A=t0 B=t1u0u1 C=u2");
  CHECK(Text(AssignRanges({Member("A", {"t"}), Member("B", {"t"}), Member("C", {"t"})},
                          {{"t", 2}})) == "A=t0 B=t1 C=");
  CHECK(Text(AssignRanges({Member("A", {"gone"})}, {})) == "A=");
}

TEST_CASE("RangeAssignor: static members come first, by the names that survive a restart") {
  CHECK(Text(AssignRanges({Member("A", {"t"}), {"Z", "i1", {"t"}}, {"Y", "i2", {"t"}}},
                          {{"t", 4}})) == "A=t3 Y=t2 Z=t0t1");
}

TEST_CASE("RangeAssignor: every partition goes to exactly one of its readers") {
  for (int32_t members = 1; members <= 7; ++members) {
    for (int32_t partitions = 0; partitions <= 20; ++partitions) {
      std::vector<AssignableMember> all;
      for (int32_t i = 0; i < members; ++i) all.push_back(Member(fmt::format("m{}", i), {"t"}));
      std::map<int32_t, int> given;
      size_t most = 0;
      size_t least = 100;
      for (const auto& [member, assignment] : AssignRanges(all, {{"t", partitions}})) {
        for (const TopicPartition& place : assignment) ++given[place.partition.value()];
        most = std::max(most, assignment.size());
        least = std::min(least, assignment.size());
      }
      CHECK(given.size() == static_cast<size_t>(partitions));
      for (const auto& [partition, times] : given) CHECK(times == 1);
      CHECK(most - least <= 1);
    }
  }
}

}  // namespace millrace
