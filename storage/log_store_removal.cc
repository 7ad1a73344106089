// LogStore: logs that go, and those that are not here for now.
#include <fmt/format.h>

#include <utility>

#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/log_files.h"
#include "storage/log_store.h"
#include "storage/log_store_impl.h"

namespace millrace {

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> LogStore::Impl::Release(Log& log) {
  Log::State& state = log.state();
  state.deleted = true;
  writer.Forget(state);
  co_await state.gate.Close();
  expiry.Forget(state);
  writer.Forget(state);  // A write that was under way may have queued it again.
  retention.Forget(state);
  cleaner.Forget(state);
  if (Journal* journal = state.directory->journal(); journal != nullptr) journal->Forget(&state);
  if (state.journal_first) {
    state.directory->Unneed(*state.journal_first, state.number);
    state.journal_first.reset();
    state.directory->RecycleJournal();
  }
  state.ReleasePending(context.cache.Clear(state.tail));
  for (const Segment& segment : state.segments) {
    for (std::string_view suffix : {kLogSuffix, kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix}) {
      context.files.Forget(state.SegmentPath(segment.base, suffix));
    }
  }
  if (state.directory->log_count > 0) --state.directory->log_count;
  // It may have been the last that waited for room: nobody else would find out that there is some.
  state.directory->NoteRoom();
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<std::string>> LogStore::Impl::Retire(Log& log, FolderName name) {
  const TopicPartitionId id = log.id();
  mover.Cancel(id);
  auto found = logs.find(id);
  const std::unique_ptr<Log> owned = std::move(found->second);
  logs.erase(found);
  co_await Release(log);

  Log::State& state = log.state();
  LogDirectory& directory = *state.directory;
  std::string gone =
      JoinPath(directory.path(), name(state.topic, id.partition, env.random.NextUuid()));
  absl::Status status;
  const bool online = directory.failure().ok();
  if (online) status = co_await env.disk.Rename(state.path(), gone);
  if (absl::IsNotFound(status)) status = absl::OkStatus();
  if (online && status.ok()) status = co_await env.disk.SyncDirectory(directory.path());
  if (online && status.ok() && state.journaled) directory.EndIncarnation(id, state.incarnation);
  if (status.ok()) status = co_await ForgetCheckpoint(id);
  if (!status.ok()) {
    FailDirectory(directory, status);
    co_return status;
  }
  // Offline: its folder is a stray when the directory is back.
  co_return online ? std::move(gone) : std::string();
}

Task<absl::StatusOr<Log*>> LogStore::Impl::BeginChange(TopicPartitionId id) {
  while (changing.contains(id)) co_await changed.Wait();
  auto found = logs.find(id);
  if (found == logs.end()) {
    co_return MakeError(ErrorKind::kUnknownTopicOrPartition, absl::StatusCode::kNotFound,
                        fmt::format("no log of {} {}", id.topic_id, id.partition));
  }
  changing.insert(id);
  co_return found->second.get();
}

void LogStore::Impl::EndChange(const TopicPartitionId& id) {
  changing.erase(id);
  changed.Pulse();
}

Task<absl::Status> LogStore::Delete(TopicPartitionId id) {
  Impl& impl = *impl_;
  while (impl.changing.contains(id)) co_await impl.changed.Wait();
  if (impl.offline.erase(id) > 0) co_return co_await impl.ForgetCheckpoint(id);
  MR_CO_ASSIGN_OR_RETURN(Log * log, co_await impl.BeginChange(id));
  const std::string path = log->state().path();
  const int64_t delay_ms = log->state().config.file_delete_delay_ms;
  absl::StatusOr<std::string> gone = co_await impl.Retire(*log, DeletedDirectoryName);
  impl.EndChange(id);
  if (!gone.ok()) co_return gone.status();
  impl.env.logger.Info("[log {}] deleted", path);
  if (!gone->empty()) impl.removals.Add(*std::move(gone), delay_ms);
  co_return absl::OkStatus();
}

Task<absl::Status> LogStore::SetAside(TopicPartitionId id) {
  Impl& impl = *impl_;
  MR_CO_ASSIGN_OR_RETURN(Log * log, co_await impl.BeginChange(id));
  Log::State& state = log->state();
  const std::string path = state.path();
  // Whoever wants it back has the folder alone: no journal and no checkpoint will speak of it.
  absl::Status whole = co_await impl.writer.Checkpoint(state, /*complete=*/true);
  // Without room for the side files it is whole all the same. In a directory that has just failed it
  // is a stray when that is back.
  if (state.end == state.recovery_point || !state.directory->failure().ok()) {
    whole = absl::OkStatus();
  }
  std::string gone;
  if (whole.ok()) {
    absl::StatusOr<std::string> retired = co_await impl.Retire(*log, StrayDirectoryName);
    whole = retired.status();
    if (retired.ok()) gone = *std::move(retired);
  }
  impl.EndChange(id);
  if (!gone.empty()) {
    ++impl.FindDirectory(gone.substr(0, gone.rfind('/')))->strays;
    impl.env.logger.Warning("[log {}] set aside as {}: nothing here will remove it", path, gone);
  }
  co_return whole;
}

Task<absl::Status> LogStore::Impl::ForgetCheckpoint(TopicPartitionId id) {
  KvBatch batch;
  batch.Delete(KvSpace::kLogCheckpoint, LogCheckpointKey(id));
  // Not synced: a checkpoint without its folder is removed at the next start.
  co_return co_await context.kv.Write(std::move(batch), KvWriteOptions{.sync = false});
}

absl::Status LogStore::OfflineCause(const TopicPartitionId& id) const {
  auto found = impl_->offline.find(id);
  return found == impl_->offline.end() ? absl::OkStatus() : found->second;
}

void LogStore::NoteAssigned(const TopicPartitionId& id, const std::string& topic,
                            const DirectoryId& assigned) {
  Impl& impl = *impl_;
  if (impl.logs.contains(id) || impl.offline.contains(id)) return;
  const LogDirectory* suspect = nullptr;
  for (const auto& directory : impl.directories) {
    const bool online = directory->failure().ok();
    // It was there, and is there no more.
    if (online && directory->id() == assigned) return;
    // Of one that was never read nobody knows which it is.
    if (!online && directory->id().value_or(assigned) == assigned) suspect = directory.get();
  }
  if (suspect != nullptr) impl.offline.emplace(id, InOffline(topic, id.partition, suspect->path()));
}

void LogStore::TakeOffline(const std::string& path, const absl::Status& cause) {
  for (auto& directory : impl_->directories) {
    if (directory->path() == path) impl_->FailDirectory(*directory, cause);
  }
}

}  // namespace millrace
