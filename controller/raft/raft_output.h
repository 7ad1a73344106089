// Output: what the core wants done. Everything in it may be done as soon as it is there.
//
// Nothing waits on the driver's discipline: a message that promises what is not on disk yet (a
// vote, an accepted append) stays inside the core until the write it depends on was reported with
// RaftCore::Persisted(), and only then appears in some Output. The driver's one duty is to report a
// write after its sync and not before. So too for `committed` and `restore`: they are on this disk.
//
// Source: the Raft paper, Figure 2: "updated on stable storage before responding to RPCs".
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/strong.h"
#include "controller/raft/raft_message.h"
#include "controller/raft/raft_types.h"

namespace millrace::raft {

using WriteId = StrongId<struct WriteIdTag, uint64_t>;

// To be made durable, wholly or not at all. The core gives one at a time: what comes up while it is
// under way is gathered for the next.
struct Write {
  WriteId id;
  HardState hard_state;
  // Replaces the whole log and the snapshot of the store; before `entries`.
  std::optional<Snapshot> install;
  // Entries of the store from here on are wrong and go, before `entries` are added.
  std::optional<RaftIndex> truncate_from;
  std::vector<LogEntry> entries;
  // Entries of the store up to here are covered by the snapshot and may go.
  std::optional<RaftIndex> drop_through;
};

enum class Role { kFollower, kPreCandidate, kCandidate, kLeader };

struct RoleChange {
  Role role;
  RaftTerm term;
  std::optional<BrokerId> leader;
  friend bool operator==(const RoleChange&, const RoleChange&) = default;
};

struct Output {
  std::optional<Write> write;
  std::vector<Message> messages;
  // The state machine's new state, before `committed`.
  std::optional<Snapshot> restore;
  // In index order, each index once.
  std::vector<LogEntry> committed;
  // Who leads, when that is another than was last said.
  std::optional<RoleChange> role;

  bool empty() const {
    return !write.has_value() && messages.empty() && !restore.has_value() && committed.empty() &&
           !role.has_value();
  }
};

}  // namespace millrace::raft
