// Broker: what the APIs of one shard stand on: the latest image, the partitions, the controller,
// the limits. One API, one file (broker/api/NN_name.cc); they are registered in
// broker/api/api_table.cc.
//
// Shard:    one Broker per shard.
// Lifetime: everything it refers to outlives it; it outlives every request.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/broker_shards.h"
#include "broker/controller_access.h"
#include "broker/fetch/fetch_budget.h"
#include "broker/fetch/fetch_session.h"
#include "broker/metadata_applier.h"
#include "broker/producer_id_source.h"
#include "broker/topic_config_source.h"
#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/semaphore.h"
#include "controller/image/metadata_image.h"
#include "replication/partition_table.h"
#include "storage/log_store.h"
#include "storage/record/shard_validator.h"

namespace millrace {

class ReplicationDoor;

class BrokerDoubts;
class FencingDoubts;
class LifeSigns;
class GroupService;

// How __consumer_offsets is made.
struct GroupsTopicOptions {
  int32_t partitions = 50;            // offsets.topic.num.partitions.
  int32_t replication_factor = 3;     // offsets.topic.replication.factor.
  int32_t segment_bytes = 100 << 20;  // offsets.topic.segment.bytes.
};

struct BrokerOptions {
  BrokerId node_id{1};
  std::string cluster_id;                  // As text: Kafka lets it be any.
  bool auto_create_topics = true;          // auto.create.topics.enable.
  bool read_from_rack = false;             // replica.selector.class: consumers read in their rack.
  size_t fetch_bytes_max = 57671680;       // fetch.max.bytes: of one Fetch answer.
  int32_t describe_partitions_max = 2000;  // max.request.partition.size.limit: of one page.
  GroupsTopicOptions groups_topic = {};
};

// Look-ups by time at once on one shard. Higher: less waiting for slow disks, more memory.
inline constexpr size_t kTimeSearchesMax = 3;

struct Broker {
  // Constant after construction.
  BrokerOptions options;
  // Borrowed.
  Env& env;
  BrokerShards& shards;  // This one among them.
  ControllerAccess& controller;
  const MetadataApplier& metadata;
  PartitionTable& partitions;
  LogStore& store;
  const TopicConfigSource& configs;
  FetchBudget& fetch_budget;
  GroupService* groups = nullptr;          // Null in tests of other things.
  ReplicationDoor* replication = nullptr;  // Null: no broker follows this one.
  const BrokerDoubts* doubts = nullptr;    // Null: nobody is doubted,
  LifeSigns* life_signs = nullptr;         // or asked.
  FencingDoubts* fencing = nullptr;        // Null: nor is this broker.
  // Owned.
  FetchSessionCache sessions;
  ProducerIdSource producer_ids;
  ShardValidator validator;
  // Look-ups by time, each of which has a decompressor and maybe a large batch in memory.
  ByteBudget time_searches{env.reactor, kTimeSearchesMax};

  const std::shared_ptr<const MetadataImage>& image() const { return metadata.image(); }
};

}  // namespace millrace
