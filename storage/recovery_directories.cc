// Recovery over several directories: what is in which, what is offline, and what moves have left.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/error_kind.h"
#include "common/runtime/task_scope.h"
#include "common/status_macros.h"
#include "storage/log_copy.h"
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

Task<absl::Status> Recovery::ReadAll(Listings* listings) {
  TaskScope listing(context_.env.reactor);
  for (LogDirectory* directory : context_.directories) {
    if (directory->failure().ok()) listing.Spawn(List(directory, &(*listings)[directory]));
  }
  absl::Status read = co_await ReadCheckpoints();
  co_await listing.Join();
  co_return read;
}

Task<void> Recovery::List(LogDirectory* directory, absl::Status* result) {
  *result = co_await ListDirectory(*directory);
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
    if (known != nullptr &&
        ShardOf(known->first, context_.options.shards) != context_.options.shard) {
      continue;
    }
    MR_CO_ASSIGN_OR_RETURN(
        const std::optional<TopicPartitionId> of,
        co_await LogIn(context_.env.disk, JoinPath(directory.path(), future), name.partition));
    if (known == nullptr) {
      MR_CO_RETURN_IF_ERROR(co_await SettleUnknownFuture(directory, future, folder, of));
      continue;
    }
    const TopicPartitionId id = known->first;
    const CopyFacts facts = FactsOf(directory, *known, folder, of);
    switch (FateOf(facts)) {
      case CopyFate::kIsTheLog:
        MR_CO_RETURN_IF_ERROR(co_await DeleteLeftFolders(id, name, folder));
        MR_CO_RETURN_IF_ERROR(co_await NameFuture(directory, future, folder));
        break;
      case CopyFate::kGoes: {
        // Under its name it would be a copy still while it is being removed.
        const std::string gone =
            DeletedDirectoryName(name.topic, name.partition, context_.env.random.NextUuid());
        MR_CO_RETURN_IF_ERROR(
            co_await RenameFolder(context_.env.disk, directory.path(), future, gone));
        leftovers_.push_back(JoinPath(directory.path(), gone));
        if (!facts.folder_here) moves_.emplace_back(id, &directory);
        break;
      }
      case CopyFate::kSetAside: {
        const std::string aside =
            StrayDirectoryName(name.topic, name.partition, context_.env.random.NextUuid());
        MR_CO_RETURN_IF_ERROR(
            co_await RenameFolder(context_.env.disk, directory.path(), future, aside));
        ++directory.strays;
        context_.env.logger.Warning(
            "[dir {}] {} is a copy of an earlier replica, and is set aside as {}: nothing here "
            "will "
            "remove it",
            directory.path(), future, aside);
        break;
      }
      case CopyFate::kStays:
        WarnOfCopy(directory, future);
        break;
    }
  }
  co_return absl::OkStatus();
}

void Recovery::WarnOfCopy(const LogDirectory& directory, const std::string& future) const {
  context_.env.logger.Warning("[dir {}] {} is a copy of no partition we know and is left alone",
                              directory.path(), future);
}

CopyFacts Recovery::FactsOf(const LogDirectory& directory, const Checkpointed& known,
                            const std::string& folder,
                            const std::optional<TopicPartitionId>& of) const {
  const std::optional<DirectoryId>& at = known.second.checkpoint.directory;
  CopyFacts facts{of, known.first, std::nullopt, false, false};
  if (at) facts.named_here = at == directory.id();
  for (const auto& [path, listed] : listed_) {
    if (!listed.folders.contains(folder) || !listed.directory->failure().ok()) continue;
    if (listed.directory == &directory) {
      facts.folder_here = true;
    } else if (!at || at == listed.directory->id()) {
      facts.folder_there = true;
    }
  }
  return facts;
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::SettleUnknownFuture(LogDirectory& directory, const std::string& future,
                                                 const std::string& folder,
                                                 const std::optional<TopicPartitionId>& of) {
  // Where its checkpoint is gone and its old folder, too, the move was made (log_mover.h, step 4).
  if (of && IsNowhere(folder)) {
    if (ShardOf(*of, context_.options.shards) != context_.options.shard) co_return absl::OkStatus();
    co_return co_await NameFuture(directory, future, folder);
  }
  // Another shard, whose it is, may have given it another name since we looked.
  const auto there = co_await context_.env.disk.List(JoinPath(directory.path(), future));
  if (!absl::IsNotFound(there.status())) WarnOfCopy(directory, future);
  co_return absl::OkStatus();
}

// Where the log was before it moved, the folder is one too many (log_mover.h, step 4).
// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::DeleteLeftFolders(TopicPartitionId id, const PartitionDirectory& name,
                                               const std::string& folder) {
  Disk& disk = context_.env.disk;
  for (auto& [path, listed] : listed_) {
    if (!listed.folders.contains(folder) || !listed.directory->failure().ok()) continue;
    MR_CO_ASSIGN_OR_RETURN(const std::optional<TopicPartitionId> whose,
                           co_await LogIn(disk, JoinPath(path, folder), id.partition));
    if (whose != id) continue;
    const std::string gone =
        DeletedDirectoryName(name.topic, name.partition, context_.env.random.NextUuid());
    MR_CO_RETURN_IF_ERROR(co_await RenameFolder(disk, path, folder, gone));
    listed.folders.erase(folder);
    leftovers_.push_back(JoinPath(path, gone));
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
  MR_CO_RETURN_IF_ERROR(co_await RenameFolder(context_.env.disk, directory.path(), future, folder));
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
