// GroupConsumer: reads a topic as a member of a classic group, and stores how far it came: every
// few seconds, before each rebalance, and at the end.
//
// What the sink was given is committed and never more: it is asked to let go of what it held back
// before. After a crash the records since the last commit come again.
//
// Shard:    one.
// Lifetime: `client` and `sink` outlive it. Run() must have ended before destruction.
// Errors:   TopicReader's and GroupClient's; kFailedPrecondition: the coordinator refuses the
//           member for good.
// Bounds:   TopicReader's.
#pragma once

#include <absl/status/status.h>

#include <map>
#include <optional>
#include <string>

#include "cli/client/group_client.h"
#include "cli/client/group_member.h"
#include "cli/client/topic_reader.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"

namespace millrace {

struct GroupConsumerOptions {
  std::string group;
  // `from`: where to begin in partitions that the group has no position in. `partitions` and
  // `starts` are the group's business.
  TopicReaderOptions reader;
  // Without a heartbeat for so long the member is taken for dead. Higher: patience with a machine
  // that stalls; lower: others take over sooner.
  Duration session_timeout = seconds(30);
  // How long members may take to join again.
  Duration rebalance_timeout = seconds(60);
  // Between heartbeats, and commits. Lower: fewer records come twice after a crash.
  Duration heartbeat_interval = seconds(3);
};

class GroupConsumer {
 public:
  GroupConsumer(KafkaClient& client, RecordSink& sink, GroupConsumerOptions options);

  // Returns OK when the sink has enough, the ends are reached, or Interrupt() was called; the last
  // positions are committed then, and the group left.
  Task<absl::Status> Run();

  // Ends Run() soon. A member that is not reading yet has nothing to commit: it just goes.
  void Interrupt();

 private:
  Instant In(Duration duration) const;
  Task<absl::Status> JoinUntilAssigned();
  Task<absl::Status> JoinOnce();
  Task<absl::Status> SyncOnce();
  // Of the topics that the leader is to divide.
  Task<absl::StatusOr<std::map<std::string, int32_t>>> SizesOf(std::vector<std::string> topics);
  // Until a rebalance, or the end (finished_).
  Task<absl::Status> ReadAssigned();
  Task<void> KeepLoop(TaskScope* scope);
  Task<absl::Status> Beat();
  Task<absl::Status> CheckTopics();
  Task<absl::Status> CommitPositions();
  Task<void> LeaveGroup();
  void StopReading();

  // Constant after construction.
  const GroupConsumerOptions options_;

  // Borrowed.
  KafkaClient& client_;
  RecordSink& sink_;

  // State.
  GroupClient groups_;
  GroupMember member_;
  std::map<std::string, int32_t> divided_;  // What the last division was of, if we made it.
  std::map<TopicPartition, Offset> committed_;
  TopicReader* reader_ = nullptr;  // While there is one.
  Event stop_reading_;             // For a member without partitions.
  absl::Status keep_failure_;
  bool interrupted_ = false;
  bool finished_ = false;
};

}  // namespace millrace
