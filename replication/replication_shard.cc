#include "replication/replication_shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "common/check.h"

namespace millrace {
namespace {

// More shards than any machine has: whoever says so is none of ours.
constexpr uint32_t kShardsMax = 1024;

}  // namespace

ReplicationShard::ReplicationShard(Env& env, LogStore& store, PartitionTable& partitions,
                                   const ReplicationPeers& peers, ReplicationOptions options)
    : options_(std::move(options)),
      env_(env),
      store_(store),
      partitions_(partitions),
      peers_(peers),
      leader_throttle_(env.reactor, options_.catch_up_read_bytes,
                       [](FeedSubscription* to, size_t bytes) { to->feed.OnGrant(*to, bytes); }),
      follower_throttle_(
          env.reactor, options_.catch_up_read_bytes,
          [](const FollowedClaim& to, size_t bytes) { to.link->OnGrant(to.id, bytes); }),
      scope_(env.reactor) {
  partitions_.set_observer(this);
}

ReplicationShard::~ReplicationShard() {
  MR_CHECK(stopping_);
  MR_CHECK(feeds_.empty());
  partitions_.set_observer(nullptr);
}

Task<void> ReplicationShard::Stop() {
  stopping_ = true;
  for (auto& [key, feed] : feeds_) feed->Shutdown("the broker is stopping");
  // One after the other: each is told when its turn comes, and none waits for another.
  for (auto& [key, link] : links_) co_await link->Stop();
  co_await scope_.Stop();
}

// --- Feeding followers ---------------------------------------------------------------------------

ReplicationVerdict ReplicationShard::Judge(const ReplicationHello& hello,
                                           std::string* reason) const {
  const auto refuse = [reason](ReplicationVerdict verdict, std::string why) {
    *reason = std::move(why);
    return verdict;
  };
  if (stopping_) return refuse(ReplicationVerdict::kStopping, "this broker is stopping");
  if (hello.cluster_id != options_.cluster_id) {
    return refuse(ReplicationVerdict::kWrongCluster,
                  fmt::format("this is cluster {}, not {}", options_.cluster_id, hello.cluster_id));
  }
  if (hello.leader != options_.self || hello.broker == options_.self) {
    return refuse(ReplicationVerdict::kWrongBroker,
                  fmt::format("this is broker {}, not {}", options_.self, hello.leader));
  }
  if (hello.leader_shard.value() >= options_.shards || hello.shard.value() >= kShardsMax) {
    return refuse(ReplicationVerdict::kNoSuchShard,
                  fmt::format("this broker has {} shards", options_.shards));
  }
  const std::optional<BrokerEpoch> epoch = peers_.EpochOf(hello.broker);
  if (!epoch.has_value() || *epoch < hello.broker_epoch) {
    return refuse(
        ReplicationVerdict::kUnknownBroker,
        fmt::format("broker {} is not known here in epoch {}", hello.broker, hello.broker_epoch));
  }
  if (*epoch > hello.broker_epoch) {
    return refuse(ReplicationVerdict::kStaleBroker,
                  fmt::format("broker {} has registered anew since epoch {}", hello.broker,
                              hello.broker_epoch));
  }
  return ReplicationVerdict::kWelcome;
}

void ReplicationShard::Serve(std::unique_ptr<Connection> connection, ParsedReplicationHello hello) {
  if (stopping_) {
    connection->Detach().reset();  // Closes it without waiting.
    return;
  }
  scope_.Spawn(ServeOne(std::move(connection), std::move(hello)), SchedClass::kReplication);
}

Task<void> ReplicationShard::ServeOne(std::unique_ptr<Connection> connection,
                                      ParsedReplicationHello hello) {
  ReplicationWelcome welcome{.verdict = ReplicationVerdict::kWelcome,
                             .reason = {},
                             .broker = options_.self,
                             .broker_epoch = peers_.EpochOf(options_.self).value_or(BrokerEpoch(0)),
                             .shards = options_.shards};
  welcome.verdict = Judge(hello.hello, &welcome.reason);
  absl::Status sent =
      co_await connection->Send(Chain(EncodeReplicationWelcome(welcome, hello.correlation_id)));
  if (!sent.ok() || welcome.verdict != ReplicationVerdict::kWelcome || stopping_) {
    if (welcome.verdict != ReplicationVerdict::kWelcome) {
      env_.logger.Info("replica stream of broker {} from {} refused: {}", hello.hello.broker,
                       connection->peer().ToString(), welcome.reason);
    }
    connection->Shutdown();
    co_await connection->Close();
    co_return;
  }
  const FeedKey key{hello.hello.broker, hello.hello.shard};
  FollowerFeed feed(env_, options_, metrics_, *this, std::move(hello.hello), std::move(connection));
  // The follower knows better than we do that its former stream is gone.
  if (auto before = feeds_.find(key); before != feeds_.end()) {
    before->second->Shutdown("the follower has begun another stream");
  }
  feeds_[key] = &feed;
  if (options_.on_stream) options_.on_stream(feed.broker(), feed.broker_epoch());
  absl::Status ended = co_await feed.Serve();
  env_.logger.Info("{} ended: {}", feed.name(), std::string(ended.message()));
  const auto at = feeds_.find(key);
  // Its loss is no news where the follower is back already, and has been told of.
  const bool replaced = at == feeds_.end() || at->second != &feed;
  if (!replaced) feeds_.erase(at);
  if (absl::IsCancelled(ended) || replaced) co_return;
  metrics_.streams_lost.Add();
  if (options_.on_loss && !stopping_) {
    const bool silent = absl::IsDeadlineExceeded(ended);
    options_.on_loss(feed.broker(), feed.broker_epoch(),
                     silent ? StreamLoss::kSilent : StreamLoss::kBroken);
  }
}

bool ReplicationShard::AskEcho(BrokerId leader, uint64_t number) {
  for (auto at = links_.lower_bound({leader, ShardId(0)});
       at != links_.end() && at->first.first == leader; ++at) {
    if (at->second->AskEcho(number)) return true;
  }
  return false;
}

// --- What changes about partitions ---------------------------------------------------------------

ReplicationShard::Slot& ReplicationShard::SlotOf(Partition& partition) {
  if (partition.observer_slot == UINT32_MAX) {
    if (free_slots_.empty()) {
      partition.observer_slot = static_cast<uint32_t>(slots_.size());
      slots_.emplace_back();
    } else {
      partition.observer_slot = free_slots_.back();
      free_slots_.pop_back();
    }
    slots_[partition.observer_slot].used = true;
  }
  return slots_[partition.observer_slot];
}

void ReplicationShard::FreeSlot(Partition& partition) {
  const uint32_t slot = std::exchange(partition.observer_slot, UINT32_MAX);
  slots_[slot] = Slot();
  free_slots_.push_back(slot);
}

void ReplicationShard::Attach(Partition& partition, FeedSubscription& subscription) {
  SlotOf(partition).feeds.push_back(&subscription);
}

void ReplicationShard::Detach(Partition& partition, FeedSubscription& subscription) {
  if (partition.observer_slot == UINT32_MAX) return;
  std::erase(SlotOf(partition).feeds, &subscription);
}

void ReplicationShard::EndFeeds(Slot& slot, StreamEnd why) {
  // End() takes the subscription out of the list.
  while (!slot.feeds.empty()) slot.feeds.back()->feed.End(*slot.feeds.back(), why);
}

void ReplicationShard::OnReplicaChange(Partition& partition, ReplicaChange change) {
  Slot& slot = SlotOf(partition);
  switch (change) {
    case ReplicaChange::kAppended:
    case ReplicaChange::kDurable:
      if (slot.link != nullptr) {
        // On a `disk` topic an append alone lets nobody commit.
        const Log& log = partition.log();
        slot.link->MarkProgress(partition.id(), change == ReplicaChange::kDurable ||
                                                    log.durable_end() == log.end_offset());
      }
      if (change == ReplicaChange::kDurable) return;
      break;
    case ReplicaChange::kLogStart:
      if (slot.link != nullptr) slot.link->MarkProgress(partition.id(), true);
      break;
    case ReplicaChange::kHighWatermark:
      break;
    case ReplicaChange::kDamaged:  // What can be read is sent as before.
      return;
    case ReplicaChange::kRole:
      OnRole(partition, slot);
      return;
    case ReplicaChange::kIsrProposed:
      for (FeedSubscription* subscription : slot.feeds)
        subscription->feed.Reconsider(*subscription);
      return;
    case ReplicaChange::kFailed:
      EndFeeds(slot, StreamEnd::kStorage);
      Unfollow(partition, slot);
      return;
    case ReplicaChange::kClosed:
      EndFeeds(slot, StreamEnd::kNoSuchPartition);
      Unfollow(partition, slot);
      FreeSlot(partition);
      return;
  }
  for (FeedSubscription* subscription : slot.feeds) {
    if (change == ReplicaChange::kAppended) {
      subscription->feed.MarkChanged(*subscription);
    } else {
      subscription->feed.MarkState(*subscription, change == ReplicaChange::kLogStart
                                                      ? options_.start_delay
                                                      : options_.high_watermark_delay);
    }
  }
}

void ReplicationShard::OnRole(Partition& partition, Slot& slot) {
  const LeaderEpoch epoch = partition.leader_epoch();
  if (!partition.leads()) {
    EndFeeds(slot, StreamEnd::kNotLeader);
  } else {
    if (slot.link != nullptr && slot.link->lost_since().has_value()) {
      metrics_.failover.Observe(env_.reactor.Now() - *slot.link->lost_since());
    }
    const std::vector<FeedSubscription*> feeds = slot.feeds;
    for (FeedSubscription* subscription : feeds) {
      if (subscription->epoch != epoch) {
        subscription->feed.End(*subscription, StreamEnd::kFencedEpoch);
      } else {
        subscription->feed.Reconsider(*subscription);
      }
    }
  }
  if (!partition.follows() || !partition.failure().ok()) {
    Unfollow(partition, slot);
  } else if (slot.followed != epoch) {
    Unfollow(partition, slot);
    Follow(partition, slot);
  } else if (slot.link != nullptr) {
    slot.link->Reconsider(partition.id());
  }
}

// --- Throttles -----------------------------------------------------------------------------------

void ReplicationShard::SetThrottleRates(const ThrottleRates& rates) {
  throttle_rates_ = rates;
  ShareThrottles();
}

void ReplicationShard::SetThrottledShards(TopicId topic, std::set<ShardId> leading,
                                          std::set<ShardId> following) {
  leader_shares_.Set(topic, std::move(leading));
  follower_shares_.Set(topic, std::move(following));
  ShareThrottles();
}

void ReplicationShard::ShareThrottles() {
  leader_throttle_.SetRate(leader_shares_.PartOf(throttle_rates_.leader));
  follower_throttle_.SetRate(follower_shares_.PartOf(throttle_rates_.follower));
}

// --- Following leaders ---------------------------------------------------------------------------

LeaderLink& ReplicationShard::LinkTo(BrokerId leader, ShardId shard) {
  std::unique_ptr<LeaderLink>& link = links_[LinkKey{leader, shard}];
  if (link == nullptr) {
    link = std::make_unique<LeaderLink>(env_, store_, options_, peers_, metrics_, *this, leader,
                                        shard);
    if (!stopping_) link->Start();
  }
  return *link;
}

void ReplicationShard::Follow(Partition& partition, Slot& slot) {
  if (stopping_) return;
  const BrokerId leader = *partition.leader();
  auto known = shards_of_.find(leader);
  const uint32_t shards = known == shards_of_.end() ? 1 : known->second;
  slot.link = &LinkTo(leader, ShardOf(partition.id(), shards));
  slot.followed = partition.leader_epoch();
  slot.link->Follow(partition);
}

void ReplicationShard::Unfollow(Partition& partition, Slot& slot) {
  if (slot.link != nullptr) slot.link->Unfollow(partition.id());
  slot.link = nullptr;
  slot.followed.reset();
}

void ReplicationShard::OnShardCount(BrokerId leader, uint32_t shards) {
  if (shards == 0 || shards > kShardsMax) return;
  uint32_t& known = shards_of_.try_emplace(leader, 1).first->second;
  if (std::exchange(known, shards) == shards) return;
  std::vector<TopicPartitionId> moving;
  for (auto at = links_.lower_bound({leader, ShardId(0)});
       at != links_.end() && at->first.first == leader; ++at) {
    for (const TopicPartitionId& id : at->second->TakeAll()) moving.push_back(id);
  }
  for (const TopicPartitionId& id : moving) {
    Partition* partition = partitions_.Find(id);
    if (partition == nullptr) continue;
    Slot& slot = SlotOf(*partition);
    slot.link = nullptr;
    slot.followed.reset();
    if (partition->follows() && partition->leader() == leader) Follow(*partition, slot);
  }
}

void ReplicationShard::OnBrokerChange(BrokerId broker) {
  const std::optional<BrokerEpoch> epoch = peers_.EpochOf(broker);
  for (auto at = feeds_.lower_bound({broker, ShardId(0)});
       at != feeds_.end() && at->first.first == broker; ++at) {
    if (at->second->broker_epoch() != epoch) {
      at->second->Shutdown("the follower's broker has registered anew, or is gone");
    }
  }
  for (auto& [key, link] : links_) {
    if (key.first == broker || broker == options_.self) link->Hurry();
  }
}

// --- Metrics -------------------------------------------------------------------------------------

void ReplicationShard::RegisterMetrics(MetricRegistry& registry) {
  const auto add = [&registry](const char* name, const char* help, const Counter& counter) {
    registry.Add({name, help}, &counter);
  };
  add("millrace_replication_sent_bytes_total", "Bytes sent to followers (ReplicationBytesOut).",
      metrics_.bytes_out);
  add("millrace_replication_received_bytes_total",
      "Bytes of batches received from leaders (ReplicationBytesIn).", metrics_.bytes_in);
  add("millrace_replication_catch_up_bytes_total",
      "Bytes sent to followers that had to be read from disk.", metrics_.catch_up_bytes);
  add("millrace_replication_dropped_frames_total",
      "Frames that came under handles which had ended.", metrics_.frames_dropped);
  constexpr const char* kThrottledBytes =
      "Bytes of throttled replicas, while there is a rate (Kafka: LeaderReplication and "
      "FollowerReplication byte-rate).";
  registry.Add({"millrace_replication_throttled_bytes_total", kThrottledBytes, {{"as", "leader"}}},
               &metrics_.throttled_bytes_out);
  registry.Add(
      {"millrace_replication_throttled_bytes_total", kThrottledBytes, {{"as", "follower"}}},
      &metrics_.throttled_bytes_in);
  constexpr const char* kThrottled = "Replicas that a replication throttle holds back now.";
  registry.AddGauge({"millrace_replication_throttled_replicas", kThrottled, {{"as", "leader"}}},
                    [this] { return static_cast<double>(leader_throttle_.waiting()); });
  registry.AddGauge({"millrace_replication_throttled_replicas", kThrottled, {{"as", "follower"}}},
                    [this] { return static_cast<double>(follower_throttle_.waiting()); });
  add("millrace_replication_truncations_total",
      "Times that a log here was cut, or begun anew, because the leader's differed.",
      metrics_.truncations);
  add("millrace_replication_corrupt_batches_total",
      "Batches from leaders that failed their checksum.", metrics_.corrupt);
  add("millrace_replication_streams_lost_total", "Replication streams that broke.",
      metrics_.streams_lost);
  registry.Add({"millrace_failover_seconds",
                "From the loss of the stream to a partition's leader to leading it here, once a "
                "partition."},
               &metrics_.failover);
  registry.AddGaugeMax(
      {"millrace_replication_lag_records", "Records that the slowest follower is behind (MaxLag)."},
      [this] {
        int64_t most = 0;
        for (const auto& [key, feed] : feeds_) most = std::max(most, feed->LagMax());
        return static_cast<double>(most);
      });
  registry.AddGaugeMax({"millrace_replication_lag_seconds",
                        "For how long the most laggard follower in an ISR has been behind."},
                       [this] {
                         Duration most{0};
                         for (const auto& [key, feed] : feeds_) {
                           most = std::max(most, feed->LagTimeMax());
                         }
                         return static_cast<double>(most.count()) / 1e9;
                       });
  registry.AddGauge({"millrace_replication_feeds", "Streams on which followers are fed."},
                    [this] { return static_cast<double>(feeds_.size()); });
  registry.AddGauge({"millrace_replication_links", "Streams on which leaders are followed."},
                    [this] { return static_cast<double>(links_.size()); });
}

}  // namespace millrace
