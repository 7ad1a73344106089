// What consumer groups subscribe to: names, regular expressions, and what becomes of the topics.
#include <catch2/catch.hpp>

#include "broker/groups/consumer_group.h"
#include "broker/groups/testing/consumer_world.h"

using namespace millrace;

namespace {

std::string JoinRegex(ConsumerWorld& world, const std::string& member, const std::string& regex) {
  ConsumerHeartbeat request = world.Joining(member, {});
  request.topic_regex = regex;
  return world.Say(request);
}

std::string BeatRegex(ConsumerWorld& world, const std::string& member, int32_t epoch,
                      const std::string& regex) {
  ConsumerHeartbeat request = world.Request(member, epoch);
  request.topic_regex = regex;
  return world.Say(request);
}

}  // namespace

TEST_CASE("ConsumerGroup: topics that are created, expanded and deleted are noticed (8.11)") {
  ConsumerWorld world;
  CHECK(world.Join("a", {"t", "u"}) == "1: -");
  CHECK(world.Beat("a", 1) == "1: =");
  world.Topic("t", 2);
  CHECK(world.Beat("a", 1) == "2: t0 t1");
  world.Topic("t", 3);
  CHECK(world.Beat("a", 2) == "3: t0 t1 t2");
  world.Topic("other", 3);
  CHECK(world.Beat("a", 3) == "3: =");
  CHECK(world.records_of_last == 0);
  world.Topic("u", 1);
  world.DeleteTopic("t");
  CHECK(world.Beat("a", 3) == "3: -");
  CHECK(world.Beat("a", 3, "") == "4: u0");
  // Created again it is another topic.
  world.DeleteTopic("u");
  world.Topic("u", 1);
  CHECK(world.Beat("a", 4) == "4: -");
  CHECK(world.Beat("a", 4, "") == "5: u0");
}

TEST_CASE("ConsumerGroup: a changed subscription changes the target, the same one nothing (8.4)") {
  ConsumerWorld world;
  world.Topic("t", 1);
  world.Topic("u", 1);
  CHECK(world.Join("a", {"t"}) == "1: t0");
  CHECK(world.Full("a", 1, {"t"}, "t0") == "1: t0");
  CHECK(world.Full("a", 1, {"u", "t"}, "t0") == "2: t0 u0");
  CHECK(world.Full("a", 2, {"u"}, "t0 u0") == "2: u0");
  CHECK(world.Full("a", 2, {"u"}, "u0") == "3: u0");
  CHECK(world.Full("a", 3, {}, "u0") == "3: -");
  CHECK(world.Full("a", 3, {}, "") == "4: -");
}

TEST_CASE("ConsumerGroup: members with different topics get of their own (8.10)") {
  ConsumerWorld world;
  world.Topic("t", 2);
  world.Topic("u", 2);
  CHECK(world.Join("a", {"t"}) == "1: t0 t1");
  CHECK(world.Join("b", {"u"}) == "2: u0 u1");
  CHECK(world.Join("c", {"u", "t"}) == "3: -");
  CHECK(world.group->SubscribesTo("u"));
  CHECK_FALSE(world.group->SubscribesTo("x"));
  CHECK(world.group->SubscribedTopics() == std::set<std::string>{"t", "u"});
}

TEST_CASE("ConsumerGroup: the assignor most members ask for counts (8.10)") {
  ConsumerWorld world;
  world.Topic("t", 3);
  world.Topic("u", 3);
  const auto join = [&](const std::string& member, std::optional<std::string> assignor) {
    ConsumerHeartbeat request = world.Joining(member, {"t", "u"});
    request.server_assignor = std::move(assignor);
    return world.Say(request);
  };
  join("a", std::nullopt);
  join("b", "range");
  CHECK(world.group->assignor() == "range");
  CHECK(world.Text(world.group->Members()[0].target) == "t0 t1 u0 u1");
  join("c", "uniform");
  CHECK(world.group->assignor() == "uniform");
  join("a", "range");
  CHECK(world.group->assignor() == "range");
}

TEST_CASE("ConsumerGroup: a regular expression stands for the topics it matches (8.14)") {
  ConsumerWorld world;
  world.Topic("logs-a", 1);
  world.Topic("logs-b", 1);
  world.Topic("other", 1);
  world.Topic("__consumer_offsets", 1);
  CHECK(JoinRegex(world, "a", "(") == "INVALID_REGULAR_EXPRESSION");
  CHECK(JoinRegex(world, "a", std::string(5000, 'a')) == "INVALID_REGULAR_EXPRESSION");
  CHECK(world.log.empty());
  CHECK(JoinRegex(world, "a", "logs-.*") == "1: logs-a0 logs-b0");
  CHECK(world.group->SubscribesTo("logs-b"));
  CHECK(world.group->Members()[0].topic_regex == "logs-.*");
  // Names and expression together.
  world.Pass(seconds(1));
  ConsumerHeartbeat request = world.Request("a", 1);
  request.topic_names = {"other"};
  CHECK(world.Say(request) == "2: logs-a0 logs-b0 other0");
  CHECK(BeatRegex(world, "a", 2, "[") == "INVALID_REGULAR_EXPRESSION");
  CHECK(BeatRegex(world, "a", 2, "") == "2: other0");
  CHECK(world.Beat("a", 2, "other0") == "3: =");
  CHECK(world.group->Snapshot().size() == 5);  // None of the expression is left.
  // Internal topics are for those that name them.
  world.Pass(seconds(1));
  CHECK(BeatRegex(world, "a", 3, ".*") == "4: logs-a0 logs-b0 other0");
}

TEST_CASE(
    "ConsumerGroup: regular expressions are matched against newer metadata now and then (8.14)") {
  ConsumerWorld world;
  world.Topic("t1", 1);
  CHECK(JoinRegex(world, "a", "t.*") == "1: t10");
  world.Topic("t2", 1);
  CHECK(world.Beat("a", 1) == "1: =");
  world.Pass(seconds(9));
  CHECK(world.Beat("a", 1) == "1: =");
  world.Pass(seconds(1));
  CHECK(world.Beat("a", 1) == "2: t10 t20");
  world.Topic("unrelated", 1);
  world.Pass(seconds(10));
  CHECK(world.Beat("a", 2) == "2: =");
  CHECK(world.records_of_last == 0);
  // One that is gone is noticed at once: the group knows its name.
  world.DeleteTopic("t1");
  CHECK(world.Beat("a", 2) == "2: t20");
}

TEST_CASE("ConsumerGroup: new regular expressions wait a moment for their turn (8.14)") {
  ConsumerWorld world;
  world.Topic("t", 1);
  world.Topic("u", 1);
  CHECK(JoinRegex(world, "a", "t") == "1: t0");
  CHECK(JoinRegex(world, "b", "u") == "2: -");
  CHECK(JoinRegex(world, "c", "t") == "3: -");  // That one is known.
  CHECK(world.Beat("b", 2) == "3: =");
  world.Pass(seconds(1));
  CHECK(world.Beat("b", 3) == "4: u0");
  // The last one that has it takes it along.
  const auto resolved = [&] {
    size_t count = 0;
    for (const GroupRecord& record : world.group->Snapshot()) {
      count += std::holds_alternative<RegexRecord>(record);
    }
    return count;
  };
  CHECK(resolved() == 2);
  world.Beat("a", -1);
  CHECK(resolved() == 2);
  world.Replay(world.group->Remove({"b", "c"}));
  CHECK(resolved() == 0);
}

TEST_CASE(
    "ConsumerGroup: a decision matches no more than it may, and the rest has its turn (8.14)") {
  ConsumerWorld world;
  world.options.regex_cost_max = 1;
  world.Topic("t", 1);
  for (const char* member : {"a", "b", "c"}) JoinRegex(world, member, std::string("t|") + member);
  const auto topics = [&] { return world.group->SubscribedTopics().size(); };
  CHECK(topics() == 1);
  const auto resolved = [&] {
    size_t count = 0;
    for (const GroupRecord& record : world.group->Snapshot()) {
      count += std::holds_alternative<RegexRecord>(record);
    }
    return count;
  };
  CHECK(resolved() == 1);
  for (size_t wanted = 2; wanted <= 3; ++wanted) {
    world.Pass(seconds(1));
    world.Full("a", world.group->Members()[0].epoch.value(), {}, "");
    CHECK(resolved() == wanted);
  }
  // Newer metadata: each has its turn, after ten seconds each.
  world.Topic("a", 1);
  world.Topic("b", 1);
  world.Topic("c", 1);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(topics() == 1 + i);
    world.Pass(seconds(10));
    world.Full("a", world.group->Members()[0].epoch.value(), {}, "");
  }
  CHECK(topics() == 4);
}

TEST_CASE("ConsumerGroup: a group that is loaded goes on where it was, with new sessions (8.9)") {
  for (const bool keep_tombstones : {true, false}) {
    ConsumerWorld world;
    world.Topic("t", 2);
    world.Topic("logs", 1);
    world.Join("a", {"t"});
    JoinRegex(world, "b", "lo.*");
    world.Pass(seconds(44));
    world.group = world.Loaded(world.Compacted(keep_tombstones));
    CHECK(world.group->deadline() == world.time.now + seconds(45));
    CHECK(world.Beat("a", 1) == "2: =");
    CHECK(world.Beat("b", 2) == "2: =");
    world.Beat("a", -1);
    world.Beat("b", -1);
    CHECK(world.Phase() == "Empty");
    CHECK(world.Loaded(world.Compacted(keep_tombstones))->Snapshot() == world.group->Snapshot());
  }
}

TEST_CASE("ConsumerGroup: new regular expressions do not keep known ones from their turn (8.14)") {
  ConsumerWorld world;
  world.Topic("t", 1);
  JoinRegex(world, "a", "[tu]");
  world.Topic("u", 1);
  for (int i = 0; i < 10; ++i) {
    world.Pass(seconds(1));
    JoinRegex(world, "b", "b" + std::to_string(i));
  }
  CHECK(world.group->SubscribesTo("u"));
}

TEST_CASE("ConsumerGroup: who leaves takes its topics along, without another epoch later (8.4)") {
  ConsumerWorld world;
  world.Topic("t", 1);
  world.Topic("u", 1);
  world.Join("a", {"t"});
  world.Join("b", {"u"});
  CHECK(world.Beat("b", -1) == "-1: =");
  CHECK(world.Beat("a", 1) == "3: =");
  world.Topic("other", 1);
  CHECK(world.Beat("a", 3) == "3: =");
}
