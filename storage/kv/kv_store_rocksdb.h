// RocksDbKvStore: a KvStore on RocksDB, tuned to be small: metadata is megabytes, not gigabytes.
//
// The one place that knows RocksDB (with its .cc). It has threads and files of its own, outside the
// injected world: production and its own tests use it, the simulator uses LogKvStore.
//
// Shard, Errors, Durability, Order: as KvStore. Its calls block, so they run on the helper pool.
// Lifetime: `env` must outlive it.
// Errors:   Open() also: kFailedPrecondition when another process has the directory open.
// Bounds:   memory: two write buffers of Options::write_buffer_bytes and the block cache; files
//           open: 64.
// Source:   docs/storage.md, KvStore.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <memory>
#include <string>

#include "common/env.h"
#include "common/runtime/task.h"
#include "storage/kv/kv_store.h"

namespace millrace {

struct RocksDbOptions {
  // Larger: fewer, larger files; more memory, and more to replay after a crash.
  size_t write_buffer_bytes = size_t{2} << 20;
  // Larger: reads of what is not in the write buffer touch the files less often.
  size_t block_cache_bytes = size_t{2} << 20;
  // Logs grow ahead of their records: kv_store_rocksdb_files.h. False: as RocksDB has it by itself, to
  // compare with.
  bool logs_grow_ahead = true;
};

// Opens the store in `directory`, which is created when absent (its parent exists).
Task<absl::StatusOr<std::unique_ptr<KvStore>>> OpenRocksDb(Env& env, std::string directory,
                                                           RocksDbOptions options);

}  // namespace millrace
