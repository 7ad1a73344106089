// When records were written: the timestamps of those at given places, or of the next ones where
// compaction has removed them.
//
// Shard:    one. Lifetime: `client` outlives the task.
// Errors:   KafkaClient's, of the whole request. What cannot be told of a partition (it has no leader
//           now, the offset is not in its log, the record has no timestamp) is left out.
// Cost:     one Fetch per place, which brings one batch: a broker promises one whole batch to the first
//           partition of a request alone. Leaders are asked side by side.
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <set>
#include <utility>

#include "cli/client/kafka_client.h"
#include "cli/client/topic_partition.h"
#include "common/ids.h"
#include "common/runtime/task.h"
#include "common/time.h"

namespace millrace {

using RecordPlace = std::pair<TopicPartition, Offset>;
using RecordTimes = std::map<RecordPlace, Timestamp>;

Task<absl::StatusOr<RecordTimes>> RecordTimesAt(KafkaClient& client, std::set<RecordPlace> places,
                                                Instant deadline);  // Borrowed: awaited in place.

}  // namespace millrace
