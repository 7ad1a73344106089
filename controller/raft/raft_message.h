// What Raft replicas say to each other. Each message carries its sender's real current term, a
// pre-vote too.
//
// Any of them may be lost, repeated or come late; none is trusted to be right: the core checks, and
// ignores what cannot be.
//
// Source: the Raft paper, Figures 2 and 13; thesis §3.10 (TimeoutNow), §9.6 (pre-vote); KIP-853 and
// KIP-996.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "controller/raft/raft_types.h"

namespace millrace::raft {

// "Would you / will you vote for me?"
struct VoteRequest {
  bool pre = false;       // A pre-vote is about the term after the sender's, and binds nobody.
  bool transfer = false;  // The leader itself asked for this election: it may be disrupted.
  RaftIndex last_index{0};
  RaftTerm last_term{0};
};

struct VoteReply {
  bool pre = false;
  bool granted = false;
  RaftTerm election;  // The term the vote is about.
};

// Entries behind (prev_index, prev_term); none: a heartbeat, or news of the commit.
struct AppendRequest {
  RaftIndex prev_index{0};
  RaftTerm prev_term{0};
  std::vector<LogEntry> entries;
  RaftIndex commit{0};
  // Of one without entries, that is no heartbeat: that it was accepted would be no news.
  bool unanswered = false;
};

struct AppendAccepted {
  RaftIndex match;  // Up to here the follower's durable log is the leader's.
};

struct AppendRejected {
  RaftIndex prev_index;  // What did not match.
  RaftIndex hint_index;  // The follower's last entry at or before it of no later term than asked.
  RaftTerm hint_term;
};

// Take this state for everything up to `snapshot.meta.index`. The leader's core leaves `data`
// empty: whoever sends the message fills it in from the store, and streams it in pieces.
struct InstallSnapshot {
  Snapshot snapshot;
};

// "Hold an election now, you are to lead."
struct TimeoutNow {};

// A replica that no voter set names asks to be told the log.
struct Observe {};

struct Message {
  ReplicaKey from;
  BrokerId to;
  // Which incarnation of `to` is meant; another one must not answer for it.
  std::optional<DirectoryId> to_directory;
  RaftTerm term;
  std::variant<VoteRequest, VoteReply, AppendRequest, AppendAccepted, AppendRejected,
               InstallSnapshot, TimeoutNow, Observe>
      body;
};

}  // namespace millrace::raft
