// CoordinatorQueue: what a coordinator has decided and its log does not have yet, and how that is cut
// into batches. A batch survives a failover whole or not at all, and so must a decision: half of the
// records by which a group changes its kind make a group that nobody decided, with a partition that
// two own, or none at all.
//
// Shard:  any; pure.
// Units:  bytes of keys and values.
// Errors: TakeBatch(): as BatchBuilder::Build() has them.
// Bounds: none of its own: whoever adds looks at bytes() before.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <deque>
#include <vector>

#include "broker/coordinator/coordinator_machine.h"
#include "common/time.h"
#include "storage/record/record_batch.h"

namespace millrace {

class CoordinatorQueue {
 public:
  // Small decisions come together in a batch, up to this; a larger one, or a single record, makes it
  // larger. The topic's max.message.bytes, which is for clients, does not hold that back.
  static constexpr size_t kBatchBytes = size_t{512} << 10;
  // Followers take no larger batch than a client could have sent (ReplicationOptions). A decision
  // beyond this is cut all the same: it is better torn by the failover that comes at that moment
  // than never replicated.
  static constexpr size_t kDecisionBytesMax = size_t{64} << 20;

  // What was decided at once.
  void Add(std::vector<CoordinatorRecord> decision);
  // The next records as one batch. REQUIRES: !empty().
  absl::StatusOr<BatchView> TakeBatch(Timestamp now);
  void Clear();

  bool empty() const { return decisions_.empty(); }
  size_t bytes() const { return bytes_; }

 private:
  // State.
  std::deque<std::vector<CoordinatorRecord>> decisions_;  // None of them empty.
  size_t next_ = 0;                                       // Of the first one: what was taken.
  size_t bytes_ = 0;
};

}  // namespace millrace
