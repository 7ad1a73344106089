#include "broker/node/node_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

#include "common/status_macros.h"
#include "storage/log_directory.h"
#include "storage/log_files.h"

namespace millrace {
namespace {

// The directories that this node's roles need, each once.
std::vector<std::string> PathsOf(const BrokerConfig& config) {
  std::vector<std::string> paths;
  if (config.is_broker) paths = config.storage.data_dirs;
  const std::string& metadata = config.storage.metadata_dir;
  if (config.is_controller && std::ranges::find(paths, metadata) == paths.end()) {
    paths.push_back(metadata);
  }
  return paths;
}

struct Found {
  std::optional<std::string> cluster_id;
  std::map<std::string, DirectoryId> ids;  // By path.
  std::vector<std::string> unformatted;
  std::map<std::string, absl::Status> unreadable;
};

Task<absl::StatusOr<Found>> Look(Env* env, std::vector<std::string> paths) {
  Found found;
  for (const std::string& path : paths) {
    absl::StatusOr<std::optional<MetaProperties>> meta =
        co_await ReadMetaProperties(env->disk, path);
    if (absl::IsFailedPrecondition(meta.status())) co_return meta.status();
    if (!meta.ok()) {
      found.unreadable.emplace(path, meta.status());
      continue;
    }
    if (!meta->has_value()) {
      found.unformatted.push_back(path);
      continue;
    }
    // A cluster has one id.
    if (found.cluster_id.has_value() && (*meta)->cluster_id != found.cluster_id) {
      co_return absl::FailedPreconditionError(
          fmt::format("log.dirs: {} belongs to cluster {}, another directory to {}; a node has "
                      "directories of one cluster",
                      path, (*meta)->cluster_id.value_or("(none)"), *found.cluster_id));
    }
    found.cluster_id = (*meta)->cluster_id;
    if ((*meta)->directory_id.has_value()) found.ids.emplace(path, *(*meta)->directory_id);
  }
  co_return found;
}

Task<absl::StatusOr<std::optional<BootstrapFile>>> ReadBootstrap(Env* env, std::string directory) {
  constexpr size_t kBytesMax = size_t{64} << 10;
  const std::string path = JoinPath(directory, kBootstrapFile);
  const absl::StatusOr<Slice> text = co_await ReadWholeFile(env->disk, path, kBytesMax);
  if (absl::IsNotFound(text.status())) co_return std::optional<BootstrapFile>();
  absl::Status why = text.status();
  if (text.ok()) {
    absl::StatusOr<BootstrapFile> file = ParseBootstrapFile(text->view());
    if (file.ok()) co_return std::optional<BootstrapFile>(*std::move(file));
    why = file.status();
  }
  co_return absl::FailedPreconditionError(fmt::format("{}: {}", path, std::string(why.message())));
}

// Why the node cannot be what it was, when so little of it can be read. Going on would make another
// cluster of a node of one, or another replica of a controller.
absl::Status CheckEnoughRead(const Found& found, const BrokerConfig& config) {
  const auto& unreadable = found.unreadable;
  auto missing = config.is_controller ? unreadable.find(config.storage.metadata_dir)  //
                                      : unreadable.end();
  if (missing == unreadable.end() && !found.cluster_id.has_value()) missing = unreadable.begin();
  if (missing == unreadable.end()) return absl::OkStatus();
  const auto& [path, why] = *missing;
  return absl::Status(why.code(), fmt::format("{}: {}", path, std::string(why.message())));
}

}  // namespace

Task<absl::StatusOr<NodeFormat>> FormatNode(Env* env, const BrokerConfig* config,
                                            NodeFormatOptions options) {
  MR_CO_ASSIGN_OR_RETURN(Found found, co_await Look(env, PathsOf(*config)));
  MR_CO_RETURN_IF_ERROR(CheckEnoughRead(found, *config));
  NodeFormat format;
  if (found.cluster_id.has_value()) {
    format.cluster_id = *found.cluster_id;
  } else if (options.cluster_id.has_value()) {
    format.cluster_id = *std::move(options.cluster_id);
  } else if (options.may_make_cluster) {
    format.cluster_id = env->random.NextUuid().ToString();
  } else {
    co_return absl::FailedPreconditionError(
        fmt::format("no meta.properties in {}: a node of a cluster of several is formatted first, "
                    "with the cluster's id: millrace storage format --cluster-id ID --config FILE",
                    fmt::join(PathsOf(*config), ", ")));
  }
  for (const std::string& path : found.unformatted) {
    MetaProperties meta;
    meta.cluster_id = format.cluster_id;
    meta.node_id = config->node_id;
    meta.directory_id = env->random.NextUuid();
    absl::Status formatted = co_await FormatLogDirectory(env->disk, path, meta);
    if (!formatted.ok()) {
      if (PathsOf(*config).size() == 1) {
        co_return absl::Status(formatted.code(),
                               fmt::format("{}: {}", path, std::string(formatted.message())));
      }
      env->logger.Error("cannot format {}: {}", path, std::string(formatted.message()));
      continue;
    }
    found.ids.emplace(path, *meta.directory_id);
    env->logger.Info("formatted {} for cluster {}, node {}", path, format.cluster_id,
                     config->node_id);
  }
  if (config->is_broker) {
    for (const std::string& path : config->storage.data_dirs) {
      if (auto id = found.ids.find(path); id != found.ids.end()) {
        format.directories.emplace(path, id->second);
      }
    }
  }
  if (auto id = found.ids.find(config->storage.metadata_dir); id != found.ids.end()) {
    format.metadata_directory = id->second;
  } else if (config->is_controller) {
    // A directory that Kafka formatted before directories had ids.
    format.metadata_directory = env->random.NextUuid();
  }
  if (config->is_controller) {
    format.bootstrap = co_await ReadBootstrap(env, config->storage.metadata_dir);
  }
  co_return format;
}

}  // namespace millrace
