// When followers hear what is committed, on simulated machines.
#include <algorithm>
#include <catch2/catch.hpp>

#include "replication/replica_cluster_test_tools.h"

namespace millrace {

TEST_CASE("Replication stream: a high watermark waits for company, a log start not for long") {
  ReplicaClusterOptions options;
  options.streams.high_watermark_delay = milliseconds(500);
  ReplicaCluster cluster(7, options);
  cluster.Create(0, 1);
  REQUIRE(cluster.Append(0, {"a"}).ok());
  REQUIRE(cluster.WaitConverged());
  Partition& leader = cluster.partition(0, 1);
  const auto known = [&] {
    return std::min(cluster.partition(0, 2).high_watermark(),
                    cluster.partition(0, 3).high_watermark());
  };
  const auto committed = [&](int64_t end) {
    REQUIRE(cluster.world.RunUntil([&] { return leader.high_watermark() == Offset(end); },
                                   milliseconds(100)));
  };

  // Alone, in the end.
  REQUIRE(cluster.Append(0, {"b"}).ok());
  committed(2);
  cluster.world.RunFor(milliseconds(300));
  CHECK(known() == Offset(1));
  cluster.world.RunFor(milliseconds(300));
  CHECK(known() == Offset(2));

  // With the next batch.
  REQUIRE(cluster.Append(0, {"c"}).ok());
  committed(3);
  REQUIRE(cluster.Append(0, {"d"}).ok());
  committed(4);
  CHECK(known() == Offset(3));

  // With a log start, which a DeleteRecords waits for.
  REQUIRE(cluster.world.Run(cluster.env(1), leader.log().AdvanceStart(Offset(2))).ok());
  cluster.streams(1).OnReplicaChange(leader, ReplicaChange::kLogStart);
  cluster.world.RunFor(milliseconds(100));
  CHECK(known() == Offset(4));
  CHECK(cluster.partition(0, 2).log().start_offset() == Offset(2));
}

}  // namespace millrace
