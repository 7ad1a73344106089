// ShardValidator: validates produced batches where that hurts least. What is quick is done at once,
// on the shard; what might keep it busy for a millisecond or more is done by a helper, and other
// connections are served meanwhile.
//
// A batch does not say how much work it is (its sizes are its sender's claims), so the quick way
// has limits and gives up at them: a bomb costs the shard no more than an honest batch.
//
// Use:      TryValidate(); where that gives nothing, Validate(), and then look up anew whatever may
//           have changed meanwhile. One batch after another of a connection, so that order is kept.
// Shard:    one. In the simulator the helper's work is a task of virtual time on the same thread.
// Lifetime: no Validate() may be pending at its end.
// Units:    bytes.
// Errors:   what BatchValidator says; kCancelled.
// Bounds:   batches at helpers, and what becomes of them there: Options::memory_bytes_max, or one
//           batch if that alone is more. At the front of them the codecs' contexts and windows, at
//           most 8 MiB for each of the two helpers that may compute.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "common/env.h"
#include "common/runtime/cancellation.h"
#include "common/runtime/semaphore.h"
#include "common/runtime/task.h"
#include "common/time.h"
#include "storage/record/batch_validator.h"
#include "storage/record/record_batch.h"

namespace millrace {

// What a helper is given: everything by value, for the partition may go meanwhile.
struct ValidationJob {
  BatchView batch;  // REQUIRES: nobody else touches its bytes before the end.
  AppendRules rules;
  AppendOrigin origin;
  std::string partition;  // For messages.
  Timestamp now;
};

class ShardValidator {
 public:
  struct Options {
    // Raise: more large batches are decompressed side by side. Costs that much memory.
    size_t memory_bytes_max = 4 << 20;
  };

  ShardValidator(Env& env, Options options)
      : helpers_(env.helpers), memory_(env.reactor, options.memory_bytes_max) {}

  // At once. Nothing: it is more work than a shard should do, the batch is as it was.
  std::optional<ValidationOutcome> TryValidate(const BatchView& batch, const AppendRules& rules,
                                               AppendOrigin origin, std::string_view partition,
                                               Timestamp now) {
    return validator_.TryValidate(batch, rules, origin, partition, now, kQuickValidation);
  }

  // On a helper, once there is memory for it.
  Task<absl::StatusOr<ValidationOutcome>> Validate(ValidationJob job, CancellationToken cancel);

 private:
  // Borrowed.
  HelperPool& helpers_;
  // Owned.
  BatchValidator validator_;
  ByteBudget memory_;
};

}  // namespace millrace
