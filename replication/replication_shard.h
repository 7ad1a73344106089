// ReplicationShard: the replication streams of one shard: those on which it feeds followers, and
// those on which its own replicas follow. It hears from the shard's partitions what changed about
// them, and tells the streams that are concerned.
//
//   Partition ── OnReplicaChange ──► leads:   each FollowerFeed that has subscribed to it
//                                      follows: the LeaderLink to (leader, ShardOf(partition there))
//
// Streams are per (follower's shard, leader's shard). How many shards a leader has is in its answer
// to a hello; until then it is taken for one, and its partitions are moved to the right links when it
// turns out to have more.
//
// Shard:    one; a node has one on each.
// Lifetime: everything lent outlives it. Stop() has ended before destruction (CHECKed), and before
//           the PartitionTable stops; it is the table's observer.
// Bounds:   one feed per follower's shard, one link per leader's shard.
// Cost:     of a change: the feeds of that partition. Nothing visits all partitions.
// Source:   docs/replication.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "common/env.h"
#include "common/metrics/metrics.h"
#include "common/network.h"
#include "common/runtime/task_scope.h"
#include "replication/follower_feed.h"
#include "replication/leader_link.h"
#include "replication/partition_observer.h"
#include "replication/partition_table.h"
#include "replication/replication_hello.h"
#include "replication/replication_options.h"
#include "replication/throttle_queue.h"
#include "replication/throttle_shares.h"
#include "replication/throttled_partitions.h"
#include "storage/log_store.h"

namespace millrace {

// One that waits for the follower's throttle.
struct FollowedClaim {
  LeaderLink* link;
  TopicPartitionId id;
};

class ReplicationShard final : public PartitionObserver {
 public:
  // Becomes the observer of `partitions`, which has none of its replicas open yet.
  ReplicationShard(Env& env, LogStore& store, PartitionTable& partitions,
                   const ReplicationPeers& peers, ReplicationOptions options);
  ~ReplicationShard() override;

  // Ends all streams.
  Task<void> Stop();

  // A hello has come over `connection`, which is this shard's: answers it, and feeds the follower
  // from now on. REQUIRES: `hello.hello.leader_shard` is this shard, or there is none such.
  void Serve(std::unique_ptr<Connection> connection, ParsedReplicationHello hello);
  // Why a hello is not welcome, or kWelcome; `reason` says it in words.
  ReplicationVerdict Judge(const ReplicationHello& hello, std::string* reason) const;

  // The metadata says something new about `broker`: it registered anew, is elsewhere, is gone.
  void OnBrokerChange(BrokerId broker);

  void OnReplicaChange(Partition& partition, ReplicaChange change) override;

  // Asks `leader` to say `number` again over one of its streams (ReplicationOptions::on_echo, or on_loss
  // when that stream is lost first). False: there is none to ask over.
  bool AskEcho(BrokerId leader, uint64_t number);

  // Replication throttles (KIP-73): the rates of this broker, of which this shard takes its part. Hold
  // at once; none to begin with.
  void SetThrottleRates(const ThrottleRates& rates);
  // On which shards of this broker replicas of the topic may have to be held back.
  void SetThrottledShards(TopicId topic, std::set<ShardId> leading, std::set<ShardId> following);

  // `registry` must not ask any more when Stop() begins.
  void RegisterMetrics(MetricRegistry& registry);
  const ReplicationMetrics& metrics() const { return metrics_; }
  size_t feeds() const { return feeds_.size(); }
  size_t links() const { return links_.size(); }

  // --- For the streams.
  Partition* FindPartition(const TopicPartitionId& id) { return partitions_.Find(id); }
  void Attach(Partition& partition, FeedSubscription& subscription);
  void Detach(Partition& partition, FeedSubscription& subscription);
  void OnShardCount(BrokerId leader, uint32_t shards);
  ThrottleQueue<FeedSubscription*>& leader_throttle() { return leader_throttle_; }
  ThrottleQueue<FollowedClaim>& follower_throttle() { return follower_throttle_; }

 private:
  // What hangs on one partition.
  struct Slot {
    std::vector<FeedSubscription*> feeds;
    LeaderLink* link = nullptr;
    std::optional<LeaderEpoch> followed;  // The epoch in which it follows over `link`.
    bool used = false;
  };
  using FeedKey = std::pair<BrokerId, ShardId>;
  using LinkKey = std::pair<BrokerId, ShardId>;

  Slot& SlotOf(Partition& partition);
  void FreeSlot(Partition& partition);
  void EndFeeds(Slot& slot, StreamEnd why);
  void OnRole(Partition& partition, Slot& slot);
  void ShareThrottles();
  void Follow(Partition& partition, Slot& slot);
  void Unfollow(Partition& partition, Slot& slot);
  LeaderLink& LinkTo(BrokerId leader, ShardId shard);
  Task<void> ServeOne(std::unique_ptr<Connection> connection, ParsedReplicationHello hello);

  // Constant after construction.
  const ReplicationOptions options_;
  // Borrowed.
  Env& env_;
  LogStore& store_;
  PartitionTable& partitions_;
  const ReplicationPeers& peers_;
  // State.
  ReplicationMetrics metrics_;
  ThrottleRates throttle_rates_;
  ThrottleShares leader_shares_;
  ThrottleShares follower_shares_;
  ThrottleQueue<FeedSubscription*> leader_throttle_;
  ThrottleQueue<FollowedClaim> follower_throttle_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  std::map<FeedKey, FollowerFeed*> feeds_;
  std::map<LinkKey, std::unique_ptr<LeaderLink>> links_;
  std::map<BrokerId, uint32_t> shards_of_;  // Of leaders that have said so.
  bool stopping_ = false;
  TaskScope scope_;
};

}  // namespace millrace
