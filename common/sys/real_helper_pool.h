// RealHelperPool: one shard's door to the helper threads.
//
// Shard:    one. Lifetime: `threads` and `reactor` outlive it; no Run() may be pending at its end
//           (CHECKed).
// Bound:    at most `jobs_max` calls are queued or running; further ones wait in Run().
#pragma once

#include <cstddef>

#include "common/runtime/event.h"
#include "common/runtime/helper_pool.h"
#include "common/sys/helper_threads.h"

namespace millrace {

class RealHelperPool final : public HelperPool {
 public:
  RealHelperPool(LoopReactor& reactor, HelperThreads& threads, size_t jobs_max = 256)
      : reactor_(reactor), threads_(threads), jobs_max_(jobs_max), freed_(reactor) {}
  ~RealHelperPool() override;

  Task<void> RunAs(HelperWork kind, std::move_only_function<void()> work) override;

 private:
  class Job;

  LoopReactor& reactor_;
  HelperThreads& threads_;
  const size_t jobs_max_;
  size_t jobs_ = 0;
  Event freed_;
};

}  // namespace millrace
