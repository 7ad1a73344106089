#include "common/config/topic_config.h"

#include <catch2/catch.hpp>
#include <set>

#include "common/config/config_keys.h"
#include "common/error_kind.h"

namespace millrace {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using Synonyms = std::vector<ConfigSynonym>;

const ServerConfigValues kNoServerValues;

std::string ErrorOf(const ConfigMap& overrides,
                    const ServerConfigValues& server = kNoServerValues) {
  absl::Status status = ValidateTopicConfig(overrides, server);
  if (status.ok()) return "accepted";
  CHECK(KindOf(status) == ErrorKind::kInvalidConfig);
  return std::string(status.message());
}

ConfigEntry EntryOf(std::string_view name, const ConfigMap& overrides,
                    const ServerConfigValues& server) {
  for (ConfigEntry& entry : DescribeTopicConfig(overrides, server)) {
    if (entry.name == name) return entry;
  }
  FAIL("no entry " << name);
  std::abort();
}

TEST_CASE("TopicConfig: every name stands in the table once, and its default is accepted") {
  std::set<std::string_view> names;
  for (const TopicConfigKey& key : TopicConfigKeys()) {
    INFO(key.name);
    CHECK(names.insert(key.name).second);
    CHECK(key.about.ends_with("."));
    if (!key.hidden) {
      CHECK(ParseConfigValue(key.name, key.type, key.rule, key.default_text).has_value());
    }
  }
  CHECK(names.size() == 37);
}

TEST_CASE("TopicConfig: a topic without overrides has the initial values of the struct") {
  CHECK(ResolveTopicConfig({}, kNoServerValues) == TopicConfig());
}

TEST_CASE("TopicConfig: the defaults of the topic table and of the broker table agree") {
  for (const TopicConfigKey& key : TopicConfigKeys()) {
    if (key.hidden) continue;
    INFO(key.name);
    ConfigEntry entry = EntryOf(key.name, {}, kNoServerValues);
    CHECK(entry.source == ConfigSource::kDefault);
    CHECK(entry.value == std::string(key.default_text));
    CHECK(entry.synonyms.empty() == key.synonyms.empty());
  }
}

TEST_CASE("TopicConfig: overrides land in their members") {
  ConfigMap overrides = {
      {"millrace.durability", "page-cache"},
      {"cleanup.policy", "compact, delete"},
      {"compression.type", "zstd"},
      {"compression.zstd.level", "-7"},
      {"max.message.bytes", "5"},
      {"message.timestamp.type", "LogAppendTime"},
      {"message.timestamp.before.max.ms", "6"},
      {"retention.ms", "-1"},
      {"retention.bytes", "7"},
      {"segment.bytes", "1048576"},
      {"flush.messages", "1"},
      {"flush.ms", "0"},
      {"max.compaction.lag.ms", "9"},
      {"min.cleanable.dirty.ratio", "0.25"},
      {"min.insync.replicas", "2"},
      {"unclean.leader.election.enable", "TRUE"},
      {"leader.replication.throttled.replicas", "*"},
      {"follower.replication.throttled.replicas", "0:1,12:3"},
  };
  CHECK(ErrorOf(overrides) == "accepted");
  TopicConfig expected;
  expected.durability = Durability::kPageCache;
  expected.cleanup_compact = true;
  expected.compression = CompressionPolicy::kZstd;
  expected.compression_zstd_level = -7;
  expected.message_bytes_max = 5;
  expected.timestamp_type = TimestampType::kLogAppendTime;
  expected.timestamp_before_max = milliseconds(6);
  expected.retention = std::nullopt;
  expected.retention_bytes = 7;
  expected.segment_bytes = 1048576;
  expected.flush_messages = 1;
  expected.flush_interval = milliseconds(0);
  expected.max_compaction_lag = milliseconds(9);
  expected.min_cleanable_dirty_ratio = 0.25;
  expected.min_insync_replicas = 2;
  expected.unclean_leader_election = true;
  expected.leader_throttled.all = true;
  expected.follower_throttled.replicas = {{0, 1}, {12, 3}};
  CHECK(ResolveTopicConfig(overrides, kNoServerValues) == expected);
}

TEST_CASE("TopicConfig: an empty cleanup policy keeps everything") {
  TopicConfig config = ResolveTopicConfig({{"cleanup.policy", ""}}, kNoServerValues);
  CHECK_FALSE(config.cleanup_delete);
  CHECK_FALSE(config.cleanup_compact);
}

TEST_CASE("TopicConfig: the test key lifts the lower bound of segment.bytes") {
  CHECK(ResolveTopicConfig({{"internal.segment.bytes", "100"}}, kNoServerValues).segment_bytes ==
        100);
  CHECK(ErrorOf({{"internal.segment.bytes", "100"}}) == "accepted");
}

TEST_CASE("TopicConfig: retention falls back on milliseconds, minutes, hours, in this order") {
  ServerConfigValues server;
  server.static_values["log.retention.hours"] = "24";
  CHECK(ResolveTopicConfig({}, server).retention == hours(24));
  server.static_values["log.retention.minutes"] = "7";
  CHECK(ResolveTopicConfig({}, server).retention == minutes(7));
  server.static_values["log.retention.ms"] = "5";
  CHECK(ResolveTopicConfig({}, server).retention == milliseconds(5));
  CHECK(ResolveTopicConfig({{"retention.ms", "3"}}, server).retention == milliseconds(3));
  server.static_values = {{"log.retention.hours", "-1"}};
  CHECK(ResolveTopicConfig({}, server).retention == std::nullopt);
  server.static_values = {{"log.retention.ms", "-5"}};
  CHECK(ResolveTopicConfig({}, server).retention == std::nullopt);
}

TEST_CASE("TopicConfig: values set at runtime win over the file, those for one broker over all") {
  ServerConfigValues server;
  server.static_values["log.segment.bytes"] = "1048577";
  server.dynamic_default["log.segment.bytes"] = "1048578";
  CHECK(ResolveTopicConfig({}, server).segment_bytes == 1048578);
  server.dynamic_broker["log.segment.bytes"] = "1048579";
  CHECK(ResolveTopicConfig({}, server).segment_bytes == 1048579);

  ConfigEntry entry = EntryOf("segment.bytes", {{"segment.bytes", " 2097152 "}}, server);
  CHECK(entry.value == "2097152");
  CHECK(entry.source == ConfigSource::kTopic);
  CHECK(entry.synonyms ==
        Synonyms{{"segment.bytes", "2097152", ConfigSource::kTopic},
                 {"log.segment.bytes", "1048579", ConfigSource::kDynamicBroker},
                 {"log.segment.bytes", "1048578", ConfigSource::kDynamicDefaultBroker},
                 {"log.segment.bytes", "1048577", ConfigSource::kStaticBroker},
                 {"log.segment.bytes", "1073741824", ConfigSource::kDefault}});
}

TEST_CASE("TopicConfig: a synonym in hours is described as it stands, the value in milliseconds") {
  ServerConfigValues server;
  server.static_values["log.retention.hours"] = "24";
  ConfigEntry entry = EntryOf("retention.ms", {}, server);
  CHECK(entry.value == "86400000");
  CHECK(entry.source == ConfigSource::kStaticBroker);
  CHECK(entry.synonyms == Synonyms{{"log.retention.hours", "24", ConfigSource::kStaticBroker},
                                   {"log.retention.hours", "168", ConfigSource::kDefault}});
}

TEST_CASE("TopicConfig: an override that is no longer valid does not count") {
  ConfigMap overrides = {{"segment.bytes", "1"}, {"of.another.version", "x"}};
  CHECK(ResolveTopicConfig(overrides, kNoServerValues) == TopicConfig());
}

TEST_CASE("TopicConfig: what is wrong is said in Kafka's words") {
  CHECK(ErrorOf({{"segment.bytes", "1"}}) ==
        "Invalid value 1 for configuration segment.bytes: Value must be at least 1048576");
  CHECK(ErrorOf({{"retention.ms", "-2"}}) ==
        "Invalid value -2 for configuration retention.ms: Value must be at least -1");
  CHECK(ErrorOf({{"cleanup.policy", "delete,"}}) ==
        "Configuration 'cleanup.policy' values must not be empty.");
  CHECK(ErrorOf({{"message.timestamp.type", "createtime"}}) ==
        "Invalid value createtime for configuration message.timestamp.type: String must be one of: "
        "CreateTime, LogAppendTime");
  CHECK(ErrorOf({{"message.format.version", "3.0"}}) ==
        "Unknown topic config name: message.format.version");
  CHECK(ErrorOf({{"retention.mss", "3"}}) ==
        "Unknown topic config name: retention.mss (the nearest one known is retention.ms)");
}

TEST_CASE("TopicConfig: combinations are checked against what the broker adds") {
  CHECK(ErrorOf({{"min.compaction.lag.ms", "20"}, {"max.compaction.lag.ms", "10"}}) ==
        "conflict topic config setting min.compaction.lag.ms (20) > max.compaction.lag.ms (10)");
  ServerConfigValues server;
  server.static_values["log.cleaner.max.compaction.lag.ms"] = "10";
  CHECK(ErrorOf({{"min.compaction.lag.ms", "20"}}, server).starts_with("conflict"));
  CHECK(ErrorOf({{"min.compaction.lag.ms", "10"}}, server) == "accepted");
  CHECK(ErrorOf({{"remote.storage.enable", "true"}}).starts_with("Tiered Storage"));
  CHECK(ErrorOf({{"remote.storage.enable", "false"}}) == "accepted");
}

}  // namespace
}  // namespace millrace
