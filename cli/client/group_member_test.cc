#include "cli/client/group_member.h"

#include <catch2/catch.hpp>

#include "proto/kafka/kafka_error.h"

namespace millrace {
namespace {

using kafka::KafkaError;
using Step = GroupMember::Step;

int16_t Code(KafkaError error) { return static_cast<int16_t>(error); }

GroupMember::JoinAnswer Refused(KafkaError error, std::string member_id = "") {
  GroupMember::JoinAnswer answer;
  answer.code = Code(error);
  answer.member_id = std::move(member_id);
  return answer;
}

GroupMember::JoinAnswer Joined(std::string member_id, std::string leader) {
  GroupMember::JoinAnswer answer;
  answer.generation = 7;
  answer.protocol = "range";
  answer.leader = std::move(leader);
  answer.member_id = std::move(member_id);
  if (answer.leader == answer.member_id) {
    answer.members = {{"a", std::nullopt, *EncodeSubscription({{"t"}, {}})},
                      {"b", std::nullopt, *EncodeSubscription({{"t", "u"}, {}})}};
  }
  return answer;
}

// A member "b" that reads t-1.
GroupMember Reading() {
  GroupMember member({"t"});
  member.OnJoin(Joined("b", "a"));
  member.OnSync(0, *EncodeAssignment({{"t", PartitionId(1)}}));
  return member;
}

}  // namespace

TEST_CASE("GroupMember: it gets an id, joins with it, syncs and reads") {
  GroupMember member({"t"});
  CHECK(member.step() == Step::kJoin);
  CHECK(member.id().empty());
  CHECK(member.subscription().topics == std::vector<std::string>{"t"});
  member.OnJoin(Refused(KafkaError::kMemberIdRequired, "b"));  // KIP-394.
  CHECK(member.step() == Step::kJoin);
  CHECK(member.id() == "b");
  member.OnJoin(Joined("b", "a"));
  CHECK(member.step() == Step::kSync);
  CHECK(!member.is_leader());
  CHECK(!member.may_commit());
  CHECK(member.TopicsToDivide().empty());
  CHECK(member.Divide({{"t", 2}}).empty());
  member.OnSync(0, *EncodeAssignment({{"t", PartitionId(1)}}));
  CHECK(member.step() == Step::kRead);
  CHECK(member.generation() == 7);
  CHECK(member.assignment() == ConsumerAssignment{{"t", PartitionId(1)}});
  CHECK(member.may_commit());
  member.OnHeartbeat(0);
  CHECK(member.step() == Step::kRead);
}

TEST_CASE("GroupMember: the leader divides the topics of all members") {
  GroupMember member({"t"});
  member.OnJoin(Joined("a", "a"));
  CHECK(member.is_leader());
  CHECK(member.TopicsToDivide() == std::vector<std::string>{"t", "u"});
  const Assignments assignments = member.Divide({{"t", 3}, {"u", 1}});
  CHECK(assignments.at("a") == ConsumerAssignment{{"t", PartitionId(0)}, {"t", PartitionId(1)}});
  CHECK(assignments.at("b") == ConsumerAssignment{{"t", PartitionId(2)}, {"u", PartitionId(0)}});

  GroupMember::JoinAnswer damaged = Joined("a", "a");
  damaged.members[1].subscription = Slice::Copy(std::string_view("?"));
  member.OnJoin(damaged);
  CHECK(member.Divide({{"t", 3}}).at("a").size() == 3);
  CHECK(member.Divide({{"t", 3}}).at("b").empty());

  GroupMember::JoinAnswer kept = Joined("a", "a");
  kept.skip_assignment = true;  // KIP-814.
  member.OnJoin(kept);
  CHECK(member.Divide({{"t", 3}}).empty());
}

TEST_CASE("GroupMember: in a rebalance it may commit until it joins again, with the id it has") {
  GroupMember member = Reading();
  member.OnHeartbeat(Code(KafkaError::kRebalanceInProgress));
  CHECK(member.step() == Step::kJoin);
  CHECK(member.may_commit());
  CHECK(member.id() == "b");
  CHECK(member.generation() == 7);
  member.OnJoin(Joined("b", "b"));
  CHECK(!member.may_commit());
  CHECK(member.step() == Step::kSync);
  member.OnSync(Code(KafkaError::kRebalanceInProgress), Slice());
  CHECK(member.step() == Step::kJoin);
}

TEST_CASE("GroupMember: who is known no more may not commit, and joins as somebody new") {
  GroupMember member = Reading();
  member.OnHeartbeat(Code(KafkaError::kUnknownMemberId));
  CHECK(member.step() == Step::kJoin);
  CHECK(!member.may_commit());
  CHECK(member.id().empty());

  GroupMember late = Reading();
  late.OnHeartbeat(Code(KafkaError::kIllegalGeneration));
  CHECK(late.step() == Step::kJoin);
  CHECK(!late.may_commit());
  CHECK(late.id() == "b");
  late.OnJoin(Refused(KafkaError::kUnknownMemberId));
  CHECK(late.step() == Step::kJoin);
  CHECK(late.id().empty());
}

TEST_CASE("GroupMember: topics that changed are divided anew") {
  GroupMember member = Reading();
  member.OnTopicsChanged();
  CHECK(member.step() == Step::kJoin);
  CHECK(member.may_commit());
}

TEST_CASE("GroupMember: what is refused for good ends it") {
  for (KafkaError error : {KafkaError::kInconsistentGroupProtocol, KafkaError::kGroupMaxSizeReached,
                           KafkaError::kGroupAuthorizationFailed}) {
    GroupMember member({"t"});
    member.OnJoin(Refused(error));
    CHECK(member.step() == Step::kFailed);
    CHECK(!member.failure().ok());
  }
  GroupMember fenced = Reading();
  fenced.OnHeartbeat(Code(KafkaError::kFencedInstanceId));  // KIP-345.
  CHECK(fenced.step() == Step::kFailed);
  CHECK(!fenced.may_commit());

  GroupMember foreign({"t"});
  GroupMember::JoinAnswer other = Joined("b", "a");
  other.protocol = "sticky";
  foreign.OnJoin(other);
  CHECK(foreign.step() == Step::kFailed);

  GroupMember damaged({"t"});
  damaged.OnJoin(Joined("b", "a"));
  damaged.OnSync(0, Slice::Copy(std::string_view("?")));
  CHECK(absl::IsDataLoss(damaged.failure()));
}

}  // namespace millrace
