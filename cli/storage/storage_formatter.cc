#include "cli/storage/storage_formatter.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "common/config/bootstrap_file.h"
#include "common/config/meta_properties.h"
#include "common/disk.h"
#include "common/json/json_writer.h"
#include "common/status_macros.h"
#include "storage/log_directory.h"

namespace millrace {
namespace {

// The metadata directory first, each once.
std::vector<std::string> DirectoriesOf(const StorageConfig& storage) {
  std::vector<std::string> directories = {storage.metadata_dir};
  for (const std::string& path : storage.data_dirs) {
    if (path != storage.metadata_dir) directories.push_back(path);
  }
  return directories;
}

absl::Status In(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), fmt::format("{}: {}", path, std::string(status.message())));
}

Task<absl::Status> FormatOne(Env* env, std::string path, MetaProperties meta,
                             std::optional<BootstrapFile> bootstrap) {
  if (bootstrap.has_value()) {
    MR_CO_RETURN_IF_ERROR(co_await CreateDirectoriesDurably(env->disk, path));
    MR_CO_RETURN_IF_ERROR(co_await ReplaceFile(
        env->disk, fmt::format("{}/{}", path, kBootstrapFile), PrintBootstrapFile(*bootstrap)));
  }
  co_return co_await FormatLogDirectory(env->disk, std::move(path), std::move(meta));
}

std::string ListOf(std::string_view one, std::string_view many,
                   const std::vector<std::string>& entries) {
  if (entries.empty()) return "";
  std::string text = fmt::format("{}:\n", entries.size() == 1 ? one : many);
  for (const std::string& entry : entries) text += fmt::format("  {}\n", entry);
  return text + "\n";
}

std::string InfoJson(const std::vector<std::string>& found,
                     const std::optional<MetaProperties>& meta,
                     const std::vector<std::string>& problems) {
  JsonWriter json;
  auto texts = [&json](const char* key, const std::vector<std::string>& all) {
    json.Key(key).BeginArray();
    for (const std::string& text : all) json.String(text);
    json.EndArray();
  };
  auto text = [&json](const char* key, const std::optional<std::string>& value) {
    json.Key(key);
    value.has_value() ? json.String(*value) : json.Null();
  };
  json.BeginObject();
  texts("directories", found);
  text("cluster_id", meta.has_value() ? meta->cluster_id : std::nullopt);
  text("directory_id", meta.has_value() && meta->directory_id.has_value()
                           ? std::optional(meta->directory_id->ToString())
                           : std::nullopt);
  json.Key("node_id").OptionalNumber(meta.has_value() && meta->node_id.has_value()
                                         ? std::optional<int64_t>(meta->node_id->value())
                                         : std::nullopt);
  texts("problems", problems);
  return json.EndObject().Take() + "\n";
}

}  // namespace

Task<absl::StatusOr<std::vector<std::string>>> FormatDirectories(Env* env,
                                                                 const BrokerConfig* config,
                                                                 FormatRequest request,
                                                                 AlreadyFormatted formatted) {
  DirectoryId metadata_id = env->random.NextUuid();
  MR_CO_ASSIGN_OR_RETURN(FormatPlan plan, PlanFormat(request, *config, metadata_id));
  metadata_id = plan.metadata_directory.value_or(metadata_id);

  std::vector<std::string> unformatted;
  for (const std::string& path : DirectoriesOf(config->storage)) {
    absl::StatusOr<std::optional<MetaProperties>> meta =
        co_await ReadMetaProperties(env->disk, path);
    if (!meta.ok()) co_return In(path, meta.status());
    if (!meta->has_value()) {
      unformatted.push_back(path);
    } else if (formatted == AlreadyFormatted::kRefuse) {
      co_return absl::AlreadyExistsError(fmt::format(
          "Log directory {} is already formatted. Use --ignore-formatted to ignore this directory "
          "and format the others.",
          path));
    } else if ((*meta)->cluster_id != request.cluster_id) {
      co_return absl::FailedPreconditionError(
          fmt::format("Invalid cluster.id in: {}/meta.properties. Expected {}, but read {}", path,
                      request.cluster_id, (*meta)->cluster_id.value_or("none")));
    }
  }
  std::vector<std::string> lines;
  if (unformatted.empty()) lines.emplace_back("All of the log directories are already formatted.");
  const auto version = plan.bootstrap.features.find("metadata.version");
  const std::string version_name =
      MetadataVersionName(version == plan.bootstrap.features.end() ? 0 : int32_t{version->second});
  for (const std::string& path : unformatted) {
    const bool is_metadata = path == config->storage.metadata_dir && config->is_controller;
    MetaProperties meta;
    meta.cluster_id = request.cluster_id;
    meta.node_id = config->node_id;
    meta.directory_id = path == config->storage.metadata_dir ? metadata_id : env->random.NextUuid();
    absl::Status done = co_await FormatOne(
        env, path, std::move(meta), is_metadata ? std::optional(plan.bootstrap) : std::nullopt);
    if (!done.ok()) co_return In(path, done);
    const bool is_voter = is_metadata && plan.bootstrap.quorum == InitialQuorum::kVoters;
    lines.push_back(fmt::format("Formatting {} directory {} with metadata.version {}.",
                                is_voter      ? "dynamic metadata voter"
                                : is_metadata ? "metadata"
                                              : "data",
                                path, version_name));
  }
  co_return lines;
}

Task<StorageInfo> DescribeDirectories(Env* env, const BrokerConfig* config) {
  std::vector<std::string> found;
  std::vector<std::string> problems;
  std::optional<MetaProperties> first;
  for (const std::string& path : DirectoriesOf(config->storage)) {
    absl::StatusOr<std::vector<DirectoryEntry>> entries = co_await env->disk.List(path);
    if (!entries.ok()) {
      problems.push_back(
          absl::IsNotFound(entries.status())
              ? fmt::format("{} does not exist", path)
              : fmt::format("{}: {}", path, std::string(entries.status().message())));
      continue;
    }
    found.push_back(path);
    absl::StatusOr<std::optional<MetaProperties>> meta =
        co_await ReadMetaProperties(env->disk, path);
    if (!meta.ok()) {
      problems.push_back(fmt::format("{}: {}", path, std::string(meta.status().message())));
    } else if (!meta->has_value()) {
      problems.push_back(fmt::format("{} is not formatted.", path));
    } else if (!first.has_value()) {
      first = **std::move(meta);
    } else if ((*meta)->cluster_id != first->cluster_id || (*meta)->node_id != first->node_id) {
      problems.push_back(fmt::format("{} belongs to node {} of cluster {}, {} does not", path,
                                     (*meta)->node_id.value_or(BrokerId(-1)),
                                     (*meta)->cluster_id.value_or("none"), found.front()));
    }
  }
  StorageInfo info;
  info.good = problems.empty();
  info.text = ListOf("Found log directory", "Found log directories", found);
  if (first.has_value()) {
    std::string fields;
    if (first->cluster_id.has_value()) fields += fmt::format("cluster.id={}, ", *first->cluster_id);
    if (first->directory_id.has_value()) {
      fields += fmt::format("directory.id={}, ", *first->directory_id);
    }
    if (first->node_id.has_value()) fields += fmt::format("node.id={}, ", *first->node_id);
    info.text += fmt::format("Found metadata: {{{}version={}}}\n\n", fields, first->version);
  }
  info.text += ListOf("Found problem", "Found problems", problems);
  info.json = InfoJson(found, first, problems);
  co_return info;
}

}  // namespace millrace
