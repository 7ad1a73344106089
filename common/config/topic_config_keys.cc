// The table of topic keys: TopicConfigKeys(), and how each value lands in TopicConfig.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>

#include "common/check.h"
#include "common/config/topic_config.h"

namespace millrace {
namespace {

using Unit = ServerSynonym::Unit;
using Milliseconds = TopicConfig::Milliseconds;

constexpr std::string_view kLongMax = "9223372036854775807";

// --- From a parsed value to a member. The type column of each row guarantees the alternative. ---

template <bool TopicConfig::* kMember>
void AssignBool(const ConfigValue& value, TopicConfig& config) {
  config.*kMember = std::get<bool>(value);
}

template <int32_t TopicConfig::* kMember>
void AssignInt(const ConfigValue& value, TopicConfig& config) {
  config.*kMember = static_cast<int32_t>(std::get<int64_t>(value));  // The type kInt bounds it.
}

template <Milliseconds TopicConfig::* kMember>
void AssignTime(const ConfigValue& value, TopicConfig& config) {
  config.*kMember = Milliseconds(std::get<int64_t>(value));
}

// A negative number is no bound.
template <auto kMember>
void AssignBoundOrNegative(const ConfigValue& value, TopicConfig& config) {
  using Bound = typename std::remove_cvref_t<decltype(config.*kMember)>::value_type;
  int64_t number = std::get<int64_t>(value);
  config.*kMember = number < 0 ? std::nullopt : std::optional<Bound>(Bound(number));
}

// The largest number is no bound.
template <auto kMember>
void AssignBoundOrMax(const ConfigValue& value, TopicConfig& config) {
  using Bound = typename std::remove_cvref_t<decltype(config.*kMember)>::value_type;
  int64_t number = std::get<int64_t>(value);
  bool unbounded = number == std::numeric_limits<int64_t>::max();
  config.*kMember = unbounded ? std::nullopt : std::optional<Bound>(Bound(number));
}

void AssignCleanupPolicy(const ConfigValue& value, TopicConfig& config) {
  const auto& policies = std::get<std::vector<std::string>>(value);
  config.cleanup_delete = std::ranges::find(policies, "delete") != policies.end();
  config.cleanup_compact = std::ranges::find(policies, "compact") != policies.end();
}

void AssignCompression(const ConfigValue& value, TopicConfig& config) {
  constexpr std::pair<std::string_view, CompressionPolicy> kPolicies[] = {
      {"producer", CompressionPolicy::kProducer},
      {"uncompressed", CompressionPolicy::kUncompressed},
      {"gzip", CompressionPolicy::kGzip},
      {"snappy", CompressionPolicy::kSnappy},
      {"lz4", CompressionPolicy::kLz4},
      {"zstd", CompressionPolicy::kZstd}};
  const auto* found = std::ranges::find(kPolicies, std::string_view(std::get<std::string>(value)),
                                        &std::pair<std::string_view, CompressionPolicy>::first);
  MR_CHECK(found != std::end(kPolicies));  // The rule of the row lists the same words.
  config.compression = found->second;
}

void AssignTimestampType(const ConfigValue& value, TopicConfig& config) {
  bool is_append_time = std::get<std::string>(value) == "LogAppendTime";
  config.timestamp_type =
      is_append_time ? TimestampType::kLogAppendTime : TimestampType::kCreateTime;
}

void AssignDurability(const ConfigValue& value, TopicConfig& config) {
  bool is_disk = std::get<std::string>(value) == "disk";
  config.durability = is_disk ? Durability::kDisk : Durability::kPageCache;
}

template <ThrottledReplicas TopicConfig::* kMember>
void AssignThrottled(const ConfigValue& value, TopicConfig& config) {
  ThrottledReplicas throttled;
  for (const std::string& element : std::get<std::vector<std::string>>(value)) {
    if (element == "*") {
      throttled.all = true;
      continue;
    }
    // The rule of the row admits digits:digits only; a number beyond 32 bits names nothing that
    // exists.
    int32_t partition = 0;
    int32_t broker = 0;
    const char* end = element.data() + element.size();
    auto [colon, partition_error] = std::from_chars(element.data(), end, partition);
    if (partition_error != std::errc() || colon == end) continue;
    auto [stopped, broker_error] = std::from_chars(colon + 1, end, broker);
    if (broker_error == std::errc()) throttled.replicas.emplace_back(partition, broker);
  }
  config.*kMember = std::move(throttled);
}

void AssignDirtyRatio(const ConfigValue& value, TopicConfig& config) {
  config.min_cleanable_dirty_ratio = std::get<double>(value);
}

// Tiered storage is not served, and ValidateTopicConfig refuses to switch it on: nothing to keep.
void AssignNothing(const ConfigValue&, TopicConfig&) {}

// --- The broker keys behind each topic key ---

constexpr ServerSynonym kDurability[] = {{"millrace.durability"}};
constexpr ServerSynonym kCleanupPolicy[] = {{"log.cleanup.policy"}};
constexpr ServerSynonym kCompressionType[] = {{"compression.type"}};
constexpr ServerSynonym kGzipLevel[] = {{"compression.gzip.level"}};
constexpr ServerSynonym kLz4Level[] = {{"compression.lz4.level"}};
constexpr ServerSynonym kZstdLevel[] = {{"compression.zstd.level"}};
constexpr ServerSynonym kDeleteRetention[] = {{"log.cleaner.delete.retention.ms"}};
constexpr ServerSynonym kFileDeleteDelay[] = {{"log.segment.delete.delay.ms"}};
constexpr ServerSynonym kFlushMessages[] = {{"log.flush.interval.messages"}};
constexpr ServerSynonym kFlushTime[] = {{"log.flush.interval.ms"},
                                        {"log.flush.scheduler.interval.ms"}};
constexpr ServerSynonym kIndexInterval[] = {{"log.index.interval.bytes"}};
constexpr ServerSynonym kLocalRetentionBytes[] = {{"log.local.retention.bytes"}};
constexpr ServerSynonym kLocalRetentionTime[] = {{"log.local.retention.ms"}};
constexpr ServerSynonym kMaxCompactionLag[] = {{"log.cleaner.max.compaction.lag.ms"}};
constexpr ServerSynonym kMinCompactionLag[] = {{"log.cleaner.min.compaction.lag.ms"}};
constexpr ServerSynonym kMessageBytesMax[] = {{"message.max.bytes"}};
constexpr ServerSynonym kTimestampAfter[] = {{"log.message.timestamp.after.max.ms"}};
constexpr ServerSynonym kTimestampBefore[] = {{"log.message.timestamp.before.max.ms"}};
constexpr ServerSynonym kTimestampType[] = {{"log.message.timestamp.type"}};
constexpr ServerSynonym kDirtyRatio[] = {{"log.cleaner.min.cleanable.ratio"}};
constexpr ServerSynonym kMinInsync[] = {{"min.insync.replicas"}};
constexpr ServerSynonym kPreallocate[] = {{"log.preallocate"}};
constexpr ServerSynonym kRetentionBytes[] = {{"log.retention.bytes"}};
constexpr ServerSynonym kRetentionTime[] = {{"log.retention.ms"},
                                            {"log.retention.minutes", Unit::kMinutes},
                                            {"log.retention.hours", Unit::kHours}};
constexpr ServerSynonym kSegmentBytes[] = {{"log.segment.bytes"}};
constexpr ServerSynonym kIndexBytes[] = {{"log.index.size.max.bytes"}};
constexpr ServerSynonym kSegmentJitter[] = {{"log.roll.jitter.ms"},
                                            {"log.roll.jitter.hours", Unit::kHours}};
constexpr ServerSynonym kSegmentTime[] = {{"log.roll.ms"}, {"log.roll.hours", Unit::kHours}};
constexpr ServerSynonym kUnclean[] = {{"unclean.leader.election.enable"}};

constexpr TopicConfigKey kTable[] = {
    {"millrace.durability", ConfigType::kString, "disk", OneOf("disk|page-cache"), kDurability,
     "disk: a record is acknowledged once it is on the disks of the in-sync replicas. page-cache: "
     "once "
     "it is in their memory, which is Kafka's promise.",
     AssignDurability},
    {"cleanup.policy", ConfigType::kList, "delete", OneOf("compact|delete"), kCleanupPolicy,
     "What happens to old data: delete drops whole old segments, compact keeps the newest value of "
     "each key, nothing at all keeps everything.",
     AssignCleanupPolicy},
    {"compression.type", ConfigType::kString, "producer",
     OneOf("uncompressed|zstd|lz4|snappy|gzip|producer"), kCompressionType,
     "How batches are kept; producer keeps them as they came.", AssignCompression},
    {"compression.gzip.level", ConfigType::kInt, "-1", MinusOneOrBetween(1, 9), kGzipLevel,
     "Level for batches that are compressed again with gzip; -1 is the library's own.",
     AssignInt<&TopicConfig::compression_gzip_level>},
    {"compression.lz4.level", ConfigType::kInt, "9", Between(1, 17), kLz4Level,
     "Level for batches that are compressed again with lz4.",
     AssignInt<&TopicConfig::compression_lz4_level>},
    {"compression.zstd.level", ConfigType::kInt, "3", Between(-131072, 22), kZstdLevel,
     "Level for batches that are compressed again with zstd.",
     AssignInt<&TopicConfig::compression_zstd_level>},
    {"delete.retention.ms", ConfigType::kLong, "86400000", AtLeast(0), kDeleteRetention,
     "How long a compacted topic keeps the mark of a deleted key, so that readers can see it.",
     AssignTime<&TopicConfig::delete_retention>},
    {"file.delete.delay.ms", ConfigType::kLong, "60000", AtLeast(0), kFileDeleteDelay,
     "How long a dropped segment stays on disk, renamed, before its space is given back.",
     AssignTime<&TopicConfig::file_delete_delay>},
    {"flush.messages", ConfigType::kLong, kLongMax, AtLeast(1), kFlushMessages,
     "Sync after this many records; meant for topics with page-cache durability.",
     AssignBoundOrMax<&TopicConfig::flush_messages>},
    {"flush.ms", ConfigType::kLong, kLongMax, AtLeast(0), kFlushTime,
     "Sync after this time; meant for topics with page-cache durability.",
     AssignBoundOrMax<&TopicConfig::flush_interval>},
    {"follower.replication.throttled.replicas",
     ConfigType::kList,
     "",
     ReplicaList(),
     {},
     "Replicas whose fetching is held to the follower's throttled rate: partition:broker, ... or "
     "*.",
     AssignThrottled<&TopicConfig::follower_throttled>},
    {"leader.replication.throttled.replicas",
     ConfigType::kList,
     "",
     ReplicaList(),
     {},
     "Replicas that are fed at the leader's throttled rate: partition:broker, ... or *.",
     AssignThrottled<&TopicConfig::leader_throttled>},
    {"index.interval.bytes", ConfigType::kInt, "4096", AtLeast(0), kIndexInterval,
     "Bytes of log between two entries of an index; fewer find records with less reading.",
     AssignInt<&TopicConfig::index_interval_bytes>},
    {"local.retention.bytes", ConfigType::kLong, "-2", AtLeast(-2), kLocalRetentionBytes,
     "Size bound of what tiered storage keeps on this disk; -2 is retention.bytes.", AssignNothing},
    {"local.retention.ms", ConfigType::kLong, "-2", AtLeast(-2), kLocalRetentionTime,
     "Age bound of what tiered storage keeps on this disk; -2 is retention.ms.", AssignNothing},
    {"max.compaction.lag.ms", ConfigType::kLong, kLongMax, AtLeast(1), kMaxCompactionLag,
     "A record of a compacted topic waits at most this long to be compacted.",
     AssignBoundOrMax<&TopicConfig::max_compaction_lag>},
    {"max.message.bytes", ConfigType::kInt, "1048588", AtLeast(0), kMessageBytesMax,
     "The largest batch accepted, as it is sent.", AssignInt<&TopicConfig::message_bytes_max>},
    {"message.timestamp.after.max.ms", ConfigType::kLong, "3600000", AtLeast(0), kTimestampAfter,
     "How far ahead of the broker's clock a record's own time may be.",
     AssignTime<&TopicConfig::timestamp_after_max>},
    {"message.timestamp.before.max.ms", ConfigType::kLong, kLongMax, AtLeast(0), kTimestampBefore,
     "How far behind the broker's clock a record's own time may be.",
     AssignTime<&TopicConfig::timestamp_before_max>},
    {"message.timestamp.type", ConfigType::kString, "CreateTime", OneOf("CreateTime|LogAppendTime"),
     kTimestampType, "Whose clock gives a record its time: the producer's or the broker's.",
     AssignTimestampType},
    {"min.cleanable.dirty.ratio", ConfigType::kDouble, "0.5", Between(0, 1), kDirtyRatio,
     "A log is compacted when more than this share of it is new; less wastes less space and costs "
     "more work.",
     AssignDirtyRatio},
    {"min.compaction.lag.ms", ConfigType::kLong, "0", AtLeast(0), kMinCompactionLag,
     "A record younger than this is not compacted.", AssignTime<&TopicConfig::min_compaction_lag>},
    {"min.insync.replicas", ConfigType::kInt, "1", AtLeast(1), kMinInsync,
     "Replicas that must be in sync for a write with acks=all to be accepted.",
     AssignInt<&TopicConfig::min_insync_replicas>},
    {"preallocate", ConfigType::kBoolean, "false", Any(), kPreallocate,
     "Reserve the space of a segment when it is created.", AssignBool<&TopicConfig::preallocate>},
    {"remote.copy.lag.bytes",
     ConfigType::kLong,
     "0",
     AtLeast(-1),
     {},
     "How many bytes tiered storage waits before it copies a segment.",
     AssignNothing},
    {"remote.copy.lag.ms",
     ConfigType::kLong,
     "0",
     AtLeast(-1),
     {},
     "How long tiered storage waits before it copies a segment.",
     AssignNothing},
    {"remote.log.copy.disable",
     ConfigType::kBoolean,
     "false",
     Any(),
     {},
     "Stop copying to tiered storage, and go on reading from it.",
     AssignNothing},
    {"remote.log.delete.on.disable",
     ConfigType::kBoolean,
     "false",
     Any(),
     {},
     "Drop what tiered storage holds when it is switched off.",
     AssignNothing},
    {"remote.storage.enable",
     ConfigType::kBoolean,
     "false",
     Any(),
     {},
     "Keep old segments of this topic in tiered storage.",
     AssignNothing},
    {"retention.bytes", ConfigType::kLong, "-1", Any(), kRetentionBytes,
     "Old segments are dropped while a partition is larger than this; negative: no bound.",
     AssignBoundOrNegative<&TopicConfig::retention_bytes>},
    {"retention.ms", ConfigType::kLong, "604800000", AtLeast(-1), kRetentionTime,
     "Segments whose newest record is older than this are dropped; -1: no bound.",
     AssignBoundOrNegative<&TopicConfig::retention>},
    {"segment.bytes", ConfigType::kInt, "1073741824", AtLeast(1048576), kSegmentBytes,
     "Size at which the next segment is begun. Only whole segments are dropped or compacted.",
     AssignInt<&TopicConfig::segment_bytes>},
    {"segment.index.bytes", ConfigType::kInt, "10485760", AtLeast(4), kIndexBytes,
     "Size of an index; a full one begins the next segment.",
     AssignInt<&TopicConfig::segment_index_bytes>},
    {"segment.jitter.ms", ConfigType::kLong, "0", AtLeast(0), kSegmentJitter,
     "At most this is taken from segment.ms at random, so that not all segments end at once.",
     AssignTime<&TopicConfig::segment_jitter>},
    {"segment.ms", ConfigType::kLong, "604800000", AtLeast(1), kSegmentTime,
     "Age at which the next segment is begun, even if this one is not full.",
     AssignTime<&TopicConfig::segment_time>},
    {"unclean.leader.election.enable", ConfigType::kBoolean, "false", Any(), kUnclean,
     "Whether a replica that lacks acknowledged records may lead when no other is left.",
     AssignBool<&TopicConfig::unclean_leader_election>},
    {"internal.segment.bytes",
     ConfigType::kInt,
     "",
     Between(1, std::numeric_limits<int32_t>::max()),
     {},
     "segment.bytes without its lower bound, for tests.",
     AssignInt<&TopicConfig::segment_bytes>,
     kHidden},
};

}  // namespace

std::span<const TopicConfigKey> TopicConfigKeys() { return kTable; }

const TopicConfigKey* FindTopicConfigKey(std::string_view name) {
  const auto* found = std::ranges::find(kTable, name, &TopicConfigKey::name);
  return found == std::end(kTable) ? nullptr : found;
}

}  // namespace millrace
