#include "storage/log_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "common/check.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/log_cut.h"
#include "storage/log_files.h"
#include "storage/log_metrics.h"
#include "storage/log_store_impl.h"
#include "storage/recovery.h"

namespace millrace {
namespace {

constexpr size_t kPreferredMax = 10'000;

std::vector<OffsetCheckpointEntry> OffsetsOf(const std::vector<Log*>& logs,
                                             const LogDirectory& directory,
                                             Offset (*offset_of)(const Log&)) {
  std::vector<OffsetCheckpointEntry> entries;
  for (Log* log : logs) {
    if (log->state().directory != &directory) continue;
    entries.push_back({log->topic(), log->partition(), offset_of(*log)});
  }
  return entries;
}

}  // namespace

LogStore::LogStore(Env& env, KvStore& kv, LogStoreOptions options)
    : impl_(std::make_unique<Impl>(env, kv, options)) {
  for (const std::string& path : options.log_dirs) {
    impl_->directories.push_back(
        std::make_unique<LogDirectory>(env.reactor, env.disk, path, options.slow_write));
    impl_->context.directories.push_back(impl_->directories.back().get());
    impl_->directories.back()->set_on_full([path, impl = impl_.get()](bool full) {
      if (impl->context.options.on_full) impl->context.options.on_full(path, full);
    });
    impl_->directories.back()->pace().set_on_change(
        [directory = impl_->directories.back().get(), impl = impl_.get()](bool slow) {
          impl->NoteSlow(*directory, slow);
        });
  }
}

LogStore::~LogStore() { MR_CHECK(!impl_->opened || impl_->stopped); }

Task<absl::Status> LogStore::Lock() {
  Impl& impl = *impl_;
  const LogStoreOptions& options = impl.context.options;
  MR_CO_RETURN_IF_ERROR(options.Validate());
  impl.opened = true;
  for (size_t i = 0; i < impl.directories.size(); ++i) {
    LogDirectory& directory = *impl.directories[i];
    if (!directory.failure().ok()) continue;  // Another shard has said so.
    absl::Status opened = co_await directory.OpenDirectory(options.cluster_id, options.node_id,
                                                           options.shard == ShardId(0));
    if (absl::IsFailedPrecondition(opened) || absl::IsCancelled(opened)) co_return opened;
    if (!opened.ok()) impl.FailDirectory(directory, opened);
    if (i < options.clean_directories.size()) {
      impl.directories[i]->set_was_clean(options.clean_directories[i]);
    }
  }
  impl.locked = true;
  co_return impl.CheckAnyOnline();
}

std::vector<bool> LogStore::clean_directories() const {
  std::vector<bool> clean;
  for (const auto& directory : impl_->directories) clean.push_back(directory->was_clean());
  return clean;
}

Task<absl::Status> LogStore::Recover() {
  Impl& impl = *impl_;
  if (!impl.locked) MR_CO_RETURN_IF_ERROR(co_await Lock());
  const LogStoreOptions& options = impl.context.options;
  const Instant begin = impl.env.reactor.Now();
  Recovery recovery(impl.context);
  absl::Status status = co_await recovery.Run();
  impl.logs.reserve(recovery.logs().size());
  for (auto& [id, log] : recovery.logs()) impl.logs.emplace(id, std::move(log));
  MR_CO_RETURN_IF_ERROR(status);
  impl.offline = std::move(recovery.offline());
  impl.moves = recovery.moves();
  MR_CO_RETURN_IF_ERROR(impl.CheckAnyOnline());
  if (!impl.offline.empty()) {
    impl.env.logger.Error("[storage] {} logs are in directories that are offline",
                          impl.offline.size());
  }
  for (const std::string& path : recovery.deleted_folders()) {
    if (options.shard != ShardId(0)) break;
    impl.removals.Add(path, 0);
  }
  for (const std::string& path : recovery.leftovers()) {
    impl.removals.Add(path, 0);
  }
  const RecoveryReport& report = recovery.report();
  impl.env.logger.Info(
      "[storage] {} logs after {} stop in {} ms: {} bytes scanned, {} logs cut, {} journal entries "
      "replayed",
      report.logs, was_clean() ? "a clean" : "an unclean",
      std::chrono::duration_cast<milliseconds>(impl.env.reactor.Now() - begin).count(),
      report.bytes_scanned, report.logs_cut, report.entries_replayed);
  impl.recovered = true;
  co_return absl::OkStatus();
}

Task<absl::Status> LogStore::Start() {
  Impl& impl = *impl_;
  if (!impl.recovered) MR_CO_RETURN_IF_ERROR(co_await Recover());
  for (auto& directory : impl.directories) {
    if (!directory->failure().ok()) continue;
    absl::Status opened = co_await impl.OpenJournal(*directory);
    if (absl::IsCancelled(opened)) co_return opened;
    if (!opened.ok()) impl.FailDirectory(*directory, opened);
  }
  MR_CO_RETURN_IF_ERROR(impl.CheckAnyOnline());
  for (auto& directory : impl.directories) directory->pace().Start();
  impl.writer.Start();
  impl.expiry.Start();
  impl.retention.Start();
  impl.cleaner.Start();
  impl.removals.Start();
  impl.mover.Start();
  impl.scrubber.Start();
  for (auto& [id, target] : impl.moves) {
    absl::Status begun = co_await impl.mover.Begin(id, target);
    if (!begun.ok()) impl.env.logger.Warning("[storage] {}", std::string(begun.message()));
  }
  impl.started = true;
  co_return absl::OkStatus();
}

Task<absl::Status> LogStore::Impl::OpenJournal(LogDirectory& directory) {
  const LogStoreOptions& options = context.options;
  if (options.shard == ShardId(0)) {
    MR_CO_RETURN_IF_ERROR(co_await DiscardJournals(env.disk, directory.path()));
    // It is true of the moment of a stop, and names a topic without its id. Were the checkpoints lost
    // later, it would cut off what a topic made anew under that name has; by now every log has a
    // checkpoint of ours.
    const absl::Status removed =
        co_await env.disk.Remove(JoinPath(directory.path(), kLogStartFile));
    if (removed.ok()) {
      MR_CO_RETURN_IF_ERROR(co_await env.disk.SyncDirectory(directory.path()));
    } else if (!absl::IsNotFound(removed)) {
      co_return removed;
    }
  }
  Journal::Options journal_options;
  journal_options.bytes_max = options.journal_bytes_max;
  journal_options.write_times = &context.metrics.journal_sync;
  journal_options.on_write = [&directory](bool begun) { directory.OnJournalWrite(begun); };
  auto journal = co_await Journal::Open(env, directory.path(), options.shard, journal_options);
  if (!journal.ok()) co_return journal.status();
  (*journal)->set_pressure_listener(&writer);
  directory.set_journal(*std::move(journal));
  co_return absl::OkStatus();
}

Task<absl::Status> LogStore::Impl::StopDirectory(LogDirectory& directory, bool others_clean) {
  Journal* journal = directory.journal();
  absl::Status status = directory.failure();
  if (journal != nullptr) {
    if (status.ok() && journal->last_position() > JournalPosition(0)) {
      status = co_await journal->WaitDurable(journal->last_position(), CancellationToken());
    }
    // Every log is checkpointed, so nothing is needed and the journal goes away.
    if (status.ok()) directory.RecycleJournal();
    status.Update(co_await journal->Stop());
    directory.TakeJournal().reset();
  }
  if (!status.ok() || !others_clean || context.options.shard != ShardId(0)) co_return status;

  // What Kafka would want to find. With several shards these name shard 0's partitions only; Kafka
  // scans the others, and we go by our own checkpoints.
  const std::vector<Log*> sorted = Sorted();
  auto end_of = [](const Log& log) { return log.end_offset(); };
  auto start_of = [](const Log& log) { return log.start_offset(); };
  MR_CO_RETURN_IF_ERROR(
      co_await ReplaceFile(env.disk, JoinPath(directory.path(), kRecoveryPointFile),
                           FormatOffsetCheckpoint(OffsetsOf(sorted, directory, end_of))));
  MR_CO_RETURN_IF_ERROR(
      co_await ReplaceFile(env.disk, JoinPath(directory.path(), kLogStartFile),
                           FormatOffsetCheckpoint(OffsetsOf(sorted, directory, start_of))));
  co_return co_await directory.MarkClean();
}

Task<absl::Status> LogStore::Stop(absl::Status others) {
  Impl& impl = *impl_;
  if (impl.stopped) co_return absl::OkStatus();
  absl::Status status;
  co_await impl.expiry.Stop();
  co_await impl.retention.Stop();
  co_await impl.cleaner.Stop();
  co_await impl.removals.Stop();
  co_await impl.scrubber.Stop();
  co_await impl.mover.Stop();
  co_await impl.writer.Stop();
  std::set<const LogDirectory*> offline;  // Already: no news, and not ours to stop.
  for (const auto& directory : impl.directories) {
    if (!directory->failure().ok()) offline.insert(directory.get());
  }
  if (impl.started) {
    status = impl.CheckAnyOnline();
    for (Log* log : impl.Sorted()) {
      Log::State& state = log->state();
      if (!state.failure.ok()) {
        if (!offline.contains(state.directory)) status.Update(state.failure);
      } else if (state.files_stale || state.end > state.recovery_point) {
        impl.writer.MarkDirty(state);
      }
    }
    status.Update(co_await impl.writer.CheckpointAll(/*complete=*/true));
  }
  // Each for itself: one that failed is recovered at the next start, the others are clean.
  for (auto& directory : impl.directories) {
    if (impl.started && !impl.HasUnsaved(*directory)) {
      absl::Status stopped = co_await impl.StopDirectory(*directory, others.ok());
      if (!offline.contains(directory.get())) status.Update(stopped);
    } else if (directory->journal() != nullptr) {
      absl::Status ended = co_await directory->journal()->Stop();
      if (!offline.contains(directory.get())) status.Update(ended);
    }
  }
  for (Log* log : impl.Sorted()) co_await impl.Release(*log);
  impl.logs.clear();
  impl.context.cold_chunks.Clear();
  co_await impl.context.files.Stop();
  for (auto& directory : impl.directories) co_await directory->pace().Stop();
  impl.directories.clear();  // Lets the locks go.
  impl.context.directories.clear();
  impl.stopped = true;
  co_return status;
}

Task<absl::StatusOr<Log*>> LogStore::Open(TopicPartitionId id, std::string topic, LogConfig config,
                                          bool create) {
  Impl& impl = *impl_;
  while (impl.changing.contains(id)) co_await impl.changed.Wait();
  if (Log* log = Find(id); log != nullptr) {
    Log::State& state = log->state();
    log->set_config(config);
    DrawRollJitter(state);
    const bool may_change = state.end == state.recovery_point || state.marks.empty();
    if (may_change && state.durability != config.durability) {
      state.durability = config.durability;
      state.OnDurabilityChange();
      impl.writer.Appended(state);
    }
    co_return log;
  }
  MR_CO_RETURN_IF_ERROR(OfflineCause(id));
  if (!create) {
    co_return MakeError(ErrorKind::kUnknownTopicOrPartition, absl::StatusCode::kNotFound,
                        fmt::format("no log of {}-{}", topic, id.partition));
  }
  std::vector<NewLog> wanted;
  wanted.push_back({id, std::move(topic), config});
  std::vector<absl::Status> created = co_await CreateAll(std::move(wanted));
  if (!created.front().ok()) co_return created.front();
  // Somebody may have deleted it in the same turn.
  co_return co_await Open(id, {}, config, /*create=*/false);
}

Task<std::vector<absl::Status>> LogStore::CreateAll(std::vector<NewLog> logs) {
  Impl& impl = *impl_;
  const auto is_changing = [&impl](const NewLog& log) { return impl.changing.contains(log.id); };
  while (std::ranges::any_of(logs, is_changing)) co_await impl.changed.Wait();
  std::vector<absl::Status> results(logs.size());
  std::vector<size_t> places;
  std::vector<NewLog> absent;
  for (size_t i = 0; i < logs.size(); ++i) {
    const TopicPartitionId id = logs[i].id;
    results[i] = OfflineCause(id);
    if (Find(id) != nullptr || !results[i].ok() || !impl.changing.insert(id).second) continue;
    places.push_back(i);
    absent.push_back(std::move(logs[i]));
  }
  auto made = co_await impl.maker.Make(absent);
  for (size_t i = 0; i < places.size(); ++i) {
    impl.changing.erase(absent[i].id);
    results[places[i]] = made[i].status();
    if (!made[i].ok()) continue;
    Log::State& state = (*made[i])->state();
    if (const absl::Status& failure = state.directory->failure(); !failure.ok()) {
      state.Fail(failure);  // Meanwhile.
    }
    impl.logs.emplace(absent[i].id, *std::move(made[i]));
  }
  impl.changed.Pulse();
  co_return results;
}

Log* LogStore::Find(const TopicPartitionId& id) {
  auto found = impl_->logs.find(id);
  return found == impl_->logs.end() ? nullptr : found->second.get();
}

std::vector<Log*> LogStore::Logs() { return impl_->Sorted(); }

Task<absl::StatusOr<Admission>> LogStore::Admit(size_t bytes, CancellationToken token) {
  std::vector<LogDirectory*> all;
  for (auto& directory : impl_->directories) all.push_back(directory.get());
  co_return co_await impl_->Admit(std::move(all), bytes, token);
}

Task<absl::StatusOr<Admission>> LogStore::AdmitInto(std::vector<TopicPartitionId> logs,
                                                    size_t bytes, CancellationToken token) {
  std::vector<LogDirectory*> into;
  for (const TopicPartitionId& id : logs) {
    Log* log = Find(id);
    if (log == nullptr) continue;  // Who appends to it is told so.
    LogDirectory* directory = log->state().directory;
    if (std::ranges::find(into, directory) == into.end()) into.push_back(directory);
  }
  co_return co_await impl_->Admit(std::move(into), bytes, token);
}

Task<absl::StatusOr<Admission>> LogStore::Impl::Admit(std::vector<LogDirectory*> into, size_t bytes,
                                                      CancellationToken token) {
  for (bool again = false;; again = true) {
    // The journal is the faster drain; where it is behind, so is everyone who writes there. Before
    // anything is taken: who waits for one that hangs must not keep what others can use.
    for (LogDirectory* directory : into) {
      Journal* journal = directory->journal();
      if (journal == nullptr || !journal->status().ok() || journal->Admits()) continue;
      absl::Status admitted = co_await journal->Admit(token);
      if (absl::IsCancelled(admitted)) co_return admitted;
      // A failed journal shows itself to those who append to its logs.
    }
    MR_CO_RETURN_IF_ERROR(co_await context.pending.Acquire(bytes, token));
    Admission admission(context.pending, bytes);
    const bool behind = std::ranges::any_of(into, [](LogDirectory* directory) {
      Journal* journal = directory->journal();
      return journal != nullptr && journal->status().ok() && !journal->HasRoom();
    });
    // Once more at most: others fill one directory while another one is waited for.
    if (!behind || again) co_return admission;
  }
}

std::optional<Admission> LogStore::TryAdmit(size_t bytes) {
  Impl& impl = *impl_;
  for (auto& directory : impl.directories) {
    Journal* journal = directory->journal();
    if (journal != nullptr && journal->status().ok() && !journal->Admits()) return std::nullopt;
  }
  if (!impl.context.pending.TryAcquire(bytes)) return std::nullopt;
  return Admission(impl.context.pending, bytes);
}

std::vector<LogDirectoryStatus> LogStore::directories() const {
  std::vector<LogDirectoryStatus> statuses;
  for (const auto& directory : impl_->directories) {
    statuses.push_back(
        {directory->path(), directory->id(), directory->failure(), impl_->IsCordoned(*directory)});
  }
  return statuses;
}

bool LogStore::was_clean() const {
  return std::ranges::all_of(impl_->directories,
                             [](const auto& directory) { return directory->was_clean(); });
}

Task<absl::Status> LogStore::Move(TopicPartitionId id, std::string directory) {
  LogDirectory* target = impl_->FindDirectory(directory);
  MR_CHECK(target != nullptr);
  co_return co_await impl_->mover.Begin(id, target);
}

std::vector<FutureReplica> LogStore::Futures() const { return impl_->mover.futures(); }

bool LogStore::PreferDirectory(std::string topic, PartitionId partition, std::string directory) {
  if (impl_->preferred.size() >= kPreferredMax) return false;
  impl_->preferred.insert_or_assign({std::move(topic), partition}, std::move(directory));
  return true;
}

void LogStore::SetCleaner(const CleanerOptions& options) { impl_->cleaner.set_options(options); }

void LogStore::RegisterMetrics(MetricRegistry& registry) {
  RegisterLogMetrics(impl_->context, registry);
}

}  // namespace millrace
