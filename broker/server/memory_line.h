// MemoryLine: a budget of memory that clients wait in line for, and how that line fares: whether it
// stands still, so that those who hold the memory and do not come on are to lose it.
//
// A line is the normal state of a busy node, and no reason to be hard on anybody while it moves.
//
// Shard:    one; Release() may come from any thread.
// Lifetime: outlives all that was taken from it, and who waits.
// Bound:    `bytes_max`, or one request above it (common/runtime/semaphore.h).
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <list>
#include <optional>

#include "common/runtime/cancellation.h"
#include "common/runtime/reactor.h"
#include "common/runtime/semaphore.h"
#include "common/runtime/task.h"
#include "common/time.h"

namespace millrace {

// How long somebody waits in line.
struct LinePatience {
  std::optional<Instant> until = {};
  CancellationToken drain = {};  // No longer than that either.
};

class MemoryLine {
 public:
  // The line stands still: nobody got anything for so long, or the first one waits for so long.
  static constexpr Duration kStandingStill = seconds(1);
  static constexpr Duration kFirstWaitsMax = seconds(3);

  MemoryLine(Reactor& reactor, size_t bytes_max)
      : reactor_(reactor), budget_(reactor, bytes_max), granted_(reactor.Now()) {}

  // For what is charged and given back as a block (Slice).
  ByteBudget& budget() { return budget_; }
  size_t bytes_max() const { return budget_.bytes_max(); }
  size_t used() const { return budget_.used(); }

  // As ByteBudget's.
  bool TryAcquire(size_t bytes) { return budget_.TryAcquire(bytes); }
  bool Fits(size_t bytes) const { return budget_.Fits(bytes); }
  void Release(size_t bytes) { budget_.Release(bytes); }
  // kCancelled: `cancel` was. kDeadlineExceeded: patience has ended.
  Task<absl::Status> Acquire(size_t bytes, CancellationToken cancel, LinePatience patience = {});

  // Somebody waits, and the line does not move as it should.
  bool held_up() const;

 private:
  Reactor& reactor_;
  ByteBudget budget_;
  std::list<Instant> waiting_;  // In line, since when each.
  Instant granted_;             // To one who had waited, the last time.
};

}  // namespace millrace
