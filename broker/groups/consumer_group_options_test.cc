#include "broker/groups/consumer_group_options.h"

#include <catch2/catch.hpp>

#include "broker/groups/testing/consumer_world.h"

namespace millrace {
namespace {

TEST_CASE("ConsumerGroup: a group goes by settings of its own from the next heartbeat on") {
  ConsumerWorld world;
  world.Topic("t", 2);
  REQUIRE(world.Join("a", {"t"}) == "1: t0 t1");
  CHECK(world.Send(world.Request("a", 1)).heartbeat_interval == seconds(5));
  world.Override("consumer.heartbeat.interval.ms", "7000");
  world.Override("consumer.session.timeout.ms", "60000");
  CHECK(world.Send(world.Request("a", 1)).heartbeat_interval == seconds(7));
  world.Pass(seconds(59));
  CHECK(world.Tick() == 0);
  // A shorter session counts at once, too: it does not wait for the end of the longer one.
  REQUIRE(world.Beat("a", 1) == "1: =");
  world.Override("consumer.session.timeout.ms", "46000");
  REQUIRE(world.Beat("a", 1) == "1: =");
  world.Pass(seconds(45));
  CHECK(world.Tick() == 0);
  world.Pass(seconds(1));
  CHECK(*world.group->deadline() <= world.time.now);
  CHECK(world.Tick() > 0);
  CHECK(world.group->member_count() == 0);
}

TEST_CASE(
    "ConsumerGroup: who loads a group goes by its settings, and by the brokers' without any") {
  ConsumerWorld world;
  world.Topic("t", 2);
  world.Override("consumer.session.timeout.ms", "60000");
  REQUIRE(world.Join("a", {"t"}) == "1: t0 t1");
  for (const bool overridden : {true, false}) {
    if (!overridden) world.Override("consumer.session.timeout.ms", std::nullopt);
    ConsumerGroup loaded("g", world.options);
    for (const EncodedRecord& record : world.log) loaded.Replay(world.Decode(record), world.time);
    loaded.Configure(*world.image);
    loaded.OnLoaded(world.time);
    CHECK(loaded.deadline() == world.time.now + seconds(overridden ? 60 : 45));
  }
}

TEST_CASE("ConsumerGroupOptions: what is beyond the bounds counts as the bound") {
  ConsumerGroupOptions options;
  CHECK(OptionsWith(options, {}).session_timeout == seconds(45));
  const ConsumerGroupOptions low = OptionsWith(
      options, {{"consumer.session.timeout.ms", "1"}, {"consumer.heartbeat.interval.ms", "1"}});
  CHECK(low.session_timeout == seconds(45));
  CHECK(low.heartbeat_interval == seconds(5));
  const ConsumerGroupOptions high =
      OptionsWith(options, {{"consumer.session.timeout.ms", "2000000000"},
                            {"consumer.heartbeat.interval.ms", "20000"},
                            {"consumer.assignment.interval.ms", "20000"}});
  CHECK(high.session_timeout == seconds(60));
  CHECK(high.heartbeat_interval == seconds(15));
  CHECK(high.assignment_interval == seconds(15));
  CHECK(OptionsWith(options, {{"consumer.session.timeout.ms", "soon"}}).session_timeout ==
        seconds(45));
}

}  // namespace
}  // namespace millrace
