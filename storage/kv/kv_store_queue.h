// KvWriteQueue: puts the writes of a KvStore in order and gathers them: one commit at a time, and
// whatever was submitted meanwhile goes into the next one (natural batching).
//
// Shard:      one.
// Lifetime:   Close() must have finished before destruction (CHECKed); the sink must outlive it.
// Errors:     a failed commit is final: everything later gets its status, because what reached the
//             disk is unknown. kUnavailable once Close() has begun.
// Bounds:     a commit gathers at most kGroupBytesMax (a larger batch goes alone). What waits
//             belongs to callers who wait.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <deque>
#include <vector>

#include "common/runtime/event.h"
#include "common/runtime/gate.h"
#include "common/runtime/task.h"
#include "storage/kv/kv_store.h"

namespace millrace {

// Where gathered writes go.
class KvWriteSink {
 public:
  virtual ~KvWriteSink() = default;
  // Each batch wholly or not at all, in order; with `sync` all of them, and all before, durable.
  // Never called twice at a time.
  virtual Task<absl::Status> Commit(std::vector<KvBatch> batches, bool sync) = 0;
};

class KvWriteQueue {
 public:
  static constexpr size_t kGroupBytesMax = size_t{1} << 20;

  KvWriteQueue(Reactor& reactor, KvWriteSink& sink) : sink_(sink), turn_(reactor), gate_(reactor) {}
  KvWriteQueue(const KvWriteQueue&) = delete;
  KvWriteQueue& operator=(const KvWriteQueue&) = delete;

  Task<absl::Status> Submit(KvBatch batch, bool sync);
  // Refuses new writes and waits for those given.
  Task<void> Close() { return gate_.Close(); }
  // The failure that ended writing, if any.
  const absl::Status& status() const { return status_; }

 private:
  // One caller of Submit(); lives in its frame.
  struct Waiting {
    KvBatch batch;
    bool sync;
    bool done = false;
    absl::Status status;
  };
  // Commits the front of the line for everyone in it.
  Task<void> CommitGroup();

  KvWriteSink& sink_;
  absl::Status status_;
  bool committing_ = false;
  std::deque<Waiting*> line_;
  Event turn_;
  Gate gate_;
};

}  // namespace millrace
