// RaftStore: what one replica of the metadata log remembers, in the node's key-value store: who it
// is, term and vote, the log, and the newest snapshot in pieces.
//
//   kRaftState     "identity"   the replica's directory id
//                  "state"      term, vote, commit, and where the log ends
//                  "snapshot"   what the current snapshot stands for, and how many pieces it has
//   kRaftLog       index        the entry (big-endian keys: in order)
//   kRaftSnapshot  index piece  one piece
//
// Every value has a checksum (raft_codec.h), indexes follow each other, and "state" says where the
// log must end, so a missing entry, a cut tail and a flipped bit are found. A replica that lost
// something no longer knows what it promised: it must not go on under this identity (RELIABILITY
// §C 32).
//
// Shard:      shard 0.
// Lifetime:   `kv` outlives it. No call may be under way at destruction.
// Errors:     kDataLoss: damaged, with what is wrong; others are the store's.
// Durability: Write() is one synced batch. A snapshot of one's own is written beside the log, piece
//             by piece; only FinishSnapshot() makes it count, and syncs.
// Bound:      one snapshot at a time is being written.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/runtime/task.h"
#include "controller/quorum/raft_codec.h"
#include "controller/raft/raft_output.h"
#include "controller/raft/raft_types.h"
#include "storage/kv/kv_store.h"

namespace millrace {

class RaftStore {
 public:
  struct Contents {
    DirectoryId directory;
    raft::HardState hard_state;
    raft::Snapshot snapshot;  // Without data: there was none.
    std::vector<raft::LogEntry> entries;
  };

  explicit RaftStore(KvStore& kv) : kv_(kv) {}
  RaftStore(const RaftStore&) = delete;
  RaftStore& operator=(const RaftStore&) = delete;

  // Everything; nothing when Format() was never called. Also removes what an interrupted snapshot
  // left.
  Task<absl::StatusOr<std::optional<Contents>>> Load();

  // Forgets everything there was; from here on this is replica `directory`, which has promised
  // nothing. `voters`: those of a new quorum, where an operator named them (else: none).
  Task<absl::Status> Format(DirectoryId directory, raft::VoterSet voters);

  // REQUIRES: Load() or Format() has succeeded; one at a time.
  Task<absl::Status> Write(raft::Write write);

  // The replica's own snapshot of what it applied.
  Task<absl::Status> WriteSnapshotPiece(RaftIndex index, uint32_t number, std::string piece);
  // False: a newer one has come from the leader meanwhile, and stays.
  Task<absl::StatusOr<bool>> FinishSnapshot(raft::SnapshotMeta meta, uint32_t pieces);

  // What a peer is sent. Reading a piece of a snapshot that was replaced meanwhile: kNotFound.
  const StoredSnapshot& snapshot() const { return snapshot_; }
  Task<absl::StatusOr<std::string>> ReadSnapshotPiece(RaftIndex index, uint32_t number);

 private:
  Task<absl::Status> LoadLog(Contents* contents);
  Task<absl::Status> LoadSnapshot(Contents* contents);
  Task<absl::Status> CheckNothingThere();

  KvStore& kv_;
  StoredSnapshot snapshot_;
  RaftIndex log_end_{0};
};

}  // namespace millrace
