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
}

Task<absl::Status> LogStore::Delete(TopicPartitionId id) {
  Impl& impl = *impl_;
  while (impl.changing.contains(id)) co_await impl.changed.Wait();
  if (impl.offline.erase(id) > 0) co_return co_await impl.ForgetCheckpoint(id);
  auto found = impl.logs.find(id);
  if (found == impl.logs.end()) {
    co_return MakeError(ErrorKind::kUnknownTopicOrPartition, absl::StatusCode::kNotFound,
                        fmt::format("no log of {} {}", id.topic_id, id.partition));
  }
  impl.changing.insert(id);
  impl.mover.Cancel(id);
  std::unique_ptr<Log> log = std::move(found->second);
  impl.logs.erase(found);
  co_await impl.Release(*log);

  Log::State& state = log->state();
  LogDirectory& directory = *state.directory;
  const std::string gone =
      JoinPath(directory.path(),
               DeletedDirectoryName(state.topic, id.partition, impl.env.random.NextUuid()));
  absl::Status status;
  const bool online = directory.failure().ok();
  if (online) status = co_await impl.env.disk.Rename(state.path(), gone);
  if (absl::IsNotFound(status)) status = absl::OkStatus();
  if (online && status.ok()) status = co_await impl.env.disk.SyncDirectory(directory.path());
  if (status.ok()) status = co_await impl.ForgetCheckpoint(id);
  impl.changing.erase(id);
  impl.changed.Pulse();
  if (!status.ok()) {
    impl.FailDirectory(directory, status);
    co_return status;
  }
  impl.env.logger.Info("[log {}] deleted", state.path());
  if (!online) co_return absl::OkStatus();  // Its folder is a stray when the directory is back.
  impl.removals.Add(gone, state.config.file_delete_delay_ms);
  co_return absl::OkStatus();
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

void LogStore::TakeOffline(const std::string& path, const absl::Status& cause) {
  for (auto& directory : impl_->directories) {
    if (directory->path() == path) impl_->FailDirectory(*directory, cause);
  }
}

}  // namespace millrace
