// Formats the directories of a node and tells what is in them: the work behind `millrace storage`,
// and what a container does before its node starts.
//
// Shard:    the process's only one.
// Lifetime: what is lent outlives the task.
// Errors:   a sentence for people; what was formatted before stays.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "cli/storage/format_plan.h"
#include "common/config/broker_config.h"
#include "common/env.h"
#include "common/runtime/task.h"

namespace millrace {

enum class AlreadyFormatted {
  kRefuse,
  kSkip,  // Leave those as they are; one of another cluster is refused all the same.
};

// Writes meta.properties of each directory that has none, and bootstrap.properties before that of
// the metadata directory: a crash leaves directories formatted or not, never in between. Gives a
// line for each.
Task<absl::StatusOr<std::vector<std::string>>> FormatDirectories(Env* env,
                                                                 const BrokerConfig* config,
                                                                 FormatRequest request,
                                                                 AlreadyFormatted formatted);

// As kafka-storage.sh info prints it.
struct StorageInfo {
  std::string text;
  std::string json;
  bool good = true;  // No problem was found.
};
Task<StorageInfo> DescribeDirectories(Env* env, const BrokerConfig* config);

}  // namespace millrace
