// FormatNode: whose the directories of a node are: reads meta.properties in each, and formats those
// that are new where that cannot join the wrong cluster.
//
// Shard:  shard 0, before anything else uses the directories.
// Errors: kFailedPrecondition: directories of several clusters or another node; nothing is formatted
//         and the node is one of several (as Kafka, which wants `kafka-storage.sh format` first).
//         What the disk says, where nothing tells whose the node's directories are, or the
//         controller's own cannot be read. Another directory that cannot is left to the log store,
//         which takes it offline unless it can by then.
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <optional>
#include <string>

#include "common/config/bootstrap_file.h"
#include "common/config/broker_config.h"
#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/task.h"

namespace millrace {

struct NodeFormatOptions {
  std::optional<std::string> cluster_id;  // What to format for.
  bool may_make_cluster = false;          // Without one: makes an id, and with it a new cluster.
};

struct NodeFormat {
  std::string cluster_id;
  std::map<std::string, DirectoryId> directories;  // Of log.dirs, as far as known; of a broker.
  // Of metadata.log.dir. All zero: of a broker alone, whose logs lie elsewhere.
  DirectoryId metadata_directory{0, 0};
  // Of a controller: what its formatting decided for the first start; nothing where there is no
  // such file. An error: there is one that cannot be read, which only the first start must mind.
  absl::StatusOr<std::optional<BootstrapFile>> bootstrap = std::optional<BootstrapFile>();
};

// Both outlive the call.
Task<absl::StatusOr<NodeFormat>> FormatNode(Env* env, const BrokerConfig* config,
                                            NodeFormatOptions options);

}  // namespace millrace
