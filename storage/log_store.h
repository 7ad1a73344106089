// LogStore: all logs of one shard, with what they share: log directories, journal, tail cache, open
// files, the writer behind, recovery.
//
// A directory holds Kafka's layout and, while the store runs, a journal per shard
// (`journal-<shard>`):
//   meta.properties  .lock  .kafka_cleanshutdown
//   <topic>-<partition>/{*.log,*.index,*.timeindex,*.snapshot,
//   leader-epoch-checkpoint,partition.metadata}  <topic>-<partition>.<id>-delete
// After Stop() it is plain Kafka: everything in segments and synced, the journal empty, Kafka's
// checkpoint files written. What Kafka rewrites on a timer is kept in the KvStore as one record per
// changed log.
//
// Shard:      one store per shard; every method runs there. A partition belongs to one shard.
// Lifetime:   `env` and `kv` must outlive it. Stop() must have finished before destruction
// (CHECKed), also
//             after a failed Start().
// Units:      bytes, milliseconds where the name says so.
// Errors:     kFailedPrecondition: a directory is locked by another process, unformatted, damaged,
// or
//             belongs to another cluster or node. kUnavailable: no directory is online.
//             kResourceExhausted: disk full.
// Offline:    a directory that cannot be read or written, at start or later, goes offline with its
//             logs, for good; the others go on (Kafka's JBOD). Only when none is left does Start()
//             fail. Who asks for a log there gets kStorageError.
// Durability: as Log says. The order that keeps it: segment synced -> recovery point synced ->
// journal
//             recycled.
// Bounds:     bytes appended and not yet in segment files <= pending_bytes_max (Admit() waits);
// bytes kept
//             for readers beyond that <= tail_cache_bytes_max; open files <= open_files_max;
//             producers that are remembered <= producer_bytes_max.
// Source:     docs/storage.md.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/cancellation.h"
#include "common/runtime/semaphore.h"
#include "common/runtime/task.h"
#include "storage/log.h"
#include "storage/segment/log_config.h"

namespace millrace {

class KvStore;
class MetricRegistry;

// Of one shard. All but `enabled` may change while it runs (LogStore::SetCleaner()).
struct CleanerOptions {
  bool enabled = true;
  // For the map of keys, while a log is compacted. Raise: more of a log is compacted at once.
  size_t map_bytes_max = size_t{128} << 20;
  double map_load = 0.9;  // How full it may become; above 0, at most 1.
  // What is read and written at a time. Raise: fewer, larger calls; costs a few times as much.
  size_t buffer_bytes = 512 << 10;
  // Read and written together; 0: no bound. Lower: who shares the disk notices it less.
  uint64_t bytes_per_second = 0;
  // How often logs are looked for when there was nothing to do.
  milliseconds backoff{15'000};
  friend bool operator==(const CleanerOptions&, const CleanerOptions&) = default;
};

struct LogStoreOptions {
  // Each must have been formatted (FormatLogDirectory, log_directory.h). REQUIRES: not empty.
  std::vector<std::string> log_dirs;
  // Compared with meta.properties. An id that is absent is not compared.
  std::optional<std::string> cluster_id;
  std::optional<BrokerId> node_id;

  // This store's place among the shards of the process. Shard 0 locks the directories and keeps the
  // clean mark, so it starts first and stops last.
  ShardId shard{0};
  uint32_t shards = 1;
  // For shards other than 0, which does not leave the marks for them to read: what it found.
  std::vector<bool> clean_directories{};

  // Raise: longer bursts are absorbed before producers wait. Costs that much memory, and as long a
  // replay.
  size_t pending_bytes_max = 48 << 20;
  // Raise: consumers further behind are served from memory. Small by default: the page cache has it
  // too.
  size_t tail_cache_bytes_max = 32 << 20;
  // A log's bytes are written to its segment once there are so many ...
  size_t segment_write_bytes = 1 << 20;
  // ... or once the oldest is this old.
  milliseconds segment_write_age{1000};
  // A log's segments are synced and its recovery point moves at least this long after a write, and
  // sooner when the journal fills. Raise: fewer syncs; costs a longer scan and replay after a
  // crash.
  milliseconds checkpoint_age{10'000};
  // So many logs at a time. Raise: they share more of what syncing costs; each waits for more others.
  size_t checkpoints_max = 16;
  // How often old segments are looked for, and how long after Start() for the first time.
  milliseconds retention_check_interval{300'000};
  milliseconds retention_initial_delay{30'000};
  // What a journal may grow to. Raise: fewer checkpoints under load; costs disk and a longer
  // replay.
  uint64_t journal_bytes_max = uint64_t{256} << 20;
  // For what all logs together remember of idempotent producers; beyond it those go that have been
  // silent for longest. Raise: a producer that pauses is still known when it sends a batch again.
  size_t producer_bytes_max = 16 << 20;
  // How often a log is looked at for idle producers, at most. Raise: less work; they stay longer.
  milliseconds producer_check_interval{600'000};
  // One read from disk for a consumer that is behind.
  size_t cold_read_bytes = 512 << 10;
  // Batches smaller than this, or much smaller than the buffer they came in, are copied on append,
  // so that they do not pin it.
  size_t copy_bytes_below = 32 << 10;
  size_t open_files_max = 512;
  // Of log_dirs, or "*": they take no new logs.
  std::vector<std::string> cordoned_dirs;
  // A log that moves to another directory is copied at most this fast; 0: as fast as it goes.
  uint64_t move_bytes_per_second = uint64_t{64} << 20;
  // How fast all that is on disk is read and compared with its checksums; 0: never. Raise: rot is
  // found sooner. Costs that much of the disk's bandwidth, and about 0.1 CPU seconds per GB.
  uint64_t scrub_bytes_per_second = uint64_t{1} << 20;
  // Between the beginnings of two rounds, and from the start to the first.
  Duration scrub_interval = std::chrono::hours(24 * 7);
  Duration scrub_delay = seconds(60);

  // Whether logs are compacted, and what that may take.
  CleanerOptions cleaner;

  // Called when a directory has gone offline, once for each, also at start and from TakeOffline().
  // With several shards the others must be told, at the start before any of them is started: shard
  // 0 discards the journals of directories that it takes for sound.
  std::function<void(const std::string& path, const absl::Status& cause)> on_offline;
  // Called when a directory has no room any more for what this store's logs append, and when it has
  // again. At most about once a second each.
  std::function<void(const std::string& path, bool full)> on_full;

  // A durable write that takes so long is slow, and a directory where most are is reported
  // (write_pace.h); 0: none is. Raise: only worse disks are. Lower: busy ones are, too.
  Duration slow_write = milliseconds(500);
  // Called when the durable writes of this store's logs in a directory have become slow, and when
  // they are so no longer.
  std::function<void(const std::string& path, bool slow)> on_slow;

  absl::Status Validate() const;
};

// Memory granted for an append. Gives back what was not taken when it is destroyed.
class Admission {
 public:
  Admission() = default;
  Admission(ByteBudget& budget, size_t bytes) : budget_(&budget), bytes_(bytes) {}
  Admission(Admission&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Admission& operator=(Admission&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Admission() {
    if (bytes_ > 0) budget_->Release(bytes_);
  }
  size_t bytes() const { return bytes_; }
  // Adds what `more` was granted. REQUIRES: both are of one store.
  void Add(Admission more) {
    if (budget_ == nullptr) budget_ = more.budget_;
    bytes_ += std::exchange(more.bytes_, 0);
  }
  // Moves `bytes` to the log, which releases them once they are in the segment. REQUIRES: so many
  // left.
  void Take(size_t bytes);

 private:
  ByteBudget* budget_ = nullptr;
  size_t bytes_ = 0;
};

struct LogDirectoryStatus {
  std::string path;
  std::optional<DirectoryId> id;
  absl::Status failure;  // OK while online.
  bool cordoned = false;
};

// A log to be made.
struct NewLog {
  TopicPartitionId id;
  std::string topic;
  LogConfig config;
};

// A copy that will replace the log when it has caught up (LogStore::Move()).
struct FutureReplica {
  TopicPartitionId id;
  std::string directory;
  uint64_t size_bytes;
  Offset end;  // Everything below was copied.
};

// The shard that a partition's log belongs to.
ShardId ShardOf(const TopicPartitionId& id, uint32_t shards);

class LogStore {
 public:
  LogStore(Env& env, KvStore& kv, LogStoreOptions options);
  ~LogStore();
  LogStore(const LogStore&) = delete;
  LogStore& operator=(const LogStore&) = delete;

  // Locks the directories and brings every log of this shard back: after a clean stop nothing is
  // scanned; otherwise each is scanned past its recovery point, the torn tail cut, and the journals
  // are replayed in order. Returns when all logs may be appended to.
  // With several shards: Lock() shard 0's and give its clean_directories() to the others' options;
  // then Recover() every store; then Start() shard 0's; then the rest: a journal may hold entries
  // of any shard, and is discarded when all have theirs.
  Task<absl::Status> Start();
  Task<absl::Status> Recover();
  // Checks and locks the directories and takes their clean marks; Recover() does it where this was
  // not called.
  Task<absl::Status> Lock();
  // Which of log_dirs were stopped cleanly, in their order. REQUIRES: Lock().
  std::vector<bool> clean_directories() const;

  // Refuses new work, writes and syncs everything, empties the journal and leaves the clean mark.
  // The caller has stopped appending and reading. An error means that the next start recovers.
  // Directories that were offline before are no error, while another one is online. With several
  // shards shard 0's stops last, and leaves the mark only where `others` (what the other stores'
  // stops came to) is OK.
  Task<absl::Status> Stop(absl::Status others = absl::OkStatus());

  // The log of `id`. With `create` it is made when absent, as by CreateAll(); otherwise kNotFound.
  // Errors: kAlreadyExists: another topic id has the folder <topic>-<partition> (a stray: SetAside()
  // it). kStorageError: it exists in a directory that is offline (and is not made anew), or no
  // directory is online.
  Task<absl::StatusOr<Log*>> Open(TopicPartitionId id, std::string topic, LogConfig config,
                                  bool create);

  // Makes those of `logs` that are absent, each in the directory with the fewest logs; what Open()
  // would say of each, in their order. They exist durably when it returns.
  Task<std::vector<absl::Status>> CreateAll(std::vector<NewLog> logs);

  // Null when this shard has no such log.
  Log* Find(const TopicPartitionId& id);

  // Every log, in order of its id: after Start(), what was found on disk, strays included.
  std::vector<Log*> Logs();

  // The log is gone when this returns (its folder renamed, durably); its files are removed after
  // file_delete_delay_ms. kNotFound when there is none.
  Task<absl::Status> Delete(TopicPartitionId id);

  // The log is not served any more when this returns, and its folder, complete, has a name that ends
  // in `-stray`: a person decides what becomes of it. kNotFound when there is none.
  Task<absl::Status> SetAside(TopicPartitionId id);

  // Moves the log to another of the directories, while it is used: returns when the copying has
  // begun. To where it is ends a move. Errors: kNotFound: no such log. kStorageError: either
  // directory is offline, or the log cannot be put there. REQUIRES: one of log_dirs.
  Task<absl::Status> Move(TopicPartitionId id, std::string directory);
  std::vector<FutureReplica> Futures() const;
  // When a log of that name is made, it is made there. False when too many are remembered already.
  bool PreferDirectory(std::string topic, PartitionId partition, std::string directory);

  // From the next piece of work on; `enabled` stays as it was at the start.
  void SetCleaner(const CleanerOptions& options);

  // `registry` must not ask any more when Stop() begins.
  void RegisterMetrics(MetricRegistry& registry);

  // Waits until `bytes` more may be pending; take it before Append(), once per request.
  // Errors: kCancelled.
  Task<absl::StatusOr<Admission>> Admit(size_t bytes, CancellationToken token);
  // The same for bytes that go into `logs` alone: what lies in other directories, whose journals may
  // be behind, does not hold them up.
  Task<absl::StatusOr<Admission>> AdmitInto(std::vector<TopicPartitionId> logs, size_t bytes,
                                            CancellationToken token);
  // The same without waiting; nothing when it would have to.
  std::optional<Admission> TryAdmit(size_t bytes);

  std::vector<LogDirectoryStatus> directories() const;
  // Why the log of `id`, which was not loaded, cannot be: kStorageError, its directory is offline.
  // OK when nothing is known of such a log.
  absl::Status OfflineCause(const TopicPartitionId& id) const;
  // The metadata has the log of `id` in the directory `assigned`. Where none was loaded and nothing
  // here remembers one, because the checkpoints are gone, and that directory may be one of those
  // that are offline: OfflineCause() says so from now on, and Open() does not make it anew.
  void NoteAssigned(const TopicPartitionId& id, const std::string& topic,
                    const DirectoryId& assigned);
  // Another shard has found that the directory cannot be used. May come before Recover().
  void TakeOffline(const std::string& path, const absl::Status& cause);

  // Whether the last stop was clean, for one log line.
  bool was_clean() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace
