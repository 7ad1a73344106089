// PartitionObserver: told when something changed about a partition that another replica of it may
// have to hear of. The replication stream marks the partition in its dirty rings, and looks later at
// how things stand: several changes of one turn are one look.
//
// Shard: the partition's; one observer per PartitionTable. Called in the middle of things: it
//        remembers, and calls nothing back.
#pragma once

namespace millrace {

class Partition;

enum class ReplicaChange {
  kAppended,       // The log's end moved, as leader or as follower.
  kDurable,        // The durable end moved.
  kHighWatermark,  // It moved.
  kLogStart,       // It moved.
  kRole,           // Another leader, leader epoch, or assignment: of replicas, broker epochs, ISR;
                   // or other rules.
  kIsrProposed,    // The leader wants another ISR, and waits for who is to join it.
  kFailed,         // The log takes no appends any more: its directory is offline.
  kDamaged,        // Some of what its log has on disk cannot be read any more.
  kClosed,         // The replica is going away; the reference is valid in this call only.
};

class PartitionObserver {
 public:
  virtual ~PartitionObserver() = default;
  virtual void OnReplicaChange(Partition& partition, ReplicaChange change) = 0;
};

}  // namespace millrace
