// The settings of a node from a file and --set, read before the world exists: the file decides what
// the world looks like.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/config/broker_config.h"

namespace millrace {

struct NodeSettings {
  BrokerConfig config;
  std::vector<std::string> warnings;
  std::vector<std::string> notes;
  // Printed when the node serves, for whoever waits for a line of Kafka's log; usually none.
  std::string ready_line = {};
};

// Nothing, after every error was printed to stderr.
std::optional<NodeSettings> NodeSettingsOf(const ConfigInput& input);

// Nothing, after every error was printed to stderr. An empty `file` is none.
std::optional<NodeSettings> ReadNodeSettings(const std::string& file,
                                             const std::vector<std::string>& settings, bool strict);

}  // namespace millrace
