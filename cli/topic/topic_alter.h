// `millrace topic alter`: configuration, partitions and replication factor of topics that exist.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/client_verb.h"
#include "common/runtime/task.h"

namespace millrace {

struct TopicAlterArguments {
  ClientArguments client;
  std::vector<std::string> names;
  std::vector<std::string> configs;  // name=value.
  std::vector<std::string> unset;    // Names.
  int32_t partitions = -1;           // The new total.
  int32_t replication_factor = -1;
  bool wait = false;
};

// Each change in turn; the first that fails ends it, and what was done stays. The exit status.
Task<int> AlterTopics(ClientSession* session, std::shared_ptr<TopicAlterArguments> arguments);

}  // namespace millrace
