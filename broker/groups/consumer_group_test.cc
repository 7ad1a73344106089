// How members come, are led to their targets, and go.
#include "broker/groups/consumer_group.h"

#include <catch2/catch.hpp>

#include "broker/groups/testing/consumer_world.h"

using namespace millrace;

TEST_CASE("ConsumerGroup: the first member gets everything at once (8.2-8.4, 8.8)") {
  ConsumerWorld world;
  world.Topic("t", 3);
  CHECK(world.Phase() == "Empty");
  CHECK_FALSE(world.group->exists());
  const ConsumerHeartbeatReply reply = world.Send(world.Joining("a", {"t", "t"}));
  CHECK(world.Text(reply) == "1: t0 t1 t2");
  CHECK(reply.member_id == "a");
  CHECK(reply.heartbeat_interval == seconds(5));
  CHECK(world.Phase() == "Stable");
  CHECK(world.group->exists());
  CHECK(world.group->assignor() == "uniform");

  // Nothing new is not said again, unless it is asked for.
  CHECK(world.Beat("a", 1) == "1: =");
  CHECK(world.records_of_last == 0);
  CHECK(world.Full("a", 1, {"t"}, "t0 t1 t2") == "1: t0 t1 t2");
  CHECK(world.records_of_last == 0);
}

TEST_CASE("ConsumerGroup: a second member waits until the first has given up its share (8.6)") {
  ConsumerWorld world;
  world.Topic("t", 4);
  CHECK(world.Join("a", {"t"}) == "1: t0 t1 t2 t3");
  // The target is new; the partitions are still the first one's.
  CHECK(world.Join("b", {"t"}) == "2: -");
  CHECK(world.Phase() == "Reconciling");
  // Told to give up two, it stays in its epoch until it says that it did.
  CHECK(world.Beat("a", 1) == "1: t0 t1");
  CHECK(world.Beat("a", 1) == "1: =");
  CHECK(world.Beat("a", 1, "t0 t1 t2 t3") == "1: =");
  CHECK(world.Beat("b", 2) == "2: =");
  CHECK(world.Beat("a", 1, "t0 t1") == "2: =");
  CHECK(world.Phase() == "Reconciling");
  CHECK(world.Beat("b", 2) == "2: t2 t3");
  CHECK(world.Phase() == "Stable");
  const auto members = world.group->Members();
  REQUIRE(members.size() == 2);
  CHECK(world.Text(members[1].target) == "t2 t3");
  CHECK(members[1].client_host == "/127.0.0.1");
}

TEST_CASE("ConsumerGroup: partitions become free one owner at a time (8.6)") {
  ConsumerWorld world;
  world.Topic("t", 6);
  world.Join("a", {"t"});
  world.Join("b", {"t"});
  CHECK(world.Beat("a", 1) == "1: t0 t1 t2");
  CHECK(world.Beat("a", 1, "t0 t1 t2") == "2: =");
  CHECK(world.Beat("b", 2) == "2: t3 t4 t5");
  CHECK(world.Join("c", {"t"}) == "3: -");
  CHECK(world.Beat("a", 2) == "2: t0 t1");
  CHECK(world.Beat("b", 2) == "2: t3 t4");
  CHECK(world.Beat("b", 2, "t3 t4") == "3: =");
  CHECK(world.Beat("c", 3) == "3: t5");
  CHECK(world.Beat("a", 2, "t0 t1") == "3: =");
  CHECK(world.Beat("c", 3) == "3: t2 t5");
  CHECK(world.Phase() == "Stable");
}

TEST_CASE("ConsumerGroup: a request that lacks what it needs is refused (8.1, 8.2)") {
  ConsumerWorld world;
  world.Topic("t", 1);
  const auto refused = [&](auto change) {
    ConsumerHeartbeat request = world.Joining("a", {"t"});
    change(request);
    return world.Say(request);
  };
  using Request = ConsumerHeartbeat&;
  CHECK(refused([](Request r) { r.group_id = ""; }) == "INVALID_REQUEST");
  CHECK(refused([](Request r) { r.member_id = ""; }) == "INVALID_REQUEST");
  CHECK(refused([](Request r) { r.instance_id = ""; }) == "INVALID_REQUEST");
  CHECK(refused([](Request r) { r.rack = ""; }) == "INVALID_REQUEST");
  CHECK(refused([](Request r) { r.rebalance_timeout.reset(); }) == "INVALID_REQUEST");
  CHECK(refused([](Request r) { r.owned.reset(); }) == "INVALID_REQUEST");
  CHECK(refused([&](Request r) { r.owned = world.Parse("t0"); }) == "INVALID_REQUEST");
  CHECK(refused([](Request r) { r.topic_names.reset(); }) == "INVALID_REQUEST");
  CHECK(refused([](Request r) {
          r.topic_names = std::vector<std::string>(1000, std::string(5000, 'n'));
        }) == "INVALID_REQUEST");
  CHECK(refused([](Request r) { r.epoch = MemberEpoch(-3); }) == "INVALID_REQUEST");
  CHECK(refused([](Request r) { r.epoch = kStaticLeaveEpoch; }) == "INVALID_REQUEST");
  CHECK(refused([](Request r) { r.server_assignor = "best"; }) == "UNSUPPORTED_ASSIGNOR");
  CHECK(refused([](Request r) { r.epoch = MemberEpoch(1); }) == "UNKNOWN_MEMBER_ID");
  CHECK(refused([](Request r) { r.epoch = kLeaveEpoch; }) == "UNKNOWN_MEMBER_ID");
  CHECK(world.log.empty());
}

TEST_CASE("ConsumerGroup: members of old clients are given an id (8.2)") {
  ConsumerWorld world;
  world.Topic("t", 1);
  ConsumerHeartbeat request = world.Joining("", {"t"});
  request.must_bring_its_id = false;
  const ConsumerHeartbeatReply reply = world.Send(request);
  CHECK(world.Text(reply) == "1: t0");
  CHECK(reply.member_id == Uuid(7, 1).ToString());
  request.epoch = MemberEpoch(1);
  CHECK(world.Say(request) == "INVALID_REQUEST");
}

TEST_CASE("ConsumerGroup: epochs that are not the member's are fenced (8.5)") {
  ConsumerWorld world;
  world.Topic("t", 2);
  world.Join("a", {"t"});
  CHECK(world.Beat("a", 2) == "FENCED_MEMBER_EPOCH");
  CHECK(world.Beat("b", 1) == "UNKNOWN_MEMBER_ID");
  world.Join("b", {"t"});
  world.Beat("a", 1);
  world.Beat("a", 1, "t0");
  world.Topic("t", 3);
  CHECK(world.Beat("a", 2) == "3: t0 t2");
  CHECK(world.Beat("a", 1) == "FENCED_MEMBER_EPOCH");
  // Fenced, it gives all up and joins again, under the same id.
  CHECK(world.Join("a", {"t"}) == "3: t0 t2");
  CHECK(world.group->member_count() == 2);
}

TEST_CASE(
    "ConsumerGroup: who missed an answer with a new epoch may come with the one before (8.5)") {
  ConsumerWorld world;
  world.Topic("t", 2);
  world.Join("a", {"t"});
  CHECK(world.Join("a", {"t"}) == "1: t0 t1");  // It missed the first one, too.
  world.Topic("t", 3);
  CHECK(world.Beat("a", 1) == "2: t0 t1 t2");
  CHECK(world.Beat("a", 1) == "FENCED_MEMBER_EPOCH");  // It does not say what it owns.
  CHECK(world.Full("a", 1, {"t"}, "t0 t1") == "2: t0 t1 t2");
  CHECK(world.Full("a", 1, {"t"}, "t0 t1 t7") == "FENCED_MEMBER_EPOCH");
  CHECK(world.Beat("a", 2, "t0 t1 t2") == "2: =");
}

TEST_CASE("ConsumerGroup: who leaves sets its partitions free (8.15)") {
  ConsumerWorld world;
  world.Topic("t", 2);
  world.Join("a", {"t"});
  world.Join("b", {"t"});
  world.Beat("a", 1);
  world.Beat("a", 1, "t0");
  CHECK(world.Beat("b", 2) == "2: t1");
  CHECK(world.Beat("b", -1) == "-1: =");
  CHECK(world.group->group_epoch() == 3);
  CHECK(world.Phase() == "Assigning");
  CHECK(world.Beat("a", 2) == "3: t0 t1");
  CHECK(world.Beat("a", -1) == "-1: =");
  CHECK(world.Phase() == "Empty");
  CHECK(world.group->exists());
  CHECK(world.group->deadline() == std::nullopt);
  // The epochs go on.
  CHECK(world.Join("a", {"t"}) == "5: t0 t1");
}

TEST_CASE("ConsumerGroup: who is silent for a session is removed (8.9)") {
  ConsumerWorld world;
  world.Topic("t", 2);
  world.Join("a", {"t"});
  CHECK(world.group->deadline() == world.time.now + seconds(45));
  world.Pass(seconds(30));
  world.Join("b", {"t"});
  CHECK(world.Tick() == 0);
  world.Pass(seconds(15));
  CHECK(world.group->deadline() <= world.time.now);
  CHECK(world.Tick() == 4);
  CHECK(world.group->member_count() == 1);
  CHECK(world.group->deadline() == world.time.now + seconds(30));
  CHECK(world.Beat("a", 1) == "UNKNOWN_MEMBER_ID");
  CHECK(world.Beat("b", 2) == "3: t0 t1");
  world.Pass(seconds(44));
  CHECK(world.Tick() == 0);
  CHECK(world.Beat("b", 3) == "3: =");
  world.Pass(seconds(44));
  CHECK(world.Tick() == 0);
  CHECK(world.group->member_count() == 1);
}

TEST_CASE("ConsumerGroup: who does not give up its partitions in time is removed (8.7)") {
  ConsumerWorld world;
  world.Topic("t", 2);
  ConsumerHeartbeat request = world.Joining("a", {"t"});
  request.rebalance_timeout = seconds(10);
  world.Say(request);
  world.Join("b", {"t"});
  CHECK(world.Beat("a", 1) == "1: t0");
  CHECK(world.group->deadline() == world.time.now + seconds(10));
  world.Pass(seconds(9));
  CHECK(world.Beat("a", 1) == "1: =");  // Does not give it more time.
  CHECK(world.Tick() == 0);
  world.Pass(seconds(1));
  CHECK(world.Tick() > 0);
  CHECK(world.Beat("a", 1) == "UNKNOWN_MEMBER_ID");
  CHECK(world.Beat("b", 2) == "3: t0 t1");
}

TEST_CASE("ConsumerGroup: one that gives up its partitions in time has no deadline left (8.7)") {
  ConsumerWorld world;
  world.Topic("t", 2);
  ConsumerHeartbeat request = world.Joining("a", {"t"});
  request.rebalance_timeout = seconds(10);
  world.Say(request);
  world.Join("b", {"t"});
  world.Beat("a", 1);
  world.Pass(seconds(9));
  CHECK(world.Beat("a", 1, "t0") == "2: =");
  world.Pass(seconds(9));
  CHECK(world.Tick() == 0);
  CHECK(world.group->deadline() == world.time.now + seconds(27));
}

TEST_CASE("ConsumerGroup: no more members than there may be (8.20)") {
  ConsumerWorld world;
  world.options.members_max = 1;
  world.Topic("t", 2);
  world.Join("a", {"t"});
  CHECK(world.Join("b", {"t"}) == "GROUP_MAX_SIZE_REACHED");
  CHECK(world.Join("a", {"t"}) == "1: t0 t1");
}

TEST_CASE("ConsumerGroup: targets are not computed too often (8.12)") {
  ConsumerWorld world;
  world.options.assignment_interval = seconds(1);
  world.Topic("t", 3);
  world.Topic("u", 3);
  CHECK(world.Join("a", {"t"}) == "1: t0 t1 t2");
  CHECK(world.Join("b", {"t"}) == "1: -");
  CHECK(world.Join("c", {"t"}) == "1: -");
  CHECK(world.Phase() == "Assigning");
  // One that comes back with another subscription gets nothing that it does not want any more.
  CHECK(world.Join("a", {"u"}) == "1: -");
  CHECK(world.Join("a", {"t"}) == "1: t0 t1 t2");
  world.Pass(seconds(1));
  CHECK(world.Beat("b", 1) == "5: =");
  CHECK(world.Beat("a", 1) == "1: t0");
  CHECK(world.Beat("a", 1, "t0") == "5: =");
  CHECK(world.Beat("b", 5) == "5: t2");
  CHECK(world.Beat("c", 1) == "5: t1");
}

TEST_CASE("ConsumerGroup: what an administrator removes is gone like one that leaves") {
  ConsumerWorld world;
  world.Topic("t", 2);
  world.Join("a", {"t"});
  CHECK(world.group->Remove({"nobody"}).empty());
  world.Replay(world.group->Remove({"a", "nobody"}));
  CHECK(world.Phase() == "Empty");
  CHECK(world.group->group_epoch() == 2);
}

TEST_CASE("ConsumerGroup: its tombstones leave nothing of it, and it may begin anew") {
  ConsumerWorld world;
  world.Topic("t", 2);
  ConsumerHeartbeat request = world.Joining("a", {"t"});
  request.topic_regex = "t.*";
  world.Say(request);
  const size_t records = world.group->Snapshot().size();
  const std::vector<GroupRecord> tombstones = world.group->Tombstones();
  CHECK(tombstones.size() == records);
  world.Replay(tombstones);
  CHECK_FALSE(world.group->exists());
  CHECK(world.Phase() == "Empty");
  CHECK(world.group->SubscribedTopics().empty());
  CHECK(world.Join("b", {"t"}) == "1: t0 t1");
}

TEST_CASE("ConsumerGroup: hostile requests change nothing they may not") {
  ConsumerWorld world;
  world.Topic("t", 2);
  world.Join("a", {"t"});
  ConsumerHeartbeat request = world.Request("a", 1);
  request.owned = PartitionList{{TopicId(9, 9), PartitionId(-1)},
                                {TopicId(0, 0), PartitionId(INT32_MAX)},
                                {TopicId(9, 9), PartitionId(-1)}};
  CHECK(world.Say(request) == "1: =");
  request.rebalance_timeout = Duration(INT64_MIN);
  CHECK(world.Say(request) == "1: =");
  request.rebalance_timeout = Duration::max();
  CHECK(world.Say(request) == "1: =");
  request.topic_names = std::vector<std::string>(1000, std::string(300, '\0'));
  CHECK(world.Say(request) == "2: -");
  request.epoch = MemberEpoch(INT32_MAX);
  CHECK(world.Say(request) == "FENCED_MEMBER_EPOCH");
  request.epoch = MemberEpoch(INT32_MIN);
  CHECK(world.Say(request) == "INVALID_REQUEST");
  CHECK(world.group->memory_bytes() > 0);
}
