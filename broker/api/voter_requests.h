// What the three requests that change the quorum's voters have in common.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "broker/admin_context.h"
#include "common/error_kind.h"
#include "controller/image/feature_levels.h"
#include "controller/quorum/raft_quorum.h"

namespace millrace {

// The cluster that the sender believes in, if it says one.
inline absl::Status CheckClusterId(const AdminContext& admin,
                                   const std::optional<std::string>& cluster_id) {
  if (!cluster_id.has_value() || *cluster_id == admin.options.cluster_id) return absl::OkStatus();
  return MakeError(ErrorKind::kInconsistentClusterId,
                   fmt::format("The given id \"{}\" doesn't match the cluster id \"{}\"",
                               *cluster_id, admin.options.cluster_id));
}

// Voters that were named statically change with the configuration of every node, until the cluster is
// upgraded to kraft.version 1. `change`: "adding", "removing".
inline absl::Status CheckVotersMayChange(const AdminContext& admin, std::string_view change) {
  const FeatureLevels& features = admin.image()->features();
  const auto level = features.find(kKraftVersion);
  if (level != features.end() && level->second >= 1) return absl::OkStatus();
  return MakeError(ErrorKind::kUnsupportedVersion,
                   fmt::format("Cluster doesn't support {} voter because the {} feature is 0",
                               change, kKraftVersion));
}

inline bool IsReplicaKey(int32_t id, const Uuid& directory) {
  return id >= 0 && !directory.is_zero();
}

// The wire's listeners; kInvalidRequest when the one that controllers dial is not among them, or one
// is no address.
template <typename Listeners>
absl::StatusOr<std::vector<raft::VoterEndpoint>> EndpointsFromWire(const Listeners& listeners,
                                                                   std::string_view needed,
                                                                   std::string_view what) {
  std::vector<raft::VoterEndpoint> endpoints;
  for (const auto& listener : listeners) {
    if (listener.host.empty() || listener.port == 0) {
      return MakeError(ErrorKind::kInvalidRequest,
                       fmt::format("{} names no address for listener {}", what, listener.name));
    }
    endpoints.push_back({listener.name, listener.host, listener.port});
  }
  const bool found =
      std::ranges::find(endpoints, needed, &raft::VoterEndpoint::listener) != endpoints.end();
  if (found) return endpoints;
  return MakeError(ErrorKind::kInvalidRequest,
                   fmt::format("{} didn't include the endpoint for the default listener "
                               "ListenerName({})",
                               what, needed));
}

// What the quorum refused, as clients are told.
inline absl::Status VoterError(const absl::Status& status) {
  const auto as = [&status](ErrorKind kind) {
    return MakeError(kind, std::string(status.message()));
  };
  if (status.ok() || KindOf(status).has_value()) return status;
  if (absl::IsAlreadyExists(status)) return as(ErrorKind::kDuplicateVoter);
  if (absl::IsNotFound(status)) return as(ErrorKind::kVoterNotFound);
  if (absl::IsFailedPrecondition(status)) return as(ErrorKind::kInvalidRequest);
  return status;
}

// A client may wait so long for a change at the most.
inline constexpr milliseconds kVoterChangeMax{60'000};
inline Instant VoterDeadline(const AdminContext& admin, int32_t timeout_ms) {
  const milliseconds asked(std::max(timeout_ms, 0));
  return admin.env.reactor.Now() + std::min(asked, kVoterChangeMax);
}

}  // namespace millrace
