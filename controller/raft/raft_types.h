// The vocabulary of the Raft core: replicas, log entries, durable state, snapshots.
//
// Shard:  any; values.
// Units:  indexes begin at 1; index 0 of term 0 is what stands before the first entry.
// Source: the Raft paper, Figure 2; KIP-853 (a voter is an id and a directory id).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "common/ids.h"
#include "controller/raft/voter_set.h"

namespace millrace::raft {

constexpr RaftIndex After(RaftIndex index) { return RaftIndex(index.value() + 1); }
constexpr RaftIndex Before(RaftIndex index) { return RaftIndex(index.value() - 1); }

// What a leader writes first in its term: only an entry of its own term can be counted as committed
// (§5.4.2, §8).
struct LeaderChange {
  BrokerId leader;
  friend bool operator==(const LeaderChange&, const LeaderChange&) = default;
};

// Bytes the core does not look at.
using Data = std::shared_ptr<const std::string>;

struct LogEntry {
  RaftIndex index;
  RaftTerm term;
  std::variant<Data, LeaderChange, VoterSet> payload;

  // What it costs on its way to a peer, about.
  size_t bytes() const {
    constexpr size_t kOverhead = 48;
    const Data* data = std::get_if<Data>(&payload);
    return kOverhead + (data != nullptr ? (*data)->size() : 0);
  }
};

// What must not be forgotten over a restart. The vote names the candidate's directory too: a
// candidate that was wiped is another one, and may not use the vote its former self got (KIP-853).
struct HardState {
  RaftTerm term{0};
  std::optional<ReplicaKey> vote;
  RaftIndex commit{0};
  friend bool operator==(const HardState&, const HardState&) = default;
};

// What a snapshot stands for: everything up to `index`, the configuration included (§7).
struct SnapshotMeta {
  RaftIndex index{0};
  RaftTerm term{0};
  VoterSet voters;
  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

// The state machine's part of a snapshot; the core hands it through.
using SnapshotData = std::shared_ptr<const std::vector<std::string>>;

struct Snapshot {
  SnapshotMeta meta;
  SnapshotData data;
};

}  // namespace millrace::raft
