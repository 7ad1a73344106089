// SteadyJournal: small durable writes at a steady pace beside something else, and how long they take: what an
// acknowledgement would wait for. As the journal's (storage/journal): direct, RWF_DSYNC, one in flight, over blocks that
// were written before.
//
// Shard:    one. Lifetime: Stop() must have finished before destruction; `env` outlives it.
// Errors:   as common/disk.h: Open() and Stop() tell them.
// Note:     a latency counts from the moment at which the write was due, plus the tick by which a timer may be late:
//           what stands in the shard's way before the write begins is a part of it.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/env.h"
#include "common/runtime/task_scope.h"
#include "common/time.h"

namespace millrace::bench {

class SteadyJournal {
 public:
  static Task<absl::StatusOr<std::unique_ptr<SteadyJournal>>> Open(Env* env, std::string path);
  ~SteadyJournal();

  void Start(Duration period);
  Task<absl::Status> Stop();

  // Of the writes that ended since the last call, in microseconds.
  std::vector<double> TakeLatencies() { return std::exchange(latencies_us_, {}); }

 private:
  SteadyJournal(Env& env, std::unique_ptr<File> file);
  Task<void> WriteSteadily(Duration period);

  Env& env_;
  const std::unique_ptr<File> file_;
  const Slice block_;
  std::vector<double> latencies_us_;
  absl::Status status_;
  TaskScope scope_;
};

}  // namespace millrace::bench
