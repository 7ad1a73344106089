// The end of a transaction as it stands in the log: a control batch of one record, written by the
// transaction coordinator into every partition that the transaction touched.
//
// Shard:  any; pure.
// Errors: kCorruptMessage: a control batch whose record cannot be read.
// Source: KIP-98; key = int16 version, int16 type (0 abort, 1 commit); value = int16 version, int32
//         coordinator epoch. Higher versions only add behind these. Rules 10.12-10.16.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>

#include "storage/record/record_batch.h"

namespace millrace {

struct TransactionMarker {
  bool commit;
  int32_t coordinator_epoch;
  friend bool operator==(const TransactionMarker&, const TransactionMarker&) = default;
};

// The marker in `batch`; nothing for batches of data and for control records of other kinds.
absl::StatusOr<std::optional<TransactionMarker>> ParseTransactionMarker(const BatchView& batch);

}  // namespace millrace
