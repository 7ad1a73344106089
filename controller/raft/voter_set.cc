#include "controller/raft/voter_set.h"

#include <algorithm>
#include <utility>

namespace millrace::raft {

const Voter* VoterSet::Find(BrokerId id) const {
  const auto found = voters_.find(id);
  return found == voters_.end() ? nullptr : &found->second;
}

bool VoterSet::Contains(const ReplicaKey& key) const {
  const Voter* voter = Find(key.id);
  return voter != nullptr && (!voter->directory.has_value() || *voter->directory == key.directory);
}

bool VoterSet::complete() const {
  return std::ranges::all_of(voters_,
                             [](const auto& entry) { return entry.second.directory.has_value(); });
}

VoterSet VoterSet::With(BrokerId id, Voter voter) const {
  VoterSet next = *this;
  next.voters_[id] = std::move(voter);
  return next;
}

VoterSet VoterSet::Without(BrokerId id) const {
  VoterSet next = *this;
  next.voters_.erase(id);
  return next;
}

}  // namespace millrace::raft
