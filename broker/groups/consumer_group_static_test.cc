// Static members (KIP-345) of consumer groups, and who may commit.
#include <catch2/catch.hpp>

#include "broker/groups/consumer_group.h"
#include "broker/groups/testing/consumer_world.h"

using namespace millrace;
using kafka::KafkaError;

namespace {

std::string JoinStatic(ConsumerWorld& world, const std::string& member,
                       const std::string& instance) {
  ConsumerHeartbeat request = world.Joining(member, {"t"});
  request.instance_id = instance;
  return world.Say(request);
}

std::string BeatStatic(ConsumerWorld& world, const std::string& member, const std::string& instance,
                       int32_t epoch) {
  ConsumerHeartbeat request = world.Request(member, epoch);
  request.instance_id = instance;
  return world.Say(request);
}

}  // namespace

TEST_CASE("ConsumerGroup: a static member keeps its partitions for a restart (8.13)") {
  ConsumerWorld world;
  world.Topic("t", 2);
  CHECK(JoinStatic(world, "a1", "a") == "1: t0 t1");
  CHECK(JoinStatic(world, "b1", "b") == "2: -");
  world.Beat("a1", 1);
  world.Beat("a1", 1, "t0");
  CHECK(BeatStatic(world, "b1", "b", 2) == "2: t1");

  CHECK(BeatStatic(world, "a1", "a", -2) == "-2: =");
  CHECK(BeatStatic(world, "a1", "a", -2) == "-2: =");
  CHECK(world.Beat("b1", 2) == "2: =");
  CHECK(world.group->group_epoch() == 2);
  // Another process takes its place; nothing moves.
  CHECK(JoinStatic(world, "a2", "a") == "2: t0");
  CHECK(world.group->group_epoch() == 2);
  CHECK(world.group->member_count() == 2);
  CHECK(world.Phase() == "Stable");
  // The one before is fenced.
  CHECK(BeatStatic(world, "a1", "a", 2) == "FENCED_INSTANCE_ID");
  CHECK(BeatStatic(world, "a1", "a", -1) == "FENCED_INSTANCE_ID");
  CHECK(world.Beat("a1", 2) == "UNKNOWN_MEMBER_ID");
  CHECK(BeatStatic(world, "a2", "a", 2) == "2: =");
}

TEST_CASE("ConsumerGroup: an instance id that is in use is not given away (8.13)") {
  ConsumerWorld world;
  world.Topic("t", 2);
  JoinStatic(world, "a1", "a");
  CHECK(JoinStatic(world, "a2", "a") == "UNRELEASED_INSTANCE_ID");
  CHECK(BeatStatic(world, "a2", "a", 1) == "FENCED_INSTANCE_ID");
  CHECK(BeatStatic(world, "x1", "x", 1) == "UNKNOWN_MEMBER_ID");
  // Nor does a member change who it is.
  CHECK(JoinStatic(world, "a1", "x") == "INVALID_REQUEST");
  world.Join("d", {"t"});
  CHECK(JoinStatic(world, "d", "x") == "INVALID_REQUEST");
  BeatStatic(world, "a1", "a", -2);
  CHECK(JoinStatic(world, "d", "a") == "INVALID_REQUEST");
}

TEST_CASE("ConsumerGroup: a static member that stays away for a session is removed (8.13)") {
  ConsumerWorld world;
  world.Topic("t", 2);
  JoinStatic(world, "a1", "a");
  world.Pass(seconds(40));
  BeatStatic(world, "a1", "a", -2);
  world.Pass(seconds(44));
  CHECK(world.Tick() == 0);
  world.Pass(seconds(1));
  CHECK(world.Tick() > 0);
  CHECK(world.Phase() == "Empty");
  CHECK(JoinStatic(world, "a2", "a") == "3: t0 t1");
}

TEST_CASE("ConsumerGroup: a static member may come back under its own id, or with other topics") {
  ConsumerWorld world;
  world.Topic("t", 1);
  world.Topic("u", 1);
  JoinStatic(world, "a1", "a");
  BeatStatic(world, "a1", "a", -2);
  CHECK(BeatStatic(world, "a1", "a", 1) == "FENCED_MEMBER_EPOCH");
  CHECK(JoinStatic(world, "a1", "a") == "1: t0");
  BeatStatic(world, "a1", "a", -2);
  ConsumerHeartbeat request = world.Joining("a2", {"u"});
  request.instance_id = "a";
  CHECK(world.Say(request) == "2: u0");
}

TEST_CASE("ConsumerGroup: what a static member was to give up is free once it has left (8.13)") {
  ConsumerWorld world;
  world.Topic("t", 2);
  JoinStatic(world, "a1", "a");
  world.Join("b", {"t"});
  CHECK(world.Beat("a1", 1) == "1: t0");
  CHECK(BeatStatic(world, "a1", "a", -2) == "-2: =");
  CHECK(world.Beat("b", 2) == "2: t1");
  CHECK(JoinStatic(world, "a2", "a") == "2: t0");
}

TEST_CASE("ConsumerGroup: a static member leaves for good as others do (8.15)") {
  ConsumerWorld world;
  world.Topic("t", 2);
  JoinStatic(world, "a1", "a");
  CHECK(BeatStatic(world, "a1", "a", -1) == "-1: =");
  CHECK(world.Phase() == "Empty");
  CHECK(JoinStatic(world, "a2", "a") == "3: t0 t1");
}

TEST_CASE("ConsumerGroup: members commit with their epoch (8.17)") {
  ConsumerWorld world;
  world.Topic("t", 2);
  const auto check = [&](OffsetClient client) { return world.group->CheckCommit(client); };
  // Nobody is there: an administrator may.
  CHECK(check({.member_id = ""}) == KafkaError::kNone);
  world.Join("a", {"t"});
  CHECK(check({.member_id = ""}) == KafkaError::kUnknownMemberId);
  CHECK(check({.member_id = "b", .epoch = MemberEpoch(1)}) == KafkaError::kUnknownMemberId);
  CHECK(check({.member_id = "a", .epoch = MemberEpoch(1)}) == KafkaError::kNone);
  CHECK(check({.member_id = "a", .epoch = MemberEpoch(2)}) == KafkaError::kStaleMemberEpoch);
  CHECK(check({.member_id = "a", .epoch = MemberEpoch(1), .knows_epochs = false}) ==
        KafkaError::kUnsupportedVersion);
  CHECK(check({.member_id = "", .transactional = true}) == KafkaError::kNone);
  CHECK(check({.member_id = "a",
               .epoch = MemberEpoch(1),
               .transactional = true,
               .knows_epochs = false}) == KafkaError::kNone);
  CHECK(check({.member_id = "b", .transactional = true}) == KafkaError::kUnknownMemberId);

  const auto fetch = [&](OffsetClient client) { return world.group->CheckFetch(client); };
  CHECK(fetch({.member_id = ""}) == KafkaError::kNone);
  CHECK(fetch({.member_id = "a", .epoch = MemberEpoch(1)}) == KafkaError::kNone);
  CHECK(fetch({.member_id = "a", .epoch = MemberEpoch(0)}) == KafkaError::kStaleMemberEpoch);
  CHECK(fetch({.member_id = "b", .epoch = MemberEpoch(1)}) == KafkaError::kUnknownMemberId);
}

TEST_CASE("ConsumerGroup: a commit of an old epoch is good for what was held since then (8.17)") {
  ConsumerWorld world;
  world.Topic("t", 4);
  world.Join("a", {"t"});
  world.Join("b", {"t"});
  world.Beat("a", 1);
  const auto check = [&](const std::string& member, int32_t epoch, int32_t partition) {
    return world.group->CheckCommitOf({.member_id = member, .epoch = MemberEpoch(epoch)},
                                      world.Partition("t", partition));
  };
  CHECK(check("a", 1, 3) == KafkaError::kNone);  // It is still giving it up.
  world.Beat("a", 1, "t0 t1");                   // Epoch 2.
  world.Beat("b", 2);
  CHECK(check("a", 2, 3) == KafkaError::kNone);  // Of its own epoch anything goes.
  CHECK(check("a", 1, 0) == KafkaError::kNone);
  CHECK(check("a", 1, 3) == KafkaError::kStaleMemberEpoch);
  CHECK(check("a", 3, 0) == KafkaError::kStaleMemberEpoch);
  CHECK(check("b", 2, 3) == KafkaError::kNone);
  CHECK(check("b", 1, 3) == KafkaError::kStaleMemberEpoch);
  CHECK(check("x", 1, 3) == KafkaError::kUnknownMemberId);
  CHECK(world.group->CheckCommitOf({.member_id = "", .transactional = true},
                                   world.Partition("t", 3)) == KafkaError::kNone);
}
