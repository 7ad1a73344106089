// LogMaker: makes logs of new partitions, many for the price of one.
//
//   1. folders   <topic>-<partition>, each with its partition.metadata, all durable; one call per
//                directory
//   2. existence one synced write of the first checkpoints of all: from here on the logs exist
//
// The checkpoints come last: they name the incarnations that journal entries carry. A crash before
// them leaves folders without records, which the next attempt takes, or removes as strays.
//
// Shard:    one; called by LogStore, for no log twice at a time.
// Lifetime: `context` outlives it.
// Errors:   kAlreadyExists: another topic id has the folder. Others, with kStorageError: no directory
//           takes new logs, the disk's, the KvStore's. Where a write or a sync fails, the directory goes
//           offline.
// Source:   docs/storage.md, Making logs.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/runtime/task.h"
#include "storage/log.h"
#include "storage/log_store.h"
#include "storage/store_context.h"

namespace millrace {

class LogMaker {
 public:
  // Where the log of this partition is to be; null: nowhere.
  using Choose = std::function<LogDirectory*(const std::string& topic, PartitionId partition)>;

  LogMaker(StoreContext& context, Choose choose) : context_(context), choose_(std::move(choose)) {}

  // In their order.
  Task<std::vector<absl::StatusOr<std::unique_ptr<Log>>>> Make(std::vector<NewLog> logs);

 private:
  struct Item {
    std::unique_ptr<Log> log;  // Null when there is no directory for it.
    absl::Status status;
  };
  Item Begin(NewLog wanted);
  Task<void> MakeFolders(LogDirectory* directory, std::vector<Item*> items);
  // There is a folder of that name.
  Task<absl::Status> TakeFolder(const Log::State& state);  // Borrowed: awaited in place.
  // It is this replica's, and there is more in it than a log that was never used leaves.
  Task<absl::Status> SetFolderAside(const Log::State& state);  // Borrowed: awaited in place.

  StoreContext& context_;
  const Choose choose_;
};

}  // namespace millrace
