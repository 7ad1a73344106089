#include "controller/quorum/raft_quorum_options.h"

#include <fmt/format.h>

#include <algorithm>

namespace millrace {

absl::Status RaftQuorumOptions::Validate() const {
  const auto refuse = [](std::string why) { return absl::InvalidArgumentError(std::move(why)); };
  if (cluster_id.empty()) return refuse("the quorum needs a cluster id");
  if (directory.is_zero()) return refuse("the metadata log needs a directory id");
  if (!static_voters.empty() && !initial_voters.empty()) {
    return refuse("voters are named statically or were formatted, not both");
  }
  if (!initial_voters.complete()) return refuse("formatted voters need their directory ids");
  if (static_voters.empty() && initial_voters.empty() && bootstrap.empty()) {
    return refuse("nobody is named who may know the quorum");
  }
  if (tick <= milliseconds(0) || heartbeat < tick || election_timeout < 2 * heartbeat) {
    return refuse(
        fmt::format("a heartbeat every {} ms and an election after {} ms do not fit ticks of {} ms",
                    heartbeat.count(), election_timeout.count(), tick.count()));
  }
  if (entry_bytes_max + (size_t{64} << 10) > kControlMessageBytesMax) {
    return refuse("an entry must fit into a message between controllers");
  }
  if (snapshot_bytes < 1 || snapshot_interval.value_or(Duration(1)) <= Duration(0)) {
    return refuse("snapshots are taken after at least one byte and some time");
  }
  if (snapshot_bytes_per_second < 1) return refuse("a snapshot that is not written never ends");
  return absl::OkStatus();
}

bool RaftQuorumOptions::HasOthers() const {
  const auto others = [this](const raft::VoterSet& voters) {
    return voters.size() > (voters.Find(node_id) != nullptr ? 1U : 0U);
  };
  // Static voters are all that there are.
  if (!static_voters.empty()) return others(static_voters);
  if (alone) return false;
  // Often a bootstrap server is this node itself.
  const auto elsewhere = [this](const SocketAddress& server) {
    return std::ranges::none_of(endpoints, [&](const raft::VoterEndpoint& own) {
      return own.host == server.host && own.port == server.port;
    });
  };
  return others(initial_voters) || std::ranges::any_of(bootstrap, elsewhere);
}

}  // namespace millrace
