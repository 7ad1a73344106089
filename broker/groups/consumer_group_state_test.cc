#include "broker/groups/consumer_group_state.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <string>

namespace millrace {
namespace {

using ClassicProtocol = kafka::ConsumerGroupMemberMetadataValue::ClassicProtocol;

bool Knows(const ConsumerMember& member, const std::string& protocol) {
  const auto& known = member.classic->supported_protocols;
  return std::ranges::find(known, protocol, &ClassicProtocol::name) != known.end();
}

TEST_CASE(
    "ConsumerGroupState: a protocol is known to all when each classic member says it knows it") {
  const std::vector<std::string> names = {"range", "sticky", "uniform"};
  std::mt19937 dice(7);
  ConsumerGroupState state("g");
  for (int round = 0; round < 2000; ++round) {
    ConsumerMember member{.member_id = "m" + std::to_string(dice() % 3)};
    if (dice() % 4 != 0) {
      member.classic.emplace();
      // Of another broker a record may name one twice, or none.
      for (uint32_t known = dice() % 5; known > 0; --known) {
        member.classic->supported_protocols.push_back({names[dice() % names.size()], {}});
      }
    }
    GroupRecord record = MemberRecord("g", member);
    if (dice() % 5 == 0) std::get<ConsumerMemberRecord>(record).value.reset();
    state.Replay(record);
    for (const std::string& name : names) {
      CHECK(state.AllKnow(name) == std::ranges::all_of(state.members(), [&](const auto& entry) {
              return !entry.second.classic.has_value() || Knows(entry.second, name);
            }));
    }
  }
}

}  // namespace
}  // namespace millrace
