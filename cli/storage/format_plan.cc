#include "cli/storage/format_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/status_macros.h"
#include "controller/image/feature_levels.h"

namespace millrace {
namespace {

constexpr size_t kClusterIdBytesMax = 255;

absl::Status Invalid(std::string text) { return absl::InvalidArgumentError(std::move(text)); }

// The newest level of a release, or the one that is named in full.
absl::StatusOr<int16_t> MetadataVersionOf(const std::string& release) {
  std::optional<int16_t> level;
  for (const MetadataVersionInfo& version : MetadataVersions()) {
    if (version.name == release || version.name.starts_with(release + "-")) {
      level = static_cast<int16_t>(version.level);
    }
  }
  if (level.has_value()) return *level;
  return Invalid(fmt::format("Unknown release version '{}'. Supported are {} to {}.", release,
                             MetadataVersions().front().name, MetadataVersions().back().name));
}

struct FeatureLevel {
  std::string name;
  int16_t level;
};

absl::StatusOr<FeatureLevel> ParseFeature(const std::string& text) {
  const size_t equals = text.find('=');
  int16_t level = -1;
  if (equals != std::string::npos) {
    const char* end = text.data() + text.size();
    auto [stop, error] = std::from_chars(text.data() + equals + 1, end, level);
    if (error != std::errc() || stop != end) level = -1;
  }
  if (level < 0) return Invalid(fmt::format("Can't parse feature=level string {}.", text));
  const std::string name = text.substr(0, equals);
  auto served = std::ranges::find(ServedFeatures(), name, &FeatureRange::name);
  if (served == ServedFeatures().end()) {
    std::vector<std::string> names;
    for (const FeatureRange& feature : ServedFeatures()) names.push_back(feature.name);
    return Invalid(fmt::format("Unsupported feature: {}. Supported features are: {}", name,
                               fmt::join(names, ", ")));
  }
  if (!ServesFeatureLevel(name, level)) {
    return Invalid(fmt::format("No feature:{} with feature level {}: {} to {} are served", name,
                               level, served->min_level, served->max_level));
  }
  return FeatureLevel{name, level};
}

absl::Status CheckQuorumFlags(const FormatRequest& request, const BrokerConfig& config) {
  const int flags = (request.standalone ? 1 : 0) + (request.no_initial_controllers ? 1 : 0) +
                    (request.initial_controllers.has_value() ? 1 : 0);
  if (flags > 1) {
    return Invalid(
        "Only one of --standalone, --initial-controllers and --no-initial-controllers may be "
        "given.");
  }
  if (flags == 1 && !config.voters.empty()) {
    return Invalid(
        "You cannot specify --standalone, --initial-controllers or --no-initial-controllers with "
        "controller.quorum.voters: remove that property to use a dynamic quorum.");
  }
  if (request.standalone && !config.is_controller) {
    return Invalid("You can only use --standalone on a controller.");
  }
  // Kafka asks every controller without controller.quorum.voters. A configuration that names no
  // quorum at all is a node of its own here.
  if (flags == 0 && config.is_controller && config.voters.empty() &&
      !config.quorum_bootstrap.empty()) {
    return Invalid(
        "Because controller.quorum.voters is not set on this controller, you must specify one of "
        "the following: --standalone, --initial-controllers, or --no-initial-controllers.");
  }
  return absl::OkStatus();
}

// Where the others reach this node's controller.
HostPort OwnAddress(const BrokerConfig& config) {
  for (const Endpoint& endpoint : config.listeners.advertised_controller) {
    if (!endpoint.host.empty()) return {endpoint.host, endpoint.port};
  }
  for (const NamedListener& listener : config.listeners.controller) {
    if (!listener.endpoint.host.empty()) return {listener.endpoint.host, listener.endpoint.port};
  }
  const uint16_t port = config.listeners.controller.empty()
                            ? uint16_t{9093}
                            : config.listeners.controller.front().endpoint.port;
  return {"localhost", port};
}

}  // namespace

absl::Status CheckClusterId(const std::string& id) {
  constexpr std::string_view kAccepted =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
  if (!id.empty() && id.size() <= kClusterIdBytesMax &&
      id.find_first_not_of(kAccepted) == std::string::npos) {
    return absl::OkStatus();
  }
  return Invalid(
      fmt::format("--cluster-id {}: 1 to {} letters, digits, '-', '_' or '.' are accepted", id,
                  kClusterIdBytesMax));
}

std::string MetadataVersionName(int32_t level) {
  auto found = std::ranges::find(MetadataVersions(), level, &MetadataVersionInfo::level);
  return found == MetadataVersions().end() ? fmt::format("{}", level) : std::string(found->name);
}

absl::StatusOr<std::map<std::string, int16_t>> InitialFeatures(const FormatRequest& request,
                                                               bool has_static_voters) {
  auto version = static_cast<int16_t>(kMetadataVersionLatest);
  if (request.release_version.has_value()) {
    MR_ASSIGN_OR_RETURN(version, MetadataVersionOf(*request.release_version));
  }
  std::map<std::string, int16_t> wanted;
  for (const std::string& text : request.features) {
    MR_ASSIGN_OR_RETURN(FeatureLevel feature, ParseFeature(text));
    if (!wanted.emplace(feature.name, feature.level).second) {
      return Invalid(fmt::format("Feature {} is given twice.", feature.name));
    }
  }
  if (auto found = wanted.find(std::string(kMetadataVersion)); found != wanted.end()) {
    if (request.release_version.has_value() && found->second != version) {
      return Invalid("Use --release-version or --feature metadata.version, not both.");
    }
    version = found->second;
  }
  std::map<std::string, int16_t> levels;
  for (const FeatureRange& feature : ServedFeatures()) {
    auto level = static_cast<int16_t>(DefaultFeatureLevel(feature.name, version));
    if (feature.name == kKraftVersion) level = has_static_voters ? 0 : 1;
    if (auto found = wanted.find(feature.name); found != wanted.end()) level = found->second;
    if (level > 0) levels[feature.name] = level;
  }
  const bool dynamic = levels.contains(std::string(kKraftVersion));
  if (dynamic == has_static_voters) {
    return Invalid(has_static_voters
                       ? "kraft.version 1 needs a quorum without controller.quorum.voters."
                       : "kraft.version 0 needs controller.quorum.voters.");
  }
  return levels;
}

absl::StatusOr<FormatPlan> PlanFormat(const FormatRequest& request, const BrokerConfig& config,
                                      DirectoryId directory) {
  MR_RETURN_IF_ERROR(CheckClusterId(request.cluster_id));
  MR_RETURN_IF_ERROR(CheckQuorumFlags(request, config));
  FormatPlan plan;
  MR_ASSIGN_OR_RETURN(plan.bootstrap.features, InitialFeatures(request, !config.voters.empty()));
  if (!config.voters.empty()) {
    plan.bootstrap.quorum = InitialQuorum::kStatic;
  } else if (request.initial_controllers.has_value()) {
    auto voters = ParseInitialVoters(*request.initial_controllers);
    if (!voters.has_value()) {
      return Invalid(fmt::format("--initial-controllers: {}", voters.error()));
    }
    auto self = std::ranges::find(*voters, config.node_id, &InitialVoter::id);
    if (config.is_controller && self == voters->end()) {
      return Invalid(
          fmt::format("--initial-controllers: this node, {}, is a controller and not among them",
                      config.node_id));
    }
    if (self != voters->end()) plan.metadata_directory = self->directory;
    plan.bootstrap.quorum = InitialQuorum::kVoters;
    plan.bootstrap.voters = *std::move(voters);
  } else if (request.no_initial_controllers || !config.is_controller) {
    plan.bootstrap.quorum = InitialQuorum::kNone;
  } else {
    plan.bootstrap.quorum = InitialQuorum::kVoters;
    plan.bootstrap.voters = {{config.node_id, directory, OwnAddress(config)}};
  }
  return plan;
}

}  // namespace millrace
