// KvStore: small ordered keys and values that survive: metadata records, the Raft log and vote,
// checkpoints of logs. RocksDB in production (kv_store_rocksdb.h), a write-ahead log over the
// simulated disk in the simulator (log_kv_store.h); one contract suite runs on both.
//
// Shard:      one; other shards ask it by message. Blocking work happens elsewhere, callers wait.
// Lifetime:   Close() must have finished before destruction (CHECKed).
// Units:      keys are non-empty and at most kKvKeyBytesMax bytes, values at most
//             kKvValueBytesMax; keys order as unsigned bytes. REQUIRED, and CHECKed.
// Errors:     kDataLoss: the store's files are corrupt. kResourceExhausted: disk full.
//             kUnavailable: closed, or other. A failed write is final: all later writes fail with
//             its status, because what reached the disk is unknown; reads still work.
// Durability: Write() with sync, and Flush(), return when their batch and every batch given before
//             are on the disk. Without sync a batch survives the process, not power loss; after
//             power loss the batches that survive are a prefix of those given.
// Order:      batches take effect in the order of the calls, each wholly or not at all; a read
//             sees every batch whose Write() has returned, and may see later ones.
// Source:     docs/storage.md, KvStore.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/runtime/task.h"

namespace millrace {

// Who owns a key: the first byte of the stored key. Numbers are never reused.
enum class KvSpace : uint8_t {
  kNode = 1,           // Facts about this node: ids, format version, clean-shutdown marks.
  kRaftState = 2,      // Term, vote, commit index, membership.
  kRaftLog = 3,        // Raft entries by index (big-endian).
  kRaftSnapshot = 4,   // The metadata snapshot in pieces.
  kLogCheckpoint = 5,  // Recovery point per replica.
  kLogState = 6,       // Producer state and the like at the recovery point.
  kHighWatermark = 7,  // Per replica that is not alone.
  kTest = 255,
};

inline constexpr size_t kKvKeyBytesMax = 1024;
inline constexpr size_t kKvValueBytesMax = size_t{64} << 20;

// Changes that happen together. A value; later operations on a key override earlier ones.
class KvBatch {
 public:
  enum class Op : uint8_t { kPut = 1, kDelete = 2, kDeleteRange = 3 };
  struct Change {
    Op op;
    std::string key;    // With the space's byte in front.
    std::string value;  // kDeleteRange: the end of the range, likewise prefixed.
  };

  void Put(KvSpace space, std::string_view key, std::string_view value);
  // Ok when absent.
  void Delete(KvSpace space, std::string_view key);
  // Every key of [begin, end); without `end` to the end of the space.
  void DeleteRange(KvSpace space, std::string_view begin, std::optional<std::string_view> end);
  // Appends the changes of `other`.
  void Append(KvBatch other);

  bool empty() const { return changes_.empty(); }
  size_t bytes() const { return bytes_; }
  const std::vector<Change>& changes() const { return changes_; }

 private:
  std::vector<Change> changes_;
  size_t bytes_ = 0;  // Keys and values together.
};

struct KvEntry {
  std::string key;  // Without the space's byte.
  std::string value;
};

// A piece of a scan. `next_key` is where the next piece begins; nothing when this was the last.
struct KvPage {
  std::vector<KvEntry> entries;
  std::optional<std::string> next_key;
};

// What to scan: keys in [begin, end) of one space, in order.
struct KvRange {
  KvSpace space;
  std::string begin;               // Empty: from the first.
  std::optional<std::string> end;  // Nothing: to the end of the space.

  // All keys that start with `prefix`.
  static KvRange Prefix(KvSpace space, std::string_view prefix);
};

struct KvWriteOptions {
  bool sync = true;
};

class KvStore {
 public:
  virtual ~KvStore() = default;

  // Nothing when absent.
  virtual Task<absl::StatusOr<std::optional<std::string>>> Get(KvSpace space, std::string key) = 0;

  // At least one entry (where there is one), then more while they are within both bounds.
  virtual Task<absl::StatusOr<KvPage>> Scan(KvRange range, size_t entries_max,
                                            size_t bytes_max) = 0;

  virtual Task<absl::Status> Write(KvBatch batch, KvWriteOptions options) = 0;

  // Makes every batch given so far durable.
  virtual Task<absl::Status> Flush() = 0;

  // Waits for the writes that were given, makes them durable, and closes the files.
  virtual Task<absl::Status> Close() = 0;

  // The whole range by pieces of about 1 MiB. For ranges that are known to be small.
  Task<absl::StatusOr<std::vector<KvEntry>>> ScanAll(KvRange range);
};

}  // namespace millrace
