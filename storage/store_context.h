// StoreContext: what the logs of one shard share, lent to the parts of the storage engine by
// LogStore. For the storage folder only.
//
// Shard:    one.
// Lifetime: owned by LogStore; outlives every log.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/env.h"
#include "common/runtime/event.h"
#include "common/runtime/semaphore.h"
#include "storage/cold_chunks.h"
#include "storage/fd_cache.h"
#include "storage/kv/kv_store.h"
#include "storage/log.h"
#include "storage/log_metrics.h"
#include "storage/log_state.h"
#include "storage/log_store.h"
#include "storage/producer/producer_ledger.h"
#include "storage/producer/producer_state.h"
#include "storage/tail_cache.h"

namespace millrace {

class DeferredRemovals;
class LogCleaner;
class Retention;
class ProducerExpiry;
class SegmentWriter;

struct StoreContext {
  StoreContext(Env& environment, KvStore& store, const LogStoreOptions& store_options)
      : env(environment),
        kv(store),
        options(store_options),
        files(env.reactor, env.disk, options.open_files_max),
        cache(options.tail_cache_bytes_max -
                  ColdChunkBytes(options.tail_cache_bytes_max, options.cold_read_bytes),
              options.copy_bytes_below),
        cold_chunks(ColdChunkBytes(options.tail_cache_bytes_max, options.cold_read_bytes)),
        pending(env.reactor, options.pending_bytes_max),
        producers(std::max(options.producer_bytes_max / kProducerBytes, size_t{1})),
        io_unlocked(env.reactor) {}

  Env& env;
  KvStore& kv;
  const LogStoreOptions options;
  LogMetrics metrics;
  FdCache files;
  TailCache cache;
  ColdChunks cold_chunks;
  ByteBudget pending;        // Appended and not yet in segment files.
  ProducerLedger producers;  // Of all logs together.
  Event io_unlocked;         // Pulsed whenever some log's IoLock is released.
  SegmentWriter* writer = nullptr;
  ProducerExpiry* expiry = nullptr;
  Retention* retention = nullptr;
  LogCleaner* cleaner = nullptr;
  DeferredRemovals* removals = nullptr;
  std::vector<LogDirectory*> directories;
  // Takes a directory offline with every log in it.
  std::function<void(LogDirectory&, const absl::Status&)> fail_directory;
  // What LogStore has: a log or null; all of them in order.
  std::function<Log*(const TopicPartitionId&)> find_log;
  std::function<std::vector<TopicPartitionId>()> list_logs;
  uint64_t next_log_number = 1;
};

// Holds a log's files. Take it with `IoLock lock = co_await LockIo(state)`.
class IoLock {
 public:
  IoLock() = default;
  explicit IoLock(Log::State& state) : state_(&state) { state.io_locked = true; }
  IoLock(IoLock&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  IoLock& operator=(IoLock&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~IoLock() {
    if (state_ == nullptr) return;
    state_->io_locked = false;
    state_->context.io_unlocked.Pulse();
  }

  explicit operator bool() const { return state_ != nullptr; }

 private:
  Log::State* state_ = nullptr;
};

// REQUIRES: the caller is inside state.gate until it has let go.
Task<IoLock> LockIo(Log::State& state);  // Borrowed: awaited in place.

// Returns in a turn in which what `state` says of its files is what they are. REQUIRES: as LockIo().
Task<void> WaitForSwap(Log::State& state);  // Borrowed: awaited in place.

}  // namespace millrace
