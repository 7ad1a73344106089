// Recovery over several directories: what is in which, what is offline, and what moves have left.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/log_files.h"
#include "storage/producer_expiry.h"
#include "storage/recovery.h"
#include "storage/segment_writer.h"

namespace millrace {

Task<void> Recovery::Abandon(LogDirectory& directory, absl::Status cause) {
  context_.fail_directory(directory, cause);
  for (auto at = logs_.begin(); at != logs_.end();) {
    Log::State& state = at->second->state();
    if (state.directory != &directory) {
      ++at;
      continue;
    }
    state.Fail(cause);
    context_.expiry->Forget(state);
    co_await state.gate.Close();
    context_.cache.Clear(state.tail);
    for (const Segment& segment : state.segments) {
      for (std::string_view suffix : {kLogSuffix, kIndexSuffix, kTimeIndexSuffix}) {
        context_.files.Forget(state.SegmentPath(segment.base, suffix));
      }
    }
    offline_.emplace(at->first, state.failure);
    at = logs_.erase(at);
  }
  directory.log_count = 0;
}

bool Recovery::IsOnline(const DirectoryId& id) const {
  return std::ranges::any_of(context_.directories, [&](const LogDirectory* directory) {
    return directory->failure().ok() && directory->id() == id;
  });
}

void Recovery::FindOffline() {
  const auto failed = std::ranges::find_if(
      context_.directories, [](LogDirectory* each) { return !each->failure().ok(); });
  const bool any_failed = failed != context_.directories.end();
  for (const auto& [id, known] : checkpoints_) {
    if (known.loaded || ShardOf(id, context_.options.shards) != context_.options.shard) {
      continue;
    }
    const LogCheckpoint& checkpoint = known.checkpoint;
    // Without a directory's name any of those that are offline may have it.
    if (checkpoint.directory ? IsOnline(*checkpoint.directory) : !any_failed) continue;
    offline_.emplace(id, InOffline(checkpoint.topic, id.partition,
                                   any_failed ? std::optional((*failed)->path()) : std::nullopt));
  }
}

Task<absl::Status> Recovery::ListDirectory(LogDirectory& directory) {
  auto entries = co_await context_.env.disk.List(directory.path());
  if (!entries.ok()) co_return entries.status();
  Listed& listed = listed_[directory.path()];
  listed.directory = &directory;
  std::vector<std::string> strays;
  for (const DirectoryEntry& entry : *entries) {
    if (!entry.is_directory) continue;
    if (IsStrayDirectoryName(entry.name)) strays.push_back(entry.name);
    if (IsDeletedDirectoryName(entry.name)) {
      deleted_folders_.push_back(JoinPath(directory.path(), entry.name));
    } else if (auto folder = ParsePartitionDirectoryName(entry.name)) {
      listed.folders.insert(listed.folders.end(), entry.name);  // They come in order.
    } else if (auto future = ParseFutureDirectoryName(entry.name)) {
      listed.futures.push_back(entry.name);
    }
  }
  if (!strays.empty() && context_.options.shard == ShardId(0)) {
    directory.strays = strays.size();
    context_.env.logger.Warning(
        "[dir {}] {} folders, {} the first, are of topics that the cluster did not know; they are "
        "kept until somebody removes them",
        directory.path(), strays.size(), strays.front());
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Recovery::SettleFutures(LogDirectory& directory) {
  for (const std::string& future : listed_[directory.path()].futures) {
    const PartitionDirectory name = *ParseFutureDirectoryName(future);
    const std::string folder = PartitionDirectoryName(name.topic, name.partition);
    const Checkpointed* known = CheckpointedAs(folder);
    if (known == nullptr) {
      // Where its checkpoint is gone and its old folder, too, the move was made (log_mover.h, step 4).
      // A copy that is not whole has no partition.metadata yet.
      const auto of = co_await IdOf(directory, future, name.partition);
      if (!of.ok() || !IsNowhere(folder)) {
        context_.env.logger.Warning(
            "[dir {}] {} is a copy of no partition we know and is left alone", directory.path(),
            future);
      } else if (ShardOf(*of, context_.options.shards) == context_.options.shard) {
        MR_CO_RETURN_IF_ERROR(co_await NameFuture(directory, future, folder));
      }
      continue;
    }
    const TopicPartitionId id = known->first;
    if (ShardOf(id, context_.options.shards) != context_.options.shard) continue;
    if (known->second.checkpoint.directory != directory.id()) {
      leftovers_.push_back(JoinPath(directory.path(), future));  // The copy was not finished.
      moves_.emplace_back(id, &directory);
      continue;
    }
    // The move was made and its names were not (log_mover.h, steps 4 and 6).
    for (auto& [path_of_other, listed] : listed_) {
      if (listed.folders.erase(folder) == 0) continue;
      LogDirectory* other = listed.directory;
      const std::string gone = JoinPath(
          other->path(),
          DeletedDirectoryName(name.topic, name.partition, context_.env.random.NextUuid()));
      MR_CO_RETURN_IF_ERROR(
          co_await context_.env.disk.Rename(JoinPath(other->path(), folder), gone));
      MR_CO_RETURN_IF_ERROR(co_await context_.env.disk.SyncDirectory(other->path()));
      leftovers_.push_back(gone);
    }
    MR_CO_RETURN_IF_ERROR(co_await NameFuture(directory, future, folder));
  }
  co_return absl::OkStatus();
}

bool Recovery::IsNowhere(const std::string& folder) const {
  if (checkpointed_.contains(folder)) return false;
  return std::ranges::all_of(context_.directories, [&](const LogDirectory* directory) {
    if (!directory->failure().ok()) return false;
    const auto listed = listed_.find(directory->path());
    return listed != listed_.end() && !listed->second.folders.contains(folder);
  });
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::NameFuture(LogDirectory& directory, const std::string& future,
                                        const std::string& folder) {
  Disk& disk = context_.env.disk;
  MR_CO_RETURN_IF_ERROR(
      co_await disk.Rename(JoinPath(directory.path(), future), JoinPath(directory.path(), folder)));
  MR_CO_RETURN_IF_ERROR(co_await disk.SyncDirectory(directory.path()));
  listed_[directory.path()].folders.insert(folder);
  context_.env.logger.Info("[dir {}] the move of {} to here is finished", directory.path(), folder);
  co_return absl::OkStatus();
}

Recovery::Checkpointed* Recovery::CheckpointedAs(const std::string& folder) {
  auto found = checkpointed_.find(folder);
  return found == checkpointed_.end() ? nullptr : found->second;
}

Recovery::Checkpointed* Recovery::CheckpointedIn(const LogDirectory& directory,
                                                 const std::string& folder) {
  Checkpointed* known = CheckpointedAs(folder);
  if (known == nullptr) return nullptr;
  const std::optional<DirectoryId>& at = known->second.checkpoint.directory;
  return !at || at == directory.id() ? known : nullptr;
}

Recovery::Known* Recovery::KnownOf(const TopicPartitionId& id, Checkpointed* named) {
  if (named != nullptr) return &named->second;
  auto found = checkpoints_.find(id);
  return found == checkpoints_.end() ? nullptr : &found->second;
}

bool Recovery::IsElsewhere(const LogDirectory& directory, const LogCheckpoint* checkpoint,
                           const std::string& folder) const {
  if (checkpoint == nullptr || !checkpoint->directory || checkpoint->directory == directory.id()) {
    return false;
  }
  // Where a directory cannot be read that may be the one: what lies here is of a move, or of an
  // attempt to make the log that failed, and would lead in its place.
  const bool any_failed = std::ranges::any_of(
      context_.directories, [](const LogDirectory* each) { return !each->failure().ok(); });
  if (any_failed && !IsOnline(*checkpoint->directory)) return true;
  return std::ranges::any_of(listed_, [&](const auto& entry) {
    return entry.second.directory->id() == checkpoint->directory &&
           entry.second.folders.contains(folder);
  });
}

}  // namespace millrace
