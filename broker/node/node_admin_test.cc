#include "broker/node/node_admin.h"

#include <catch2/catch.hpp>

#include "controller/image/metadata_delta.h"

namespace millrace {
namespace {

using Ids = std::vector<BrokerId>;

PartitionImage Described(const Ids& replicas, const Ids& isr, std::optional<BrokerId> leader) {
  PartitionImage partition;
  partition.replicas = std::span<const BrokerId>(replicas);
  partition.isr = std::span<const BrokerId>(isr);
  partition.leader = leader;
  return partition;
}

// Topic "t" with these partitions, on brokers that are registered and unfenced.
NodeStatus StatusOf(BrokerId node, const std::vector<PartitionImage>& partitions) {
  MetadataDelta delta(std::make_shared<const MetadataImage>());
  for (int32_t id : {1, 2, 3}) {
    BrokerImage broker;
    broker.id = BrokerId(id);
    broker.fenced = false;
    REQUIRE(delta.Apply(RegisterBrokerRecord{broker}).ok());
  }
  REQUIRE(delta.Apply(TopicRecord{"t", TopicId(1, 1)}).ok());
  for (size_t i = 0; i < partitions.size(); ++i) {
    REQUIRE(delta
                .Apply(PartitionRecord{TopicId(1, 1), PartitionId(static_cast<int32_t>(i)),
                                       partitions[i]})
                .ok());
  }
  NodeStatus status;
  DescribeCluster(*delta.Build(RaftIndex(1)), node, /*is_broker=*/true, status);
  return status;
}

}  // namespace

TEST_CASE(
    "DescribeCluster: partitions that are led, lack a leader, are behind or move are counted") {
  const BrokerId one(1);
  const BrokerId two(2);
  const BrokerId three(3);
  PartitionImage adding = Described({one, two, three}, {one, two}, one);
  adding.adding = {three};
  PartitionImage removing = Described({two, three}, {two, three}, two);
  removing.removing = {three};
  const NodeStatus status = StatusOf(one, {Described({one, two}, {one, two}, one),
                                           Described({three}, {}, std::nullopt), adding, removing});
  CHECK(status.partitions == 4);
  CHECK(status.led == 2);
  CHECK(status.replicas == 2);
  CHECK(status.leaderless == 1);
  CHECK(status.under_replicated == 2);
  CHECK(status.reassigning == 2);
  CHECK(status.brokers.size() == 3);
  CHECK_FALSE(status.not_ready.has_value());
}

TEST_CASE("DescribeCluster: a broker that is not registered is no place to send clients to") {
  CHECK(StatusOf(BrokerId(7), {}).not_ready == "not registered");
}

}  // namespace millrace
