// VoterSet: who votes and whose copies count. A value; one change at a time makes the next.
//
// A voter is an id and a directory id (KIP-853), so that a machine that lost its disk and comes
// back under the same id is somebody else. A static quorum (controller.quorum.voters) names ids
// alone; the directories enter the log with the first leader. Until then nobody can tell a voter
// from its wiped successor:
//
//   1. Voters 1, 2 and 3 start empty. 1 is elected by 2 and commits with 2; 3 has seen nothing.
//   2. 2 loses its disk and comes back empty; 1 is away.
//   3. 3 asks 2 for its vote, gets it, and two of three elect a leader without the committed
//   entries.
//
// So an incomplete set decides by all of its votes: 3 would have needed 1's, who refuses. That asks
// every static voter to be up once, at the cluster's first election.
//
// Source: KIP-853; the Raft thesis, §4.1 (majorities of sets that differ by one voter overlap).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"

namespace millrace::raft {

// One incarnation of a replica: as long as its disk lives.
struct ReplicaKey {
  BrokerId id;
  DirectoryId directory;
  friend auto operator<=>(const ReplicaKey&, const ReplicaKey&) = default;
};

struct VoterEndpoint {
  std::string listener;
  std::string host;
  uint16_t port = 0;
  friend bool operator==(const VoterEndpoint&, const VoterEndpoint&) = default;
};

struct Voter {
  std::optional<DirectoryId> directory;  // Nothing: named statically and not met yet.
  std::vector<VoterEndpoint> endpoints;
  friend bool operator==(const Voter&, const Voter&) = default;
};

class VoterSet {
 public:
  VoterSet() = default;  // Nobody: a replica that knows no quorum yet.
  explicit VoterSet(std::map<BrokerId, Voter> voters) : voters_(std::move(voters)) {}

  const std::map<BrokerId, Voter>& all() const { return voters_; }
  bool empty() const { return voters_.empty(); }
  size_t size() const { return voters_.size(); }
  const Voter* Find(BrokerId id) const;
  // True also for an id whose directory is not known yet.
  bool Contains(const ReplicaKey& key) const;
  // Every directory is known.
  bool complete() const;
  size_t majority() const { return voters_.size() / 2 + 1; }
  // Votes that elect: a majority, or all while the set is incomplete (see above).
  size_t votes_to_win() const { return complete() ? majority() : voters_.size(); }

  VoterSet With(BrokerId id, Voter voter) const;
  VoterSet Without(BrokerId id) const;

  friend bool operator==(const VoterSet&, const VoterSet&) = default;

 private:
  std::map<BrokerId, Voter> voters_;
};

}  // namespace millrace::raft
