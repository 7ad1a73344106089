#include "test/sim/replication_bugs.h"

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "common/runtime/task_scope.h"
#include "replication/partition.h"

namespace millrace::simtest {
namespace {

// Sooner than a follower hears from its leader what to do, most of the time.
constexpr Duration kLookEvery = milliseconds(1);

class BuggyPartitions final : public GroupService {
 public:
  BuggyPartitions(ReplicationBug bug, Env& env, PartitionTable& partitions, LogStore& store,
                  const MetadataSource& metadata, GroupServiceOptions options)
      : GroupService(env, partitions, store, metadata, std::move(options)),
        bug_(bug),
        env_(env),
        partitions_(partitions),
        scope_(env.reactor) {
    scope_.Spawn(Meddle());
  }

  Task<void> Stop() override {
    co_await scope_.Stop();
    co_await GroupService::Stop();
  }

 private:
  Task<void> Meddle() {
    while (!scope_.stopping()) {
      if (bug_ == ReplicationBug::kCountsStaleMember) {
        partitions_.ForEach([](Partition& partition) { CountOneAsWhole(partition); });
      } else {
        co_await CutWhoFollowsAnew();
      }
      co_await Sleep(env_.reactor, kLookEvery, scope_.token());
    }
  }

  static void CountOneAsWhole(Partition& partition) {
    if (!partition.leads() || !partition.failure().ok()) return;
    const std::vector<PartitionLeader::View> in_sync = partition.InSyncFollowers();
    if (in_sync.empty()) return;
    const PartitionLeader::View& one = in_sync.back();
    const Offset end = partition.log().durable_end();
    const AssignedReplica* assigned = partition.assignment().Find(one.broker);
    if (one.ends.durable_end >= end || assigned == nullptr || !assigned->epoch) return;
    partition
        .OnFollowerProgress(one.broker, *assigned->epoch, partition.leader_epoch(),
                            {one.ends.log_start, partition.log().end_offset(), end})
        .IgnoreError();  // It has come back as another one meanwhile.
  }

  Task<void> CutWhoFollowsAnew() {
    std::vector<TopicPartitionId> anew;
    partitions_.ForEach([&](Partition& partition) {
      auto [known, first] = epochs_.try_emplace(partition.id(), partition.leader_epoch());
      if (!first && known->second == partition.leader_epoch()) return;
      known->second = partition.leader_epoch();
      if (partition.follows()) anew.push_back(partition.id());
    });
    for (const TopicPartitionId& id : anew) {
      Partition* partition = partitions_.Find(id);
      if (partition == nullptr) continue;
      const std::optional<FollowerHello> hello = partition->Hello();
      if (!hello.has_value() || !hello->last_epoch.has_value()) continue;
      const LogsDiverge answer{*hello->last_epoch, partition->high_watermark()};
      if (answer.end_offset >= hello->ends.log_end) continue;
      (void)co_await partition->OnHelloAnswer(partition->leader_epoch(), answer);
    }
  }

  const ReplicationBug bug_;
  Env& env_;
  PartitionTable& partitions_;
  std::map<TopicPartitionId, LeaderEpoch> epochs_;  // As they were when it looked last.
  TaskScope scope_;
};

}  // namespace

const char* ReplicationBugName(ReplicationBug bug) {
  switch (bug) {
    case ReplicationBug::kNone:
      return "none";
    case ReplicationBug::kTruncatesByHighWatermark:
      return "truncates-by-high-watermark";
    case ReplicationBug::kCountsStaleMember:
      return "counts-stale-member";
  }
  return "?";
}

GroupServiceFactory NodesWith(ReplicationBug bug) {
  if (bug == ReplicationBug::kNone) return MakeGroupService;
  return [bug](Env& env, PartitionTable& partitions, LogStore& store,
               const MetadataSource& metadata, GroupServiceOptions options) {
    return std::make_unique<BuggyPartitions>(bug, env, partitions, store, metadata,
                                             std::move(options));
  };
}

}  // namespace millrace::simtest
