// Asks a cluster what `topic describe` shows.
//
// Shard:  one. Lifetime: `client` outlives the task.
// Errors: of the whole request; what a broker says of single topics stands in `failures`.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "cli/client/kafka_client.h"
#include "cli/topic/topic_description.h"
#include "common/runtime/task.h"

namespace millrace {

struct DescribedTopics {
  std::vector<TopicDescription> topics;  // By name.
  std::vector<std::string> failures;     // "<topic>: <why>".
};

// Without names: all topics, internal ones only if `internal`.
Task<absl::StatusOr<DescribedTopics>> DescribeTopicsOf(
    KafkaClient& client, std::vector<std::string> names, bool internal,
    Instant deadline);  // Borrowed: awaited in place.

}  // namespace millrace
