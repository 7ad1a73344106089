// LeaderLink: the follower's side of one replication stream, to one shard of one leader: connects,
// says what this shard's replicas have, cuts their logs where they diverge, appends what comes, and
// reports what has become durable.
//
//   a partition:  idle ── Subscribe ──► asked ── Accepted ──► following
//                  ▲ ▲                    │ │                     │
//                  │ └── Refused, later ──┘ └─ Diverged, Outside ─┤
//                  │                                 ▼            │ Ended, corrupt, stream lost
//                  └───────── log was cut ──────── cutting        ▼
//                  └──────────────────────────────────────────── idle
//
// A handle is used for one subscription. One that is given up (a cut, another epoch, a new stream)
// is forgotten first, so nothing that was sent before arrives after. Credit goes back for what was
// appended or dropped, never for what waits: when the store has no memory for more, the leader stops.
//
// A replica that this broker's throttle (KIP-73) is meant for, and that is not in the ISR, is told to the
// leader with Allow: what may come of it is claimed of the throttle before, piece by piece. Holding
// back what has come, or the credit, would hold up the others. A leader that knows no Allow sends
// what it likes.
//
// A replica that is not in the ISR and whose log directory is full could take nothing: it asks for
// nothing, and gives up what it asked for, so that the leader does not wait for it. When there is room
// it asks again; that is the word by which it may join.
//
// Progress leaves in the turn in which a log became durable, one frame for all of that turn. What
// makes nothing durable (appends on a `disk` topic) is not worth a frame.
//
// Shard:    one, the replicas'.
// Lifetime: owned by ReplicationShard; env, store, options, metrics and shard outlive it. Stop() has
//           ended before destruction (CHECKed).
// Bounds:   one entry per replica that follows this leader; one frame of the leader in memory,
//           admitted by the store before it is received.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/env.h"
#include "common/network.h"
#include "common/runtime/event.h"
#include "common/runtime/task_scope.h"
#include "replication/partition.h"
#include "replication/replication_hello.h"
#include "replication/replication_options.h"
#include "replication/stream_frames.h"
#include "replication/stream_reader.h"
#include "storage/log_store.h"

namespace millrace {

class ReplicationShard;

class LeaderLink final : private Timer {
 public:
  LeaderLink(Env& env, LogStore& store, const ReplicationOptions& options,
             const ReplicationPeers& peers, ReplicationMetrics& metrics, ReplicationShard& shard,
             BrokerId leader, ShardId leader_shard);
  ~LeaderLink();

  void Start() { scope_.Spawn(Run(), SchedClass::kReplication); }
  Task<void> Stop();

  BrokerId leader() const { return leader_; }
  ShardId leader_shard() const { return leader_shard_; }

  // From the shard, in the middle of things. `partition` follows this leader, in its present epoch;
  // one that did so in another epoch is begun anew.
  void Follow(Partition& partition);
  void Unfollow(const TopicPartitionId& id);
  // Its ends have moved. `urgent`: someone may wait for it.
  void MarkProgress(const TopicPartitionId& id, bool urgent);
  // It may be that it is held back now, or not any more, or shut out.
  void Reconsider(const TopicPartitionId& id);
  // So many bytes of the throttle's are for it; it has claimed them.
  void OnGrant(const TopicPartitionId& id, size_t bytes);
  // The metadata says something new about the leader, or about this broker: no reason to wait.
  void Hurry();
  // Asks the leader to say `number` again, which is told by ReplicationOptions::on_echo unless the stream
  // is lost before. False: no stream stands, or the leader knows no Echo.
  bool AskEcho(uint64_t number);

  // Every partition it follows, and forgets.
  std::vector<TopicPartitionId> TakeAll();

  bool connected() const { return stream_ != nullptr; }
  // Since when there is no stream, if there was one.
  std::optional<Instant> lost_since() const { return lost_since_; }
  size_t followed() const { return followed_.size(); }

 private:
  enum class Phase : uint8_t { kIdle, kAsked, kFollowing, kCutting };
  struct Followed {
    LeaderEpoch epoch;
    uint64_t number;  // Another one for each Follow(): what was begun before it is void.
    Phase phase = Phase::kIdle;
    std::optional<StreamHandle> handle = {};
    ReplicaEnds told;       // Last.
    bool progress = false;  // In progress_.
    bool in_isr = false;    // This replica, as the metadata said last.
    Duration again{0};      // How long the last wait before another try was.
    // What may come under the handle, below nothing when more has; nothing: it has no bound.
    std::optional<int64_t> allowed = {};
    std::optional<uint64_t> claim = {};  // Where it waits for more.
  };
  using Entry = std::map<TopicPartitionId, Followed>::value_type;
  // What there is of a connection; made anew for each.
  struct Stream {
    Stream(Env& env, std::unique_ptr<Connection> made, size_t data_bytes_max)
        : connection(std::move(made)),
          reader(env.reactor, *connection, StreamSide::kLeader, data_bytes_max),
          tasks(env.reactor),
          last_sent(env.reactor.Now()) {}
    std::unique_ptr<Connection> connection;
    StreamReader reader;
    TaskScope tasks;
    CancellationSource cancel;  // With the first failure.
    StreamFrameWriter out;
    std::map<StreamHandle, TopicPartitionId> handles;
    uint32_t last_handle = 0;
    int64_t credit = 0;  // Of the leader's.
    size_t owed = 0;     // Credit that was used up and not given back yet.
    Instant last_sent;
    bool ready = false;  // The hello has been answered.
    BrokerEpoch leader_epoch{0};
    uint64_t features = 0;  // Of both.
    absl::Status failure;
  };

  Task<void> Run();
  Task<absl::Status> Session();
  Task<absl::Status> SayHello();
  Task<absl::Status> Read();
  Task<absl::Status> OnData(const StreamDataHead& head);
  // Appends a frame's batches; stops at the first that cannot be.
  Task<absl::Status> Append(StreamHandle handle, Slice batches, Admission admission);
  void OnFrame(const LeaderFrame& frame);
  Task<void> OnAccepted(StreamAccepted frame);
  void OnState(const StreamState::Entry& state);
  void OnEnd(StreamHandle handle, StreamEnd why);
  void BeginCut(StreamHandle handle, LogMatch answer);
  bool IsOutside(const Partition& partition) const;
  Task<void> Cut(TopicPartitionId id, uint64_t number, LogMatch answer);
  void GiveUp(Entry& entry, const absl::Status& why);
  Task<void> Write();
  Chain Gather();
  void Ask(Entry& entry);
  void Release(Entry& entry);
  void AskLater(Entry& entry);
  // Nothing that was sent under its handle counts any more.
  void DropHandle(Entry& entry);
  bool IsHeldBack(const Partition& partition) const;
  // Bounds it, claims more for it, or frees it, as it has to be now.
  void Meter(Entry& entry);
  void Allow(Entry& entry, size_t bytes);
  void Settle(Entry& entry);
  // So much of it has come.
  void Account(StreamHandle handle, size_t bytes);
  // The entry that a live handle stands for.
  Entry* Find(StreamHandle handle);
  // The partition of an entry, while it follows in the entry's epoch.
  Partition* PartitionOf(const Entry& entry);
  void Fail(absl::Status why);
  void Fire() override;
  void ArmTimer();
  Duration Backoff(Duration before);
  // By up to half, so that those who lost the same leader do not come back together.
  Duration Shortened(Duration wait);

  // Constant after construction.
  const BrokerId leader_;
  const ShardId leader_shard_;
  const std::string name_;
  // Borrowed.
  Env& env_;
  LogStore& store_;
  const ReplicationOptions& options_;
  const ReplicationPeers& peers_;
  ReplicationMetrics& metrics_;
  ReplicationShard& shard_;
  // Owned.
  TaskScope scope_;
  std::unique_ptr<Stream> stream_;  // While connected.
  std::optional<Instant> lost_since_;
  // State.
  std::map<TopicPartitionId, Followed> followed_;
  uint64_t next_number_ = 1;
  std::deque<TopicPartitionId> asking_;             // Idle ones that may subscribe now.
  std::deque<TopicPartitionId> progress_;           // Following ones whose ends have moved.
  std::multimap<Instant, TopicPartitionId> again_;  // Idle ones that wait before another try.
  Event wake_;                                      // There may be something to send.
  Event hurry_;  // Something is to be followed, or was said of the leader.
};

}  // namespace millrace
