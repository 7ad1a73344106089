// TopicConfig: the configuration of one topic, resolved and typed. Pure.
//
// Each value comes from the first that has one: the topic's own override; the broker keys it falls
// back on (set at runtime for this broker, for all brokers, in the file); the built-in default.
//
// Units:   bytes, and milliseconds. A duration may be as long as 2^63-1 ms, which does not fit a
//          Duration (nanoseconds): compare such values in milliseconds.
// Source:  Kafka's topic configuration; KIP-1030 (floors and defaults of 4.0), KIP-1161 (empty
//          cleanup.policy keeps everything).
#pragma once

#include <absl/status/status.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/config/config_source.h"
#include "common/config/keys/config_key.h"
#include "common/record_types.h"

namespace millrace {

enum class CompressionPolicy { kProducer, kUncompressed, kGzip, kSnappy, kLz4, kZstd };

// Which replicas a replication throttle applies to.
struct ThrottledReplicas {
  bool all = false;
  std::vector<std::pair<int32_t, int32_t>> replicas;  // (partition, broker), as given.

  friend bool operator==(const ThrottledReplicas&, const ThrottledReplicas&) = default;
};

// The initial values are those of an override-free topic on a broker without settings.
struct TopicConfig {
  using Milliseconds = std::chrono::milliseconds;

  Durability durability = Durability::kDisk;
  bool cleanup_delete = true;    // Both false: keep everything for ever.
  bool cleanup_compact = false;  // Both true: compact, and drop what is old.

  CompressionPolicy compression = CompressionPolicy::kProducer;
  int32_t compression_gzip_level = -1;  // -1: the library's default.
  int32_t compression_lz4_level = 9;
  int32_t compression_zstd_level = 3;

  int32_t message_bytes_max =
      1048588;  // Of a whole batch, its 12 bytes of offset and length included.
  TimestampType timestamp_type = TimestampType::kCreateTime;
  Milliseconds timestamp_before_max = Milliseconds::max();  // Only for kCreateTime.
  Milliseconds timestamp_after_max = std::chrono::hours(1);

  std::optional<Milliseconds> retention = std::chrono::hours(168);  // Nothing: no bound.
  std::optional<int64_t> retention_bytes;  // Per partition. Nothing: no bound.
  Milliseconds delete_retention = std::chrono::hours(24);
  Milliseconds file_delete_delay = std::chrono::minutes(1);

  int32_t segment_bytes = 1 << 30;
  Milliseconds segment_time = std::chrono::hours(168);
  Milliseconds segment_jitter = Milliseconds(0);
  int32_t segment_index_bytes = 10 << 20;
  int32_t index_interval_bytes = 4096;
  bool preallocate = false;

  std::optional<int64_t> flush_messages;       // Nothing: flushing is left to the durability.
  std::optional<Milliseconds> flush_interval;  // The same.

  double min_cleanable_dirty_ratio = 0.5;
  Milliseconds min_compaction_lag = Milliseconds(0);
  std::optional<Milliseconds> max_compaction_lag;  // Nothing: no bound.

  int32_t min_insync_replicas = 1;
  bool unclean_leader_election = false;
  ThrottledReplicas leader_throttled;
  ThrottledReplicas follower_throttled;

  friend bool operator==(const TopicConfig&, const TopicConfig&) = default;
};

// A broker key that a topic key falls back on, and how its number becomes milliseconds.
struct ServerSynonym {
  enum class Unit { kSame, kMinutes, kHours };
  std::string_view name;
  Unit unit = Unit::kSame;
};

struct TopicConfigKey {
  std::string_view name;
  ConfigType type;
  std::string_view default_text;
  ValueRule rule;
  std::span<const ServerSynonym> synonyms;  // The first that is set wins.
  std::string_view about;
  void (*assign)(const ConfigValue& value, TopicConfig& config);
  bool hidden = false;  // For tests: accepted, not described.
};

// Every topic key, each name once.
std::span<const TopicConfigKey> TopicConfigKeys();

// The row of `name`, or nullptr.
const TopicConfigKey* FindTopicConfigKey(std::string_view name);

// What the topic's configuration comes to. Total: an override that ValidateTopicConfig would refuse
// (say, one stored by a newer version) does not count, so that no stored value can take a partition
// away.
TopicConfig ResolveTopicConfig(const ConfigMap& overrides, const ServerConfigValues& server);

// Whether a topic may have these overrides. kInvalidArgument with ErrorKind::kInvalidConfig and
// Kafka's message about the first that is wrong: an unknown key, a bad value, a bad combination.
absl::Status ValidateTopicConfig(const ConfigMap& overrides, const ServerConfigValues& server);

// Whether topics can fall back on broker key `server_key` being `text`: nothing if they can, or if
// no topic key falls back on it; else what they accept, in the unit of the topic key.
std::optional<std::string> WhatTopicsAccept(std::string_view server_key, std::string_view text);

// What DescribeConfigs tells of a topic: every key that is not hidden, in the order of the table.
std::vector<ConfigEntry> DescribeTopicConfig(const ConfigMap& overrides,
                                             const ServerConfigValues& server);

}  // namespace millrace
