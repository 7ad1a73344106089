#include "broker/fetch/replica_selector.h"

#include <catch2/catch.hpp>

namespace millrace {

TEST_CASE("SelectByRack: the leader, if it is in the rack; else the most caught up that has it") {
  std::vector<ReadableReplica> replicas = {
      {BrokerId(1), "a", Offset(0), Offset(100), Duration(0), true},
      {BrokerId(2), "b", Offset(0), Offset(90), seconds(1), false},
      {BrokerId(3), "b", Offset(50), Offset(95), seconds(2), false},
      {BrokerId(4), std::nullopt, Offset(0), Offset(100), Duration(0), false},
  };
  CHECK(SelectByRack(replicas, "a", Offset(10)) == BrokerId(1));
  CHECK(SelectByRack(replicas, "b", Offset(60)) == BrokerId(3));
  CHECK(SelectByRack(replicas, "b", Offset(10)) == BrokerId(2));
  CHECK(SelectByRack(replicas, "b", Offset(99)) == std::nullopt);
  CHECK(SelectByRack(replicas, "c", Offset(10)) == std::nullopt);
  replicas[1].log_end = Offset(95);
  CHECK(SelectByRack(replicas, "b", Offset(60)) == BrokerId(2));  // Behind for less long.
  replicas.push_back({BrokerId(5), "a", Offset(0), Offset(100), Duration(0), false});
  CHECK(SelectByRack(replicas, "a", Offset(10)) == BrokerId(1));
}

}  // namespace millrace
