// LogStore::Impl: what a log store is made of. For log_store.cc and log_store_removal.cc alone.
//
// Shard:    the store's.
// Lifetime: as LogStore's.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/event.h"
#include "storage/deferred_removals.h"
#include "storage/log_cleaner.h"
#include "storage/log_directory.h"
#include "storage/log_maker.h"
#include "storage/log_mover.h"
#include "storage/log_scrubber.h"
#include "storage/log_state.h"
#include "storage/log_store.h"
#include "storage/producer_expiry.h"
#include "storage/retention.h"
#include "storage/segment_writer.h"
#include "storage/store_context.h"

namespace millrace {

struct LogStore::Impl {
  Impl(Env& environment, KvStore& kv, const LogStoreOptions& options)
      : env(environment),
        context(environment, kv, options),
        writer(context),
        expiry(context),
        retention(context),
        cleaner(context),
        removals(environment, options.log_dirs),
        maker(context, [this](const std::string& topic,
                              PartitionId partition) { return ChooseDirectory(topic, partition); }),
        mover(context),
        scrubber(context),
        changed(environment.reactor) {
    context.writer = &writer;
    context.expiry = &expiry;
    context.retention = &retention;
    context.cleaner = &cleaner;
    context.removals = &removals;
    context.fail_directory = [this](LogDirectory& directory, const absl::Status& cause) {
      FailDirectory(directory, cause);
    };
    context.find_log = [this](const TopicPartitionId& id) -> Log* {
      auto found = logs.find(id);
      return found == logs.end() ? nullptr : found->second.get();
    };
    context.list_logs = [this] {
      std::vector<TopicPartitionId> ids;
      for (const auto& [id, log] : logs) ids.push_back(id);
      std::ranges::sort(ids);
      return ids;
    };
  }

  void FailDirectory(LogDirectory& directory, const absl::Status& cause) {
    if (!directory.failure().ok()) return;
    directory.set_failure(cause);
    env.logger.Error("[dir {}] offline: {}", directory.path(), std::string(cause.message()));
    for (Log* log : Sorted()) {
      if (log->state().directory == &directory) log->state().Fail(cause);
    }
    if (context.options.on_offline) context.options.on_offline(directory.path(), cause);
  }

  void NoteSlow(LogDirectory& directory, bool slow) {
    if (slow) {
      env.logger.Warning(
          "[dir {}] slow: most durable writes take {} ms or more, the last {} ms; others are to "
          "lead what lies in it, where they can",
          directory.path(), MillisecondsOf(directory.pace().pace().slow_from()),
          MillisecondsOf(directory.pace().pace().worst()));
    } else {
      env.logger.Info("[dir {}] slow no longer", directory.path());
    }
    if (context.options.on_slow) context.options.on_slow(directory.path(), slow);
  }
  static int64_t MillisecondsOf(Duration duration) {
    return std::chrono::duration_cast<milliseconds>(duration).count();
  }

  // OK while at least one directory is online.
  absl::Status CheckAnyOnline() const {
    std::string causes;
    for (const auto& directory : directories) {
      if (directory->failure().ok()) return absl::OkStatus();
      causes +=
          fmt::format("; {}: {}", directory->path(), std::string(directory->failure().message()));
    }
    return absl::UnavailableError(fmt::format("all log directories are offline{}", causes));
  }

  std::vector<Log*> Sorted() const {
    // With their ids, so that comparing visits no log.
    std::vector<std::pair<TopicPartitionId, Log*>> by_id;
    by_id.reserve(logs.size());
    for (const auto& [id, log] : logs) by_id.emplace_back(id, log.get());
    std::ranges::sort(by_id, {}, [](const auto& entry) { return entry.first; });
    std::vector<Log*> sorted;
    sorted.reserve(by_id.size());
    for (const auto& [id, log] : by_id) sorted.push_back(log);
    return sorted;
  }

  // After everything was checkpointed that could be.
  bool HasUnsaved(const LogDirectory& directory) const {
    return std::ranges::any_of(logs, [&](const auto& entry) {
      const Log::State& state = entry.second->state();
      return state.directory == &directory &&
             (!state.failure.ok() || state.files_stale || state.end > state.recovery_point);
    });
  }

  bool IsCordoned(const LogDirectory& directory) const {
    return std::ranges::any_of(context.options.cordoned_dirs, [&](const std::string& path) {
      return path == "*" || path == directory.path();
    });
  }

  LogDirectory* FindDirectory(const std::string& path) {
    for (auto& directory : directories) {
      if (directory->path() == path) return directory.get();
    }
    return nullptr;
  }

  // The one that was asked for, or the one with the fewest logs of those that are not slow.
  LogDirectory* ChooseDirectory(const std::string& topic, PartitionId partition) {
    if (auto asked = preferred.find({topic, partition}); asked != preferred.end()) {
      LogDirectory* directory = FindDirectory(asked->second);
      preferred.erase(asked);
      if (directory->failure().ok()) return directory;
    }
    LogDirectory* best = nullptr;
    for (auto& directory : directories) {
      if (!directory->failure().ok() || directory->full() || IsCordoned(*directory)) continue;
      const auto rank = [](LogDirectory& one) {
        return std::pair(one.pace().slow(), one.log_count);
      };
      if (best == nullptr || rank(*directory) < rank(*best)) best = directory.get();
    }
    return best;
  }

  // Waits for the journals of those, and for memory.
  Task<absl::StatusOr<Admission>> Admit(std::vector<LogDirectory*> into, size_t bytes,
                                        CancellationToken token);
  Task<absl::Status> OpenJournal(LogDirectory& directory);  // Borrowed: awaited in place.
  Task<absl::Status> StopDirectory(LogDirectory& directory,
                                   bool others_clean);  // Borrowed: awaited in place.
  // The log, that from now on nobody else makes, deletes or sets aside until EndChange().
  Task<absl::StatusOr<Log*>> BeginChange(TopicPartitionId id);
  void EndChange(const TopicPartitionId& id);
  // Ends the log and gives its folder a name that is no log's, durably. The new path; none where
  // its directory is offline.
  using FolderName = std::string (*)(std::string_view topic, PartitionId partition, Uuid unique);
  Task<absl::StatusOr<std::string>> Retire(Log& log, FolderName name);  // Borrowed: in place.
  // Waits for whoever uses the log and takes it out of everything shared.
  Task<void> Release(Log& log);  // Borrowed: awaited in place.
  Task<absl::Status> ForgetCheckpoint(TopicPartitionId id);

  // Owned.
  Env& env;
  StoreContext context;
  SegmentWriter writer;
  ProducerExpiry expiry;
  Retention retention;
  LogCleaner cleaner;
  DeferredRemovals removals;
  LogMaker maker;
  LogMover mover;
  LogScrubber scrubber;
  std::vector<std::unique_ptr<LogDirectory>> directories;
  absl::flat_hash_map<TopicPartitionId, std::unique_ptr<Log>> logs;

  // State.
  std::map<TopicPartitionId, absl::Status> offline;  // Known by their checkpoints, not loaded.
  std::map<std::pair<std::string, PartitionId>, std::string> preferred;
  std::vector<std::pair<TopicPartitionId, LogDirectory*>> moves;  // Interrupted by the last stop.
  std::set<TopicPartitionId> changing;                            // Being created or deleted.
  Event changed;        // Pulsed when one leaves `changing`.
  bool opened = false;  // Directories, or some of them.
  bool locked = false;
  bool recovered = false;
  bool started = false;
  bool stopped = false;
};

}  // namespace millrace
