#include "broker/topic_config_source.h"

#include <algorithm>
#include <limits>
#include <string_view>

#include "common/config/runtime_config.h"

namespace millrace {
namespace {

std::optional<Compression> StoredCompression(CompressionPolicy policy) {
  switch (policy) {
    case CompressionPolicy::kProducer:
      return std::nullopt;
    case CompressionPolicy::kUncompressed:
      return Compression::kNone;
    case CompressionPolicy::kGzip:
      return Compression::kGzip;
    case CompressionPolicy::kSnappy:
      return Compression::kSnappy;
    case CompressionPolicy::kLz4:
      return Compression::kLz4;
    case CompressionPolicy::kZstd:
      return Compression::kZstd;
  }
  return std::nullopt;
}

ThrottledPartitions ThrottledOn(BrokerId broker, const ThrottledReplicas& replicas) {
  ThrottledPartitions throttled{.all = replicas.all};
  for (const auto& [partition, replica] : replicas.replicas) {
    if (BrokerId(replica) == broker) throttled.some.emplace_back(partition);
  }
  std::ranges::sort(throttled.some);
  return throttled;
}

TopicThrottles ThrottledOn(BrokerId broker, const TopicConfig& config) {
  return {.leader = ThrottledOn(broker, config.leader_throttled),
          .follower = ThrottledOn(broker, config.follower_throttled)};
}

}  // namespace

CleanerOptions TopicConfigSource::Cleaner(const MetadataImage& image, uint32_t shards) const {
  // Below this, calls would cost more than what they move.
  constexpr int64_t kBufferBytesMin = 64 << 10;
  const ServerConfigValues server = Server(image);
  const int64_t parts = shards;
  CleanerOptions options;
  // Threads are not counted, a shard is one; but none means none.
  options.enabled = EffectiveBrokerBoolean("log.cleaner.enable", server) &&
                    EffectiveBrokerInteger("log.cleaner.threads", server) > 0;
  options.map_bytes_max =
      static_cast<size_t>(EffectiveBrokerInteger("log.cleaner.dedupe.buffer.size", server) / parts);
  const double load = EffectiveBrokerNumber("log.cleaner.io.buffer.load.factor", server);
  options.map_load = load > 0 && load <= 1 ? load : CleanerOptions().map_load;
  options.buffer_bytes = static_cast<size_t>(std::max(
      EffectiveBrokerInteger("log.cleaner.io.buffer.size", server) / parts, kBufferBytesMin));
  // Kafka's default is the largest double, for no bound.
  constexpr double kUnboundedFrom = 1e15;
  const double rate = EffectiveBrokerNumber("log.cleaner.io.max.bytes.per.second", server);
  if (rate < kUnboundedFrom) {
    options.bytes_per_second =
        std::max<uint64_t>(static_cast<uint64_t>(std::max(rate, 0.0)) / shards, 1);
  }
  options.backoff = milliseconds(EffectiveBrokerInteger("log.cleaner.backoff.ms", server));
  return options;
}

ThrottleRates TopicConfigSource::Throttles(const MetadataImage& image) const {
  const ServerConfigValues server = Server(image);
  const auto rate = [&server](std::string_view key) -> std::optional<uint64_t> {
    const int64_t value = EffectiveBrokerInteger(key, server);
    // Kafka's default, for no bound.
    if (value == std::numeric_limits<int64_t>::max()) return std::nullopt;
    return static_cast<uint64_t>(value);
  };
  return {.leader = rate("leader.replication.throttled.rate"),
          .follower = rate("follower.replication.throttled.rate")};
}

TopicThrottles TopicConfigSource::Throttled(const TopicImage& topic) const {
  // Seldom there, and of the topic only: no broker key stands for them.
  if (!topic.configs.contains("leader.replication.throttled.replicas") &&
      !topic.configs.contains("follower.replication.throttled.replicas")) {
    return {};
  }
  return ThrottledOn(self_, ResolveTopicConfig(topic.configs, own_));
}

std::shared_ptr<const PartitionRules> TopicConfigSource::Rules(const MetadataImage& image,
                                                               const TopicImage& topic) const {
  const ServerConfigValues server = Server(image);
  const TopicConfig config = ResolveTopicConfig(topic.configs, server);
  auto rules = std::make_shared<PartitionRules>();
  rules->isr_min = static_cast<size_t>(config.min_insync_replicas);

  AppendRules& append = rules->append;
  append.timestamp_type = config.timestamp_type;
  append.timestamp_before_ms_max = config.timestamp_before_max.count();
  append.timestamp_after_ms_max = config.timestamp_after_max.count();
  append.compacted = config.cleanup_compact;
  append.message_bytes_max = static_cast<size_t>(config.message_bytes_max);
  append.segment_bytes_max = static_cast<size_t>(config.segment_bytes);
  append.compression = StoredCompression(config.compression);
  append.levels.gzip = config.compression_gzip_level;
  append.levels.lz4 = config.compression_lz4_level;
  append.levels.zstd = config.compression_zstd_level;

  rules->throttled = ThrottledOn(self_, config);

  LogConfig& log = rules->log;
  log.durability = config.durability;
  log.segment_bytes = config.segment_bytes;
  log.segment_ms = config.segment_time.count();
  if (config.cleanup_compact && config.max_compaction_lag.has_value()) {
    // KIP-354: the active segment is never compacted, so it may not stay active for longer.
    log.segment_ms = std::min(log.segment_ms, int64_t{config.max_compaction_lag->count()});
  }
  log.segment_jitter_ms = config.segment_jitter.count();
  log.segment_index_bytes = config.segment_index_bytes;
  log.index_interval_bytes = config.index_interval_bytes;
  log.cleanup_delete = config.cleanup_delete;
  log.cleanup_compact = config.cleanup_compact;
  log.min_cleanable_dirty_ratio = config.min_cleanable_dirty_ratio;
  log.min_compaction_lag_ms = config.min_compaction_lag.count();
  log.max_compaction_lag_ms =
      config.max_compaction_lag.has_value() ? config.max_compaction_lag->count() : -1;
  log.delete_retention_ms = config.delete_retention.count();
  log.retention_ms = config.retention.has_value() ? config.retention->count() : -1;
  log.retention_bytes = config.retention_bytes.value_or(-1);
  log.file_delete_delay_ms = config.file_delete_delay.count();
  log.flush_messages = config.flush_messages.value_or(std::numeric_limits<int64_t>::max());
  log.flush_ms = config.flush_interval.has_value() ? config.flush_interval->count()
                                                   : std::numeric_limits<int64_t>::max();
  log.producer_id_expiration_ms = EffectiveBrokerInteger("producer.id.expiration.ms", server);
  return rules;
}

}  // namespace millrace
