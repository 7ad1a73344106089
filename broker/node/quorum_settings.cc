#include "broker/node/quorum_settings.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "controller/image/feature_levels.h"

namespace millrace {
namespace {

// Why nothing may begin with what the node was formatted with: an older version than the one that
// formatted it must not finalise what it does not serve.
absl::Status CheckBootstrap(const absl::StatusOr<std::optional<BootstrapFile>>& bootstrap) {
  if (!bootstrap.ok()) return bootstrap.status();
  if (!bootstrap->has_value()) return absl::OkStatus();
  const BootstrapFile& file = **bootstrap;
  if (file.LevelOf(kMetadataVersion) == 0) {
    return absl::FailedPreconditionError(
        fmt::format("{}: feature.{} is missing", kBootstrapFile, kMetadataVersion));
  }
  for (const auto& [name, level] : file.features) {
    if (ServesFeatureLevel(name, level)) continue;
    return absl::FailedPreconditionError(fmt::format(
        "{}: feature.{}={}: this version does not serve that level", kBootstrapFile, name, level));
  }
  return absl::OkStatus();
}

// What is advertised. Who may be added to a quorum, or has begun one that others may join, says
// where it listens in any case: nobody else's configuration does.
std::vector<raft::VoterEndpoint> OwnEndpoints(const BrokerConfig& config,
                                              const std::string& host_name) {
  std::vector<Endpoint> said = config.listeners.advertised_controller;
  if (said.empty() && config.voters.empty() && !config.quorum_bootstrap.empty()) {
    for (const NamedListener& listener : config.listeners.controller) {
      said.push_back(listener.endpoint);
    }
  }
  std::vector<raft::VoterEndpoint> endpoints;
  for (const Endpoint& endpoint : said) {
    const bool any = endpoint.host.empty() || endpoint.host == "0.0.0.0" || endpoint.host == "::";
    endpoints.push_back({endpoint.name, any ? host_name : endpoint.host, endpoint.port});
  }
  return endpoints;
}

// Those of a new quorum.
raft::VoterSet InitialVoters(const BrokerConfig& config, const NodeFormat& format,
                             const RaftQuorumOptions& options) {
  if (!config.voters.empty()) return {};  // They are named.
  const bool formatted = format.bootstrap.ok() && format.bootstrap->has_value() &&
                         (*format.bootstrap)->quorum != InitialQuorum::kStatic;
  std::map<BrokerId, raft::Voter> voters;
  if (formatted) {
    for (const InitialVoter& voter : (*format.bootstrap)->voters) {
      voters[voter.id] = {voter.directory,
                          {{options.listener, voter.address.host, voter.address.port}}};
    }
  } else if (config.quorum_bootstrap.empty()) {
    // A node that was never told of others is its own quorum.
    voters[config.node_id] = {format.metadata_directory, options.endpoints};
  }
  return raft::VoterSet(std::move(voters));
}

}  // namespace

RaftQuorumOptions QuorumSettings(const BrokerConfig& config, const NodeFormat& format,
                                 const std::string& host_name) {
  RaftQuorumOptions options;
  options.node_id = config.node_id;
  options.cluster_id = format.cluster_id;
  options.directory = format.metadata_directory;
  options.listener = config.listeners.controller_names.front();
  options.auto_join = config.quorum.auto_join;
  // A time-out is drawn from election_timeout to twice as much; the rest keeps its proportions.
  options.election_timeout = config.quorum.fetch_timeout / 2;
  options.heartbeat = options.election_timeout * 3 / 25;
  options.tick = options.heartbeat / 3;
  options.snapshot_bytes = config.quorum.snapshot_bytes;
  options.snapshot_interval = config.quorum.snapshot_interval;
  std::map<BrokerId, raft::Voter> voters;
  for (const QuorumVoter& voter : config.voters) {
    voters[voter.id] = {std::nullopt, {{options.listener, voter.address.host, voter.address.port}}};
  }
  options.static_voters = raft::VoterSet(std::move(voters));
  for (const HostPort& server : config.quorum_bootstrap) {
    options.bootstrap.push_back({server.host, server.port});
  }
  options.endpoints = OwnEndpoints(config, host_name);
  options.initial_voters = InitialVoters(config, format, options);
  options.first_start = CheckBootstrap(format.bootstrap);
  return options;
}

}  // namespace millrace
