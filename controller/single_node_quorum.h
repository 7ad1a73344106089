// SingleNodeQuorum: the metadata log of a quorum of one voter. It keeps Raft's own state (term,
// vote, log entries by index) in Raft's own layout, so that the Raft driver continues from the same
// store.
//
// Shard:      shard 0.
// Lifetime:   `kv` and `committed` outlive it. Stop() must have finished before destruction.
// Durability: an entry is synced before it counts as committed. Term and vote are synced before the
// first entry of a
//             term.
// Errors:     as MetadataLog; Start(): kDataLoss: an entry is missing or does not decode: the node
// must not start. Order:      one proposal is in flight at a time; those that arrive meanwhile wait
// in line. (The controller decides one
//             change at a time: a decision needs the state after the one before.)
#pragma once

#include <absl/status/status.h>

#include <optional>
#include <string>
#include <vector>

#include "common/env.h"
#include "common/runtime/gate.h"
#include "controller/metadata_log.h"
#include "storage/kv_store.h"

namespace millrace {

class SingleNodeQuorum final : public MetadataLog {
 public:
  SingleNodeQuorum(Env& env, KvStore& kv, BrokerId node_id, CommittedEntries& committed);

  // Replays every committed entry, then becomes the leader of a new term.
  Task<absl::Status> Start();
  Task<void> Stop();

  Task<absl::StatusOr<RaftIndex>> Propose(std::vector<MetadataRecord> records) override;
  std::optional<RaftTerm> leading_term() const override;
  RaftIndex next_index() const override { return RaftIndex(last_index_.value() + 1); }

 private:
  Task<absl::Status> Replay();

  // Constant after construction.
  const BrokerId node_id_;
  // Borrowed.
  Env& env_;
  KvStore& kv_;
  CommittedEntries& committed_;
  // State.
  Gate gate_;
  HardState hard_state_;
  RaftIndex last_index_{0};  // Raft's indexes begin at 1.
  bool leading_ = false;
  bool proposing_ = false;
  Event free_;
};

}  // namespace millrace
