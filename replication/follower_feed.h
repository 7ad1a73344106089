// FollowerFeed: the leader's side of one replication stream: sends one shard of one follower what it
// subscribes to, as it is appended, and tells the partitions how far the follower has come.
//
//   Subscribe ─► Partition::OnFollowerHello ─► Accepted, then Data (Diverged, Outside, Refused else)
//   append    ─► MarkChanged ─► the ring of changed partitions ─► one send of all that is there
//   Progress  ─► Partition::OnFollowerProgress ─► commits
//
// What is sent, first to last: answers; batches from memory, changed partitions in turn; one piece
// for a partition that is behind, read from disk by a task of lower class, bounded in rate and in how
// much of it is on its way (catch_up_window.h); high
// watermarks and log starts that nothing else carries, and which are worth a send of their own only
// after high_watermark_delay and start_delay. One send is under way at a time and what
// changes meanwhile goes with the next, so batching of data needs no timer. Data leaves before the leader's
// own sync: a follower's disk and ours work at the same time.
//
// Two throttles (KIP-73) may hold a subscription back: this broker's as a leader, of which it claims its
// bytes, and the follower's, which says with Allow what may come. It is in no ring meanwhile, so
// nobody waits behind it. Neither holds back whom the high watermark waits for.
//
// Cost:     O(changed partitions). An idle stream sends a KeepAlive a second.
// Shard:    one, the partitions'.
// Lifetime: owned by ReplicationShard; env, options, metrics and the shard outlive it. Serve() has
//           ended before destruction (CHECKed).
// Bounds:   one subscription per partition led here; send_bytes_max and one batch in a send;
//           data only within the follower's credit.
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
#include "replication/catch_up_window.h"
#include "replication/partition.h"
#include "replication/replication_hello.h"
#include "replication/replication_options.h"
#include "replication/stream_frames.h"
#include "replication/stream_reader.h"

namespace millrace {

class FollowerFeed;
class ReplicationShard;

// One partition on one feed.
struct FeedSubscription {
  FollowerFeed& feed;
  const StreamHandle handle;
  const LeaderEpoch epoch;
  Partition* partition;  // Null once it has ended.
  Offset next;           // What is sent next.
  // As they were told last.
  Offset high_watermark;
  Offset log_start;
  bool stated = false;                  // Has a state to be told.
  bool queued = false;                  // In the ring of changed ones,
  bool behind = false;                  // or among those that are read from disk.
  std::optional<StreamEnd> ended = {};  // To be said, then forgotten.
  // What the follower lets come; below nothing when more was sent. Nothing: it has set no bound.
  std::optional<int64_t> allowed = {};
  // Of this broker's throttle: what was granted and is not sent yet, and where it waits for it.
  std::optional<size_t> granted = {};
  std::optional<uint64_t> claim = {};
};

class FollowerFeed final : private Timer {
 public:
  FollowerFeed(Env& env, const ReplicationOptions& options, ReplicationMetrics& metrics,
               ReplicationShard& shard, ReplicationHello hello,
               std::unique_ptr<Connection> connection);
  ~FollowerFeed();

  // Until the stream ends; then says how. kCancelled when Shutdown() ended it.
  Task<absl::Status> Serve();
  // Ends Serve() soon.
  void Shutdown(std::string why);

  BrokerId broker() const { return hello_.broker; }
  BrokerEpoch broker_epoch() const { return hello_.broker_epoch; }
  ShardId follower_shard() const { return hello_.shard; }
  const std::string& name() const { return name_; }

  // From the shard, in the middle of things.
  void MarkChanged(FeedSubscription& subscription);
  // The same when only its high watermark or log start have moved: that can wait for company, so
  // long.
  void MarkState(FeedSubscription& subscription, Duration wait);
  // It may be that it is not held back any more.
  void Reconsider(FeedSubscription& subscription);
  // So many bytes of the throttle's are for it; it has claimed them.
  void OnGrant(FeedSubscription& subscription, size_t bytes);
  // The partition is of no more use to it: gone, led by others, or in another epoch. Its pointer is
  // not used any more.
  void End(FeedSubscription& subscription, StreamEnd why);

  size_t subscriptions() const { return by_handle_.size(); }
  // The most that a follower of this feed is behind, in records.
  int64_t LagMax() const;
  // And for how long the most laggard of those in the ISR has been behind.
  Duration LagTimeMax() const;

 private:
  using Subscriptions = std::map<StreamHandle, std::unique_ptr<FeedSubscription>>;
  // States have waited for company long enough.
  class StateTimer final : public Timer {
   public:
    explicit StateTimer(FollowerFeed& feed) : feed_(feed) {}
    void Fire() override;

   private:
    FollowerFeed& feed_;
  };
  // Read from disk, not yet sent.
  struct Piece {
    StreamHandle handle;
    Offset from;
    Offset next;
    Chain batches;
  };

  Task<absl::Status> Read();
  absl::Status OnFrame(const FollowerFrame& frame);
  absl::Status OnSubscribe(const StreamSubscribe& frame);
  void OnUnsubscribe(const StreamUnsubscribe& frame);
  absl::Status OnProgress(const StreamProgress& frame);
  absl::Status OnAllow(const StreamAllow& frame);
  void Refuse(StreamHandle handle, const absl::Status& why);
  Task<void> Write();
  // Everything that may leave now.
  Chain Gather();
  // The next batches of it, from memory. True: it has more, and may go on.
  bool GatherFrom(FeedSubscription& subscription, StreamFrameWriter& out);
  void GatherPiece(StreamFrameWriter& out);
  // Whether no throttle holds it back. If not it has claimed its bytes, or an Allow will come.
  bool MayGo(FeedSubscription& subscription);
  bool IsThrottled(const FeedSubscription& subscription) const;
  // How much of `usual` may go at once.
  static size_t Most(const FeedSubscription& subscription, size_t usual);
  // So much is sent.
  void Account(FeedSubscription& subscription, size_t bytes);
  void GiveBack(FeedSubscription& subscription);
  void AddState(FeedSubscription& subscription, std::vector<StreamState::Entry>& states);
  void Unlink(FeedSubscription& subscription);
  Task<void> ReadBehind();
  Task<absl::Status> ReadOne(StreamHandle handle);
  void PutBehind(FeedSubscription& subscription);
  void Forget(Subscriptions::iterator subscription);
  FeedSubscription* Find(StreamHandle handle);
  void Fail(absl::Status why);
  void Fire() override;  // KeepAlive, and silence.

  // Constant after construction.
  const ReplicationHello hello_;
  const std::string name_;
  // Borrowed.
  Env& env_;
  const ReplicationOptions& options_;
  ReplicationMetrics& metrics_;
  ReplicationShard& shard_;
  // Owned.
  std::unique_ptr<Connection> connection_;
  StreamReader reader_;
  TaskScope scope_;
  // State.
  Subscriptions by_handle_;
  std::map<TopicPartitionId, StreamHandle> by_partition_;
  uint32_t last_handle_ = 0;
  StreamFrameWriter answers_;
  std::optional<StreamEcho> echo_;         // To be said.
  std::deque<FeedSubscription*> changed_;  // Of by_handle_.
  bool news_ = false;                      // One was added since the last look.
  std::vector<FeedSubscription*> stated_;  // Of by_handle_.
  StateTimer state_timer_{*this};
  bool states_due_ = false;
  std::deque<StreamHandle> behind_;
  std::optional<Piece> piece_;
  Instant behind_next_{0};  // The rate allows no read before.
  CatchUpWindow catch_up_window_;
  int64_t credit_ = 0;
  bool starved_ = false;  // Something waits for credit.
  Event wake_;            // There may be something to send,
  Event wake_behind_;     // or to read.
  Instant last_sent_;
  absl::Status failure_;
};

}  // namespace millrace
