// MetadataLog: the seam between the controller's decisions and whoever makes them permanent and
// agreed: the Raft driver (quorum/raft_quorum.h).
//
// Shard:      shard 0.
// Durability: Propose() returns after the entry is committed: durable on a majority of voters.
// Errors:     kUnavailable with kNotController: this node is not (any longer) the active
// controller: the entry may or may
//             not be committed. kCancelled: stopping. kDataLoss: the store is broken, for good.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/runtime/task.h"
#include "controller/image/metadata_record.h"

namespace millrace {

// Applies what was committed. Called in index order, each index once, at runtime and at recovery
// alike.
class CommittedEntries {
 public:
  virtual ~CommittedEntries() = default;
  virtual absl::Status OnCommitted(RaftIndex index, const MetadataEntry& entry) = 0;
  // The state as of `index` instead of all entries up to it: what TakeSnapshot() gave elsewhere.
  virtual absl::Status OnSnapshot(RaftIndex index, const std::vector<std::string>& chunks) = 0;
  // The state as it is now, chunk by chunk: each call gives the next, nothing after the last. Read
  // while entries go on being applied, by helper threads, one call at a time.
  virtual std::move_only_function<std::optional<std::string>()> TakeSnapshot() const = 0;
};

// Is told when this node becomes the active controller (it leads, and everything of earlier terms has
// been applied here) and when it is that no more. Called on shard 0 from within a turn: it only
// notes what is to be done.
class LeadershipObserver {
 public:
  virtual ~LeadershipObserver() = default;
  virtual void OnLeadership(std::optional<RaftTerm> active) = 0;
};

class MetadataLog {
 public:
  virtual ~MetadataLog() = default;

  // Makes `records` one entry of the log. When this returns OK they are committed and have been
  // applied.
  virtual Task<absl::StatusOr<RaftIndex>> Propose(std::vector<MetadataRecord> records) = 0;

  // The term in which this node is the active controller, or nothing.
  virtual std::optional<RaftTerm> leading_term() const = 0;

  // The index that the next proposal gets if nothing else comes between; a broker's epoch is the
  // index of its registration.
  virtual RaftIndex next_index() const = 0;
};

}  // namespace millrace
