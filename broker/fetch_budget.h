// FetchBudget: memory for the Fetch requests of one shard. Three lines:
//
//   records    what is read and sent, and the answers that are put together for it
//   oversize   a turn, for a first batch that is larger than what one answer is granted of `records`
//              (KIP-74 wants it whole): such batches wait for each other, and for nobody else
//   waiting    what long polls of many partitions keep while they wait for records. A poll that is
//              not granted it does not wait: its answer leaves at once, with what there is
//
// Shard:    one.
// Lifetime: outlives every request.
// Bound:    `bytes_max` of records, as much of waiting, and one batch.
#pragma once

#include <cstddef>

#include "common/runtime/semaphore.h"

namespace millrace {

class FetchBudget {
 public:
  FetchBudget(Reactor& reactor, size_t bytes_max)
      : records_(reactor, bytes_max), oversize_(reactor, 1), waiting_(reactor, bytes_max) {}

  ByteBudget& records() { return records_; }
  ByteBudget& oversize() { return oversize_; }  // Of 1: a turn.
  ByteBudget& waiting() { return waiting_; }

  size_t used() const { return records_.used() + waiting_.used(); }

 private:
  ByteBudget records_;
  ByteBudget oversize_;
  ByteBudget waiting_;
};

}  // namespace millrace
