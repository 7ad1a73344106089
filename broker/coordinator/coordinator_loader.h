// CoordinatorLoader: gives the records of a coordinator's log to its machine, one after the other.
//
// Records of a transaction (offsets that a producer commits with what it writes) count when it is
// committed, at the place of its marker; those of an aborted one, or of one that is not decided,
// never do.
//
// Shard:    the partition's; one loading.
// Lifetime: `env` and `machine` outlive it.
// Errors:   kCorruptMessage: the bytes are no batches. What cannot be read within a batch is told in
//           the log file and passed over.
// Bounds:   keeps what the log has of open transactions.
#pragma once

#include <absl/status/status.h>

#include <map>
#include <vector>

#include "broker/coordinator/coordinator_machine.h"
#include "common/bytes/slice.h"
#include "common/env.h"
#include "common/ids.h"
#include "storage/record/record_batch.h"

namespace millrace {

class CoordinatorLoader {
 public:
  CoordinatorLoader(Env& env, CoordinatorMachine& machine) : env_(env), machine_(machine) {}

  // Whole batches, behind those of the call before.
  absl::Status Load(const Chain& batches);

 private:
  void LoadBatch(const BatchView& batch);
  void LoadRecord(const CoordinatorRecord& record);
  void EndTransaction(const BatchView& batch);

  // Borrowed.
  Env& env_;
  CoordinatorMachine& machine_;
  // State.
  std::map<ProducerId, std::vector<CoordinatorRecord>> open_;
};

}  // namespace millrace
