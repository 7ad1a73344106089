// LogKvStore: a KvStore that is a write-ahead log over Disk and a map in memory. For the simulator,
// where RocksDB with its threads and its own files cannot go; it keeps the same promises, so that a
// vote that was given before its sync is found.
//
//   file   := record*                  kv-<n>.log; the highest n counts
//   record := header (32 bytes) change*
//
// The first records of a file are a snapshot (everything the store held), complete and synced
// before the file got its name; then come batches, one record each. header, big-endian: magic
// "MRKV" u32, crc u32, payload bytes u32, kind u8 (1 snapshot, 2 end of snapshot, 3 batch), format
// u8, two zero bytes, sequence u64 (1, 2, ... within the file), synced bytes u64. The CRC-32C
// covers the header behind itself and the payload. change: op u8, key bytes u32, value bytes u32,
// key, value.
//
// A torn tail in steps:
//   1. Batches 7, 8 and 9 are written without sync. Power fails; sectors of 7 and 9 survive, 8 not.
//   2. Opening cuts the file in front of 8: what survives is a prefix, 9 is dropped although whole.
//   3. Were 8 synced, a later record would say so in "synced bytes", or nothing came after it. A
//      whole record that says that the place of the cut was synced means rot: kDataLoss, no cut.
//
// A sync that failed in steps:
//   1. The sync of batch 7 fails. The process ends, and is started again on the running machine:
//      the kernel shows 7, but the medium does not have it and no later sync would write it.
//   2. Opening writes what it keeps once more, then syncs. Without that, batch 8 would say that 7
//      was synced, and a power loss would make rot of it.
//
// Shard, Lifetime, Errors, Durability, Order: as KvStore. `env` must outlive it.
// Bounds:   memory: everything it holds. Disk: a file is replaced by a snapshot when it is larger
//           than twice what it holds plus Options::compact_bytes_min.
// Source:   docs/storage.md, KvStore.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/bytes/slice.h"
#include "common/env.h"
#include "common/runtime/gate.h"
#include "storage/kv/kv_store.h"
#include "storage/kv/kv_store_queue.h"

namespace millrace {

class LogKvStore final : public KvStore, private KvWriteSink {
 public:
  struct Options {
    // Smaller: less to read when opening; larger: fewer rewrites.
    uint64_t compact_bytes_min = uint64_t{256} << 10;
    // A file larger than this is not read: kOutOfRange.
    uint64_t bytes_max = uint64_t{1} << 30;
  };

  // Opens the store in `directory`, which is created when absent (its parent exists, durably).
  static Task<absl::StatusOr<std::unique_ptr<LogKvStore>>> Open(Env& env, std::string directory,
                                                                Options options);
  LogKvStore(const LogKvStore&) = delete;
  LogKvStore& operator=(const LogKvStore&) = delete;
  ~LogKvStore() override;

  Task<absl::StatusOr<std::optional<std::string>>> Get(KvSpace space, std::string key) override;
  Task<absl::StatusOr<KvPage>> Scan(KvRange range, size_t entries_max, size_t bytes_max) override;
  Task<absl::Status> Write(KvBatch batch, KvWriteOptions options) override;
  Task<absl::Status> Flush() override;
  Task<absl::Status> Close() override;

  // How often the file was replaced; for tests.
  uint64_t compactions() const { return compactions_; }

 private:
  LogKvStore(Env& env, std::string directory, Options options);

  Task<absl::Status> Load();
  // Reads file `number`; afterwards it is open and its torn end is cut off.
  Task<absl::Status> LoadFile(uint64_t number);
  // Applies the whole records of `content`; where they end.
  absl::StatusOr<uint64_t> ReplayRecords(const Slice& content, const std::string& path);
  // Writes everything to the next file and goes on there.
  Task<absl::Status> Compact();
  Task<absl::Status> WriteSnapshot(File& file);  // Borrowed: awaited in place.
  Task<absl::Status> Commit(std::vector<KvBatch> batches, bool sync) override;
  Task<absl::Status> Append(std::vector<KvBatch> batches, bool sync);
  void Apply(const KvBatch::Change& change);
  std::string PathOf(uint64_t number) const;

  // Constant after construction.
  const std::string directory_;
  const Options options_;

  // Borrowed.
  Env& env_;

  // Owned.
  std::unique_ptr<File> file_;
  std::map<std::string, std::string> map_;

  // State.
  uint64_t number_ = 0;         // Of the file; 0: none yet.
  uint64_t next_sequence_ = 1;  // Within the file.
  uint64_t file_bytes_ = 0;
  uint64_t synced_bytes_ = 0;  // Of the file.
  uint64_t held_bytes_ = 0;    // Keys and values in the map.
  uint64_t compactions_ = 0;
  KvWriteQueue queue_;
  Gate reads_;
};

}  // namespace millrace
