// Where partitions begin, end, or were at a time: ListOffsets, of many partitions of many topics.
//
// Shard:    one. Lifetime: `client` outlives the tasks.
// Errors:   KafkaClient's, of the whole request; of single partitions a Status each: kNotFound: no
//           such topic or partition; kUnavailable: it has no leader now (that is not waited for).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/client/kafka_client.h"
#include "cli/client/topic_partition.h"
#include "common/runtime/task.h"

namespace millrace {

// ListOffsets' names for the ends of a partition.
inline constexpr int64_t kListLatest = -1;
inline constexpr int64_t kListEarliest = -2;

// An offset; nothing if no record is as young as the time.
using ListedOffset = absl::StatusOr<std::optional<Offset>>;
using ListedOffsets = std::map<TopicPartition, ListedOffset>;

// What ListOffsets gives for `timestamp` (or a special one), of each partition that was named.
Task<absl::StatusOr<ListedOffsets>> ListOffsetsOf(KafkaClient& client,
                                                  std::vector<TopicPartition> partitions,
                                                  int64_t timestamp,
                                                  Instant deadline);  // Borrowed: awaited in place.

// How many partitions each topic has; kNotFound of a topic that does not exist.
using TopicSizes = std::map<std::string, absl::StatusOr<int32_t>>;
Task<absl::StatusOr<TopicSizes>> AskTopicSizes(KafkaClient& client, std::vector<std::string> topics,
                                               Instant deadline);  // Borrowed: awaited in place.

}  // namespace millrace
