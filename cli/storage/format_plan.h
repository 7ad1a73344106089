// What `millrace storage format` is asked for, as the file that the first start reads
// (common/config/bootstrap_file.h). The rules and their sentences are those of kafka-storage.sh.
//
// Pure. Errors: kInvalidArgument: a sentence for people.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <vector>

#include "common/config/bootstrap_file.h"
#include "common/config/broker_config.h"
#include "common/ids.h"

namespace millrace {

struct FormatRequest {
  std::string cluster_id;
  std::optional<std::string> release_version;  // "4.4" or "4.4-IV2".
  std::vector<std::string> features;           // "NAME=LEVEL" each; they win.
  bool standalone = false;
  bool no_initial_controllers = false;
  std::optional<std::string> initial_controllers;  // ID@HOST:PORT:DIRECTORY-ID,...
};

// The id is any text to Kafka; what would break a line of meta.properties is refused.
absl::Status CheckClusterId(const std::string& id);

// The finalised features of a new cluster; level 0 is left out.
absl::StatusOr<std::map<std::string, int16_t>> InitialFeatures(const FormatRequest& request,
                                                               bool has_static_voters);

struct FormatPlan {
  BootstrapFile bootstrap;
  // The metadata directory's, where --initial-controllers has already said it to the others.
  std::optional<DirectoryId> metadata_directory;
};

// `directory` is what the metadata directory gets otherwise: --standalone makes it a voter's.
absl::StatusOr<FormatPlan> PlanFormat(const FormatRequest& request, const BrokerConfig& config,
                                      DirectoryId directory);

// "4.4-IV2" for 33.
std::string MetadataVersionName(int32_t level);

}  // namespace millrace
