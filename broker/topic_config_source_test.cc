#include "broker/topic_config_source.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

TopicConfigSource Source(ConfigMap own) {
  ServerConfigValues values;
  values.static_values = std::move(own);
  return TopicConfigSource(BrokerId(2), std::move(values));
}

TopicImage Topic(const ConfigMap& configs) {
  TopicImage topic;
  for (const auto& [name, value] : configs) topic.configs[name] = value;
  return topic;
}

}  // namespace

TEST_CASE("TopicConfigSource: the largest rate of a replication throttle is none") {
  CHECK(Source({}).Throttles(MetadataImage()) == ThrottleRates());
  const TopicConfigSource source = Source({{"leader.replication.throttled.rate", "5000"},
                                           {"follower.replication.throttled.rate", "0"}});
  CHECK(source.Throttles(MetadataImage()) == ThrottleRates{.leader = 5000, .follower = 0});
}

TEST_CASE(
    "TopicConfigSource: a topic's list of throttled replicas is read as this broker's partitions") {
  const TopicConfigSource source = Source({});
  CHECK(source.Throttled(Topic({})).empty());
  const TopicImage topic = Topic({{"leader.replication.throttled.replicas", "7:2,0:1,3:2,3:1"},
                                  {"follower.replication.throttled.replicas", "*"}});
  const TopicThrottles throttled = source.Throttled(topic);
  CHECK(throttled.leader.some == std::vector{PartitionId(3), PartitionId(7)});
  CHECK(throttled.leader.Contains(PartitionId(7)));
  CHECK_FALSE(throttled.leader.Contains(PartitionId(0)));
  CHECK(throttled.follower.Contains(PartitionId(0)));
  CHECK(source.Rules(MetadataImage(), topic)->throttled == throttled);
}

}  // namespace millrace
