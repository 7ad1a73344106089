#include "broker/metadata_publisher.h"

#include <utility>

#include "common/check.h"

namespace millrace {
namespace {

Task<absl::Status> CatchUpHere(MetadataApplier* applier, std::shared_ptr<const MetadataImage> image,
                               bool strays) {
  if (strays) co_return co_await applier->SetStraysAside(std::move(image));
  co_await applier->OpenAll(std::move(image));
  co_return absl::OkStatus();
}

}  // namespace

MetadataPublisher::MetadataPublisher(Reactor& reactor, Shards& shards,
                                     std::vector<MetadataApplier*> appliers)
    : reactor_(reactor),
      shards_(shards),
      appliers_(std::move(appliers)),
      changed_(reactor),
      scope_(reactor) {
  MR_CHECK(appliers_.size() == shards.count());
}

Task<void> MetadataPublisher::CatchUp(ShardId shard, std::shared_ptr<const MetadataImage> image,
                                      bool strays, absl::Status* result) {
  MetadataApplier* applier = appliers_[shard.value()];
  *result = co_await shards_.Call<absl::Status>(
      reactor_.shard(), shard,
      [applier, image = std::move(image), strays] { return CatchUpHere(applier, image, strays); });
}

Task<absl::Status> MetadataPublisher::ApplyAll(std::shared_ptr<const MetadataImage> image) {
  for (bool strays : {true, false}) {
    std::vector<absl::Status> results(appliers_.size());
    TaskScope group(reactor_);
    for (uint32_t i = 0; i < results.size(); ++i) {
      group.Spawn(CatchUp(ShardId(i), image, strays, &results[i]));
    }
    co_await group.Join();
    for (const absl::Status& result : results) {
      if (!result.ok()) co_return result;
    }
  }
  applied_ = image->index();
  co_return absl::OkStatus();
}

void MetadataPublisher::Start() { scope_.Spawn(Run(), SchedClass::kProduce); }

Task<void> MetadataPublisher::Stop() { co_await scope_.Stop(); }

void MetadataPublisher::OnMetadata(std::shared_ptr<const MetadataImage> image,
                                   const MetadataDelta& delta) {
  auto change = std::make_shared<MetadataChange>();
  *change = {
      std::move(image),       delta.changed_topics(),          delta.changed_partitions(),
      delta.removed_topics(), delta.broker_defaults_changed(), delta.changed_broker_configs(),
      delta.changed_brokers()};
  queue_.push_back(std::move(change));
  changed_.Pulse();
}

Task<void> MetadataPublisher::OnOne(ShardId shard, Half half, Change change) {
  MetadataApplier* applier = appliers_[shard.value()];
  co_await shards_.Call<void>(reactor_.shard(), shard, [applier, half, change = std::move(change)] {
    return (applier->*half)(change);
  });
}

Task<void> MetadataPublisher::OnEach(Half half, Change change) {
  if (appliers_.size() == 1) {
    co_await (appliers_.front()->*half)(std::move(change));
    co_return;
  }
  TaskScope group(reactor_);
  for (uint32_t i = 0; i < appliers_.size(); ++i) group.Spawn(OnOne(ShardId(i), half, change));
  co_await group.Join();
}

Task<void> MetadataPublisher::Run() {
  while (!scope_.stopping()) {
    if (queue_.empty()) {
      co_await changed_.Wait(std::nullopt, scope_.token());
      continue;
    }
    Change change = std::move(queue_.front());
    queue_.pop_front();
    if (!change->removed.empty()) co_await OnEach(&MetadataApplier::Remove, change);
    co_await OnEach(&MetadataApplier::Apply, change);
    applied_ = change->image->index();
    changed_.Pulse();
    if (told_) told_();
  }
}

Task<void> MetadataPublisher::Applied(RaftIndex index, Instant deadline) {
  while ((!applied_.has_value() || *applied_ < index) && !scope_.stopping()) {
    if (co_await changed_.Wait(deadline, scope_.token()) == WaitResult::kTimedOut) co_return;
  }
}

}  // namespace millrace
