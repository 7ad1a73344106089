// RaftInvariants: what must hold of a quorum after every step (RELIABILITY P29-P31), by the names
// of the Raft paper's Figure 3.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "controller/raft/raft_core.h"

namespace millrace::simtest {

class RaftInvariants {
 public:
  // "At most one leader can be elected in a given term." Also: "if a log entry is committed in a
  // given term, it will be present in the logs of the leaders for all higher-numbered terms."
  void Leads(const raft::RaftCore& core);
  // "If two logs contain an entry with the same index and term, then the logs are identical in all
  // entries up through the given index": by induction over what each entry follows.
  void Appended(const raft::LogEntry& entry, RaftTerm previous_term);
  // "A leader never overwrites or deletes entries in its log."
  void LeaderLog(const raft::RaftCore& core);
  // Once committed at an index, nothing else ever is.
  void Committed(RaftIndex index, RaftTerm term);
  // "No other server will ever apply a different log entry for the same index", told by the state
  // that came of it: replayed or from a snapshot (P30).
  void Applied(RaftIndex index, uint64_t state);
  // One vote in a term, over restarts too; and no replica speaks in a term below one it spoke in.
  void Sent(const raft::Message& message);
  void Restarted(const raft::RaftCore& core);

  void Wrong(std::string what) {
    if (violations_.size() < 10) violations_.push_back(std::move(what));
  }
  const std::vector<std::string>& violations() const { return violations_; }
  size_t terms_with_leader() const { return leaders_.size(); }
  size_t committed() const { return committed_.size(); }

 private:
  struct Entry {
    uint64_t payload;
    RaftTerm previous_term;
    friend bool operator==(const Entry&, const Entry&) = default;
  };

  std::map<RaftTerm, raft::ReplicaKey> leaders_;
  std::map<std::pair<RaftIndex, RaftTerm>, Entry> entries_;
  std::map<raft::ReplicaKey, std::pair<RaftTerm, RaftIndex>> leader_ends_;
  std::map<RaftIndex, RaftTerm> committed_;
  std::map<RaftIndex, uint64_t> states_;
  std::map<std::pair<raft::ReplicaKey, RaftTerm>, raft::ReplicaKey> votes_;
  std::map<raft::ReplicaKey, RaftTerm> spoken_;
  std::vector<std::string> violations_;
};

// Equal for equal entries.
uint64_t HashOf(const raft::LogEntry& entry);

}  // namespace millrace::simtest
