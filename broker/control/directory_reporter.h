// DirectoryReporter: tells the active controller in which log directory each replica of this broker
// lies, where the metadata says otherwise: it names a directory that was replaced, or none yet.
// Without it a broker whose disk was replaced would stay out of every ISR: its replicas would be
// assigned to a directory that nobody has.
//
//   replica opened, any shard ── NoteDirectory ──► shard 0: pending ── one request ──► controller
//
// While a request is under way the next one fills up. What comes while the metadata is behind is
// the same again, and is sent once.
//
// Shard:    DirectoryReporter on shard 0. The other shards have a RemoteDirectoryReports.
// Lifetime: `requests` outlives it. Stop() must have finished before destruction.
// Errors:   none. It asks again, later each time, until the controller took note of the replica or
//           says that this broker has none of that partition.
// Bound:    one entry per replica of this broker; `partitions_max` go in one request.
// Source:   AssignReplicasToDirs (key 73) version 0; KIP-858.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>

#include "broker/control/controller_requests.h"
#include "broker/directory_reports.h"
#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/event.h"
#include "common/runtime/shards.h"
#include "common/runtime/task_scope.h"

namespace millrace {

struct DirectoryReporterOptions {
  BrokerId self{0};
  // This broker's registration now; nothing: there is none yet.
  std::function<std::optional<BrokerEpoch>()> epoch;
  size_t partitions_max = 2000;
  // Pause before what was not decided is asked again.
  Duration retry_min = milliseconds(20);
  Duration retry_max = milliseconds(5000);
};

class DirectoryReporter final : public DirectoryReports {
 public:
  DirectoryReporter(Env& env, ControllerRequests& requests, DirectoryReporterOptions options);

  void Start() { scope_.Spawn(Run()); }
  Task<void> Stop();

  Task<void> NoteDirectory(TopicPartitionId id, DirectoryId directory) override;

 private:
  using Directories = std::map<TopicPartitionId, DirectoryId>;

  Task<void> Run();
  Directories NextBatch() const;
  // Those that need not be asked again.
  Task<std::set<TopicPartitionId>> Ask(Directories batch);

  // Constant after construction.
  const DirectoryReporterOptions options_;
  // Borrowed.
  Env& env_;
  ControllerRequests& requests_;
  // State.
  Directories pending_;
  Event changed_;
  TaskScope scope_;
};

// DirectoryReports for the shards on which the reporter is not.
//
// Shard: the one it was made on. Lifetime: `shards` and `reporter` (of shard 0) outlive it.
class RemoteDirectoryReports final : public DirectoryReports {
 public:
  RemoteDirectoryReports(Shards& shards, ShardId here, DirectoryReports& reporter)
      : shards_(shards), here_(here), reporter_(reporter) {}
  Task<void> NoteDirectory(TopicPartitionId id, DirectoryId directory) override;

 private:
  Shards& shards_;
  const ShardId here_;
  DirectoryReports& reporter_;
};

}  // namespace millrace
