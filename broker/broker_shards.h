// BrokerShards: the Brokers of all shards of this node, and the way to them.
//
// Shard:    filled on shard 0 before any request is accepted, constant from then on, so that every
//           shard may read it. A Broker is used on its own shard only: broker/on_shard.h goes
//           there.
// Lifetime: `calls` and the Brokers outlive every request.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/check.h"
#include "common/ids.h"
#include "common/runtime/shards.h"
#include "storage/log_store.h"

namespace millrace {

struct Broker;

class BrokerShards {
 public:
  explicit BrokerShards(Shards& calls) : calls_(calls), brokers_(calls.count(), nullptr) {}

  size_t count() const { return brokers_.size(); }
  Shards& calls() const { return calls_; }
  void Set(ShardId shard, Broker* broker) { brokers_.at(shard.value()) = broker; }
  Broker* at(ShardId shard) const {
    Broker* broker = brokers_.at(shard.value());
    MR_CHECK(broker != nullptr);
    return broker;
  }
  // The shard whose Broker serves `id`.
  ShardId Of(const TopicPartitionId& id) const {
    return ShardOf(id, static_cast<uint32_t>(brokers_.size()));
  }

 private:
  Shards& calls_;
  std::vector<Broker*> brokers_;
};

}  // namespace millrace
