#include "common/config/group_config.h"

#include <catch2/catch.hpp>
#include <string>

namespace millrace {
namespace {

using std::chrono::milliseconds;

std::string Refusal(const ConfigMap& overrides, const ServerConfigValues& server = {}) {
  return std::string(ValidateGroupConfig(overrides, server).message());
}

const ConfigEntry& Entry(const std::vector<ConfigEntry>& entries, std::string_view name) {
  for (const ConfigEntry& entry : entries) {
    if (entry.name == name) return entry;
  }
  FAIL("no entry " << name);
  return entries.front();
}

// The messages are Kafka 4.3's.
TEST_CASE("Group config: keys and values are checked as Kafka checks them") {
  CHECK(Refusal({}).empty());
  CHECK(Refusal({{"consumer.session.timeout.ms", " 46000 "}}).empty());
  CHECK(Refusal({{"nonsense", "1"}}) == "Unknown group config name: nonsense");
  CHECK(Refusal({{"consumer.session.timeout.ms", "x"}}) ==
        "Invalid value x for configuration consumer.session.timeout.ms: Not a number of type INT");
  CHECK(Refusal({{"consumer.session.timeout.ms", "0"}}) ==
        "Invalid value 0 for configuration consumer.session.timeout.ms: Value must be at least 1");
  CHECK(Refusal({{"share.isolation.level", "x"}}) ==
        "Invalid value x for configuration share.isolation.level: String must be one of: "
        "read_committed, read_uncommitted");
  for (const std::string text : {"earliest", "latest", "by_duration:PT1H", "by_duration:P2DT0.5S",
                                 "by_duration:P1D", "by_duration:pt1h30m"}) {
    CHECK(Refusal({{"share.auto.offset.reset", text}}).empty());
  }
  for (const std::string text :
       {"x", "", "by_duration:", "by_duration:P", "by_duration:PT", "by_duration:1H",
        "by_duration:PT1", "by_duration:P1H", "by_duration:PT1M1H", "by_duration:PT1.5H",
        "by_duration:P1DT", "by_duration:-PT1H", "by_duration:PT1HT1M"}) {
    INFO(text);
    CHECK(Refusal({{"share.auto.offset.reset", text}}).contains("'by_duration:<PnDTnHnMn.nS>'"));
  }
}

TEST_CASE("Group config: what the brokers allow bounds it") {
  CHECK(Refusal({{"consumer.session.timeout.ms", "44999"}}) ==
        "consumer.session.timeout.ms must be greater than or equal to "
        "group.consumer.min.session.timeout.ms");
  CHECK(Refusal({{"consumer.session.timeout.ms", "60001"}}) ==
        "consumer.session.timeout.ms must be less than or equal to "
        "group.consumer.max.session.timeout.ms");
  CHECK(Refusal({{"streams.num.standby.replicas", "3"}}) ==
        "streams.num.standby.replicas must be less than or equal to "
        "group.streams.max.standby.replicas");
  ServerConfigValues wide;
  wide.static_values = {{"group.consumer.min.session.timeout.ms", "1000"},
                        {"group.consumer.max.heartbeat.interval.ms", "50000"}};
  CHECK(Refusal({{"consumer.session.timeout.ms", "44999"}}, wide).empty());
  // Against each other, too, wherever they come from.
  CHECK(Refusal({{"consumer.session.timeout.ms", "5000"}}, wide) ==
        "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms");
  CHECK(Refusal({{"consumer.heartbeat.interval.ms", "45000"}}, wide) ==
        "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms");
}

TEST_CASE("Group config: it is described with where it comes from") {
  ServerConfigValues server;
  server.static_values = {{"group.consumer.heartbeat.interval.ms", "6000"}};
  server.dynamic_default = {{"group.consumer.assignment.interval.ms", "7"}};
  const auto entries = DescribeGroupConfig({{"consumer.session.timeout.ms", " 50000"}}, server);
  const ConfigEntry& session = Entry(entries, "consumer.session.timeout.ms");
  CHECK(session.value == "50000");
  CHECK(session.source == ConfigSource::kGroup);
  CHECK(session.synonyms ==
        std::vector<ConfigSynonym>{
            {"consumer.session.timeout.ms", "50000", ConfigSource::kGroup},
            {"group.consumer.session.timeout.ms", "45000", ConfigSource::kDefault}});
  const ConfigEntry& heartbeat = Entry(entries, "consumer.heartbeat.interval.ms");
  CHECK(heartbeat.value == "6000");
  CHECK(heartbeat.source == ConfigSource::kStaticBroker);
  CHECK(Entry(entries, "consumer.assignment.interval.ms").source ==
        ConfigSource::kDynamicDefaultBroker);
  const ConfigEntry& reset = Entry(entries, "share.auto.offset.reset");
  CHECK(reset.value == "latest");
  CHECK(reset.synonyms ==
        std::vector<ConfigSynonym>{{"share.auto.offset.reset", "latest", ConfigSource::kDefault}});
}

TEST_CASE("Group config: a coordinator goes by what can be read, and by nothing else") {
  const ConsumerGroupOverrides none = ConsumerOverridesOf({{"share.session.timeout.ms", "1"}});
  CHECK_FALSE(none.session.has_value());
  const ConsumerGroupOverrides some = ConsumerOverridesOf(
      {{"consumer.session.timeout.ms", "50000"}, {"consumer.heartbeat.interval.ms", "often"}});
  CHECK(some.session == milliseconds(50000));
  CHECK_FALSE(some.heartbeat.has_value());
}

}  // namespace
}  // namespace millrace
