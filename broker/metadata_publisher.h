// MetadataPublisher: takes what the controller commits to every shard of this node, in the order of
// the log, one change at a time.
//
//   for each change:  every shard removes the replicas of topics that are gone    (if there are
//   any)
//                     every shard opens and changes the replicas of the others
//                     then it counts as applied
//
// A shard begins a half when all have ended the one before: a topic that was deleted and made again
// has the same folder names, and its replicas may be of another shard than before.
//
// Shard:    shard 0; the halves run on each shard (metadata_applier.h).
// Lifetime: everything lent outlives it; Stop() must have finished before destruction.
// Bound:    the controller decides one thing at a time, and who asked for it waits here.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "broker/metadata_applier.h"
#include "common/runtime/event.h"
#include "common/runtime/shards.h"
#include "common/runtime/task_scope.h"
#include "controller/image/metadata_follower.h"

namespace millrace {

class MetadataPublisher final : public MetadataFollower {
 public:
  // `appliers[i]` is shard i's.
  MetadataPublisher(Reactor& reactor, Shards& shards, std::vector<MetadataApplier*> appliers);

  // Everything in `image`: how a start catches up.
  Task<absl::Status> ApplyAll(std::shared_ptr<const MetadataImage> image);
  // From now on what OnMetadata() is told.
  void Start();
  // What has begun is ended on every shard.
  Task<void> Stop();

  void OnMetadata(std::shared_ptr<const MetadataImage> image, const MetadataDelta& delta) override;

  // Waits until every shard has applied the log up to `index`, the deadline, or Stop().
  Task<void> Applied(RaftIndex index, Instant deadline = Instant::Max());
  // What every shard has applied; nothing before ApplyAll().
  const std::optional<RaftIndex>& applied() const { return applied_; }
  // Called with each step of it.
  void OnApplied(std::function<void()> told) { told_ = std::move(told); }

 private:
  using Change = std::shared_ptr<const MetadataChange>;
  using Half = Task<void> (MetadataApplier::*)(Change);
  Task<void> Run();
  Task<void> OnEach(Half half, Change change);
  Task<void> OnOne(ShardId shard, Half half, Change change);
  Task<void> CatchUp(ShardId shard, std::shared_ptr<const MetadataImage> image, bool strays,
                     absl::Status* result);

  Reactor& reactor_;
  Shards& shards_;
  const std::vector<MetadataApplier*> appliers_;
  std::deque<Change> queue_;
  std::optional<RaftIndex> applied_;
  std::function<void()> told_;
  Event changed_;
  TaskScope scope_;
};

}  // namespace millrace
