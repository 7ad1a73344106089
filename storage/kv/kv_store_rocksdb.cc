#include "storage/kv/kv_store_rocksdb.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/runtime/gate.h"
#include "common/status_macros.h"
#include "storage/kv/kv_store_keys.h"
#include "storage/kv/kv_store_queue.h"
#include "storage/kv/kv_store_rocksdb_files.h"
#include "storage/kv/kv_store_rocksdb_logger.h"
#include "storage/kv/kv_store_rocksdb_wal.h"

namespace millrace {
namespace {

absl::Status ToStatus(const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  std::string text = fmt::format("key-value store: {}", status.ToString());
  if (status.IsCorruption()) return absl::DataLossError(std::move(text));
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(std::move(text));
  if (status.IsNotFound() || status.IsPathNotFound()) return absl::NotFoundError(std::move(text));
  if (status.IsNotSupported()) return absl::UnimplementedError(std::move(text));
  return absl::UnavailableError(std::move(text));
}

// Opening alone tells "somebody else has it" only in its text.
absl::Status ToOpenStatus(const rocksdb::Status& status) {
  absl::Status converted = ToStatus(status);
  if (status.IsIOError() && status.ToString().find("lock") != std::string::npos) {
    return absl::FailedPreconditionError(std::string(converted.message()));
  }
  return converted;
}

rocksdb::Options ToRocksOptions(const RocksDbOptions& options,
                                std::shared_ptr<RocksDbLogger> logger) {
  rocksdb::Options to;
  to.create_if_missing = true;
  to.write_buffer_size = options.write_buffer_bytes;
  to.max_write_buffer_number = 2;
  to.arena_block_size = size_t{64} << 10;
  to.max_total_wal_size = 4 * options.write_buffer_bytes;
  to.target_file_size_base = uint64_t{4} << 20;
  to.max_background_jobs = 2;
  to.max_open_files = 64;
  to.max_file_opening_threads = 1;
  to.max_manifest_file_size = size_t{4} << 20;
  to.compression = rocksdb::kNoCompression;  // Small, and read at start: time counts more.
  // After power loss unsynced writes may have left a hole: replay ends there, a prefix. A synced
  // log that is missing or short is found through the manifest, rot in one by CheckLogs().
  to.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  to.track_and_verify_wals_in_manifest = true;
  // What was replayed goes into a table, synced, before anything is built upon it. Otherwise it would
  // stay in the old log, which nobody syncs again: a killed process may have left it unsynced, or
  // its sync failed, and a later power loss would take what this life answered for.
  to.avoid_flush_during_recovery = false;
  to.info_log_level = logger->GetInfoLogLevel();
  to.info_log = std::move(logger);
  // No thread wakes up for statistics: an idle node is idle.
  to.stats_dump_period_sec = 0;
  to.stats_persist_period_sec = 0;
  to.skip_stats_update_on_db_open = true;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes, /*num_shard_bits=*/0);
  table.cache_index_and_filter_blocks = true;
  to.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return to;
}

rocksdb::Slice ToSlice(const std::string& text) { return {text.data(), text.size()}; }

// The blocking parts. Called on a helper thread; a rocksdb::DB may be used from any.

absl::Status WriteBlocking(rocksdb::DB* db, const std::vector<KvBatch>& batches, bool sync,
                           const std::string& mark) {
  rocksdb::WriteBatch all;
  rocksdb::Status marked = all.PutLogData(ToSlice(mark));
  if (!marked.ok()) return ToStatus(marked);
  for (const KvBatch& batch : batches) {
    for (const KvBatch::Change& change : batch.changes()) {
      rocksdb::Status status;
      switch (change.op) {
        case KvBatch::Op::kPut:
          status = all.Put(ToSlice(change.key), ToSlice(change.value));
          break;
        case KvBatch::Op::kDelete:
          status = all.Delete(ToSlice(change.key));
          break;
        case KvBatch::Op::kDeleteRange:
          // RocksDB refuses a range that is the wrong way round; for us it is empty.
          if (change.key < change.value) {
            status = all.DeleteRange(ToSlice(change.key), ToSlice(change.value));
          }
          break;
      }
      if (!status.ok()) return ToStatus(status);
    }
  }
  if (all.Count() == 0) {
    if (!sync) return absl::OkStatus();
    // Not SyncWAL(): beside the removal of an old log it makes this release forget one in the
    // manifest, and refuse the next start (RocksDB #10892). Byte 0 is no KvSpace.
    const rocksdb::Status put = all.Put(rocksdb::Slice("\0sync", 5), rocksdb::Slice());
    if (!put.ok()) return ToStatus(put);
  }
  rocksdb::WriteOptions options;
  options.sync = sync;
  return ToStatus(db->Write(options, &all));
}

absl::StatusOr<std::optional<std::string>> GetBlocking(rocksdb::DB* db, const std::string& key) {
  std::string value;
  const rocksdb::Status status = db->Get(rocksdb::ReadOptions(), ToSlice(key), &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return ToStatus(status);
  return std::optional<std::string>(std::move(value));
}

absl::StatusOr<KvPage> ScanBlocking(rocksdb::DB* db, const KvStoredRange& range, size_t entries_max,
                                    size_t bytes_max) {
  KvPage page;
  if (range.begin >= range.end) return page;
  rocksdb::ReadOptions options;
  const rocksdb::Slice end = ToSlice(range.end);
  options.iterate_upper_bound = &end;
  const std::unique_ptr<rocksdb::Iterator> at(db->NewIterator(options));
  size_t bytes = 0;
  for (at->Seek(ToSlice(range.begin)); at->Valid(); at->Next()) {
    std::string key(at->key().data() + 1, at->key().size() - 1);
    bytes += key.size() + at->value().size();
    if (!page.entries.empty() && (page.entries.size() >= entries_max || bytes > bytes_max)) {
      page.next_key = std::move(key);
      break;
    }
    page.entries.push_back({std::move(key), at->value().ToString()});
  }
  if (!at->status().ok()) return ToStatus(at->status());
  return page;
}

struct Opened {
  absl::Status status;
  std::unique_ptr<rocksdb::Env> files;  // Null: RocksDB's own. Outlives `db`.
  std::unique_ptr<rocksdb::DB> db;
  std::string identity;
};

class RocksDbKvStore final : public KvStore, private KvWriteSink {
 public:
  RocksDbKvStore(Env& env, Opened opened)
      : env_(env),
        files_(std::move(opened.files)),
        db_(std::move(opened.db)),
        identity_(std::move(opened.identity)),
        synced_through_(db_->GetLatestSequenceNumber()),
        queue_(env.reactor, *this),
        reads_(env.reactor) {}
  RocksDbKvStore(const RocksDbKvStore&) = delete;
  RocksDbKvStore& operator=(const RocksDbKvStore&) = delete;
  ~RocksDbKvStore() override { MR_CHECK(db_ == nullptr); }

  // In these the gate keeps `db` open until the helper is done.
  Task<absl::StatusOr<std::optional<std::string>>> Get(KvSpace space, std::string key) override {
    Gate::Holder hold = reads_.TryEnter();
    if (!hold) co_return absl::UnavailableError("the key-value store is closed");
    co_return co_await env_.helpers.Call<absl::StatusOr<std::optional<std::string>>>(
        [db = db_.get(), stored = KvStoredKey(space, key)] { return GetBlocking(db, stored); });
  }

  Task<absl::StatusOr<KvPage>> Scan(KvRange range, size_t entries_max, size_t bytes_max) override {
    Gate::Holder hold = reads_.TryEnter();
    if (!hold) co_return absl::UnavailableError("the key-value store is closed");
    co_return co_await env_.helpers.Call<absl::StatusOr<KvPage>>(
        [db = db_.get(), stored = StoredRange(range), entries_max, bytes_max] {
          return ScanBlocking(db, stored, entries_max, bytes_max);
        });
  }

  Task<absl::Status> Write(KvBatch batch, KvWriteOptions options) override {
    return queue_.Submit(std::move(batch), options.sync);
  }

  Task<absl::Status> Flush() override { return queue_.Submit(KvBatch(), /*sync=*/true); }

  Task<absl::Status> Close() override {
    absl::Status status;
    if (db_ != nullptr && queue_.status().ok()) status = co_await Flush();
    co_await queue_.Close();
    co_await reads_.Close();
    if (db_ == nullptr) co_return status;
    const absl::Status closed = co_await env_.helpers.Call<absl::Status>(
        [db = std::move(db_)]() mutable { return ToStatus(db->Close()); });
    status.Update(closed);
    co_return status;
  }

 private:
  Task<absl::Status> Commit(std::vector<KvBatch> batches, bool sync) override {
    absl::Status status = co_await env_.helpers.Call<absl::Status>(
        [db = db_.get(), batches = std::move(batches), sync,
         mark = KvSyncMark(identity_, synced_through_)] {
          return WriteBlocking(db, batches, sync, mark);
        });
    if (status.ok() && sync) synced_through_ = db_->GetLatestSequenceNumber();
    co_return status;
  }

  Env& env_;
  const std::unique_ptr<rocksdb::Env> files_;
  std::unique_ptr<rocksdb::DB> db_;
  const std::string identity_;
  // What opening replayed is in synced tables.
  uint64_t synced_through_;
  KvWriteQueue queue_;
  Gate reads_;
};

// Refuses a store whose log lost what had been synced. Says so before anything is written: opening
// would replay what is in front of the damage, and remove the evidence with the log.
absl::Status CheckLogs(const std::string& directory, const rocksdb::Options& options) {
  rocksdb::Env* env = rocksdb::Env::Default();
  // Or a log would be judged that another process is writing, or just replaces.
  rocksdb::FileLock* lock = nullptr;
  if (env->FileExists(directory + "/CURRENT").ok()) {
    const rocksdb::Status locked = env->LockFile(directory + "/LOCK", &lock);
    if (!locked.ok()) return ToOpenStatus(locked);
  }
  const auto unlock = [env](rocksdb::FileLock* held) { (void)env->UnlockFile(held); };
  const std::unique_ptr<rocksdb::FileLock, decltype(unlock)> held(lock, unlock);
  std::string identity;
  std::vector<std::string> names;
  if (!rocksdb::ReadFileToString(env, directory + "/IDENTITY", &identity).ok()) {
    return absl::OkStatus();
  }
  if (!env->GetChildren(directory, &names).ok()) return absl::OkStatus();
  std::string damaged;
  uint64_t synced_through = 0;
  for (const std::string& name : names) {
    if (!name.ends_with(".log")) continue;
    std::string file;
    const rocksdb::Status read = rocksdb::ReadFileToString(env, directory + "/" + name, &file);
    if (!read.ok()) return ToStatus(read);
    const KvWalScan scan =
        ScanKvWal({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, identity);
    if (scan.damaged) damaged = name;
    synced_through = std::max(synced_through, scan.synced_through);
  }
  if (damaged.empty()) return absl::OkStatus();
  rocksdb::DB* db = nullptr;
  const rocksdb::Status opened = rocksdb::DB::OpenForReadOnly(options, directory, &db);
  if (!opened.ok()) return ToOpenStatus(opened);
  const std::unique_ptr<rocksdb::DB> reader(db);
  if (reader->GetLatestSequenceNumber() >= synced_through) return absl::OkStatus();  // A torn end.
  return absl::DataLossError(fmt::format(
      "key-value store: {}/{} is damaged: change {} and before were synced, but only those through "
      "{} can be read",
      directory, damaged, synced_through, reader->GetLatestSequenceNumber()));
}

Opened OpenBlocking(const std::string& directory, const RocksDbOptions& options,
                    std::shared_ptr<RocksDbLogger> logger) {
  rocksdb::Options rocks = ToRocksOptions(options, std::move(logger));
  std::unique_ptr<rocksdb::Env> files;
  if (options.logs_grow_ahead) {
    files = RocksDbEnvWithLogsAhead();
    rocks.env = files.get();
  }
  absl::Status intact = CheckLogs(directory, rocks);
  if (!intact.ok()) return {std::move(intact), nullptr, nullptr, ""};
  rocksdb::DB* db = nullptr;
  rocksdb::Status status = rocksdb::DB::Open(rocks, directory, &db);
  Opened opened{ToOpenStatus(status), std::move(files), std::unique_ptr<rocksdb::DB>(db), ""};
  if (status.ok()) opened.status = ToStatus(db->GetDbIdentity(opened.identity));
  return opened;
}

}  // namespace

Task<absl::StatusOr<std::unique_ptr<KvStore>>> OpenRocksDb(
    Env& env,  // NOLINT(cppcoreguidelines-avoid-reference-coroutine-parameters): outlives us.
    std::string directory, RocksDbOptions options) {
  Opened opened = co_await env.helpers.Call<Opened>(
      [directory, options, logger = std::make_shared<RocksDbLogger>(env.logger)] {
        return OpenBlocking(directory, options, logger);
      });
  if (!opened.status.ok()) co_return opened.status;
  std::unique_ptr<KvStore> store = std::make_unique<RocksDbKvStore>(env, std::move(opened));
  co_return store;
}

}  // namespace millrace
