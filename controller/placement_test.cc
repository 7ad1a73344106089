#include "controller/placement.h"

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "common/error_kind.h"

using namespace millrace;

namespace {
std::vector<PlacementCandidate> Brokers(int count, int racks, int fenced = 0) {
  std::vector<PlacementCandidate> brokers;
  for (int i = 0; i < count; ++i) {
    std::optional<std::string> rack;
    if (racks > 0) rack = "r" + std::to_string(i % racks);
    brokers.push_back({BrokerId(i), rack, i < fenced});
  }
  return brokers;
}
}  // namespace

TEST_CASE("PlaceReplicas: leaders and replicas are spread evenly") {
  auto placed = PlaceReplicas(Brokers(6, 3), 60, 3, 17);
  REQUIRE(placed.ok());
  std::map<int, int> leaders;
  std::map<int, int> replicas;
  for (const auto& partition : *placed) {
    ++leaders[partition[0].value()];
    for (BrokerId id : partition) ++replicas[id.value()];
  }
  for (int id = 0; id < 6; ++id) {
    CHECK(leaders[id] == 10);
    CHECK(replicas[id] == 30);
  }
}

TEST_CASE(
    "PlaceReplicas: a partition has distinct brokers, and distinct racks while there are enough") {
  for (uint64_t start = 0; start < 20; ++start) {
    auto placed = PlaceReplicas(Brokers(7, 3, 2), 40, 3, start);
    REQUIRE(placed.ok());
    for (const auto& partition : *placed) {
      std::set<int> racks;
      for (BrokerId id : partition) racks.insert(id.value() % 3);
      REQUIRE(racks.size() == 3);
    }
    auto wide = PlaceReplicas(Brokers(5, 2, 1), 9, 5, start);
    REQUIRE(wide.ok());
    for (const auto& partition : *wide) {
      REQUIRE(std::set<BrokerId>(partition.begin(), partition.end()).size() == 5);
      REQUIRE(partition[0] != BrokerId(0));  // A fenced broker does not lead.
    }
  }
}

TEST_CASE("PlaceReplicas: what cannot be placed is refused with Kafka's reason") {
  CHECK(KindOf(PlaceReplicas(Brokers(2, 0), 1, 3, 0).status()) ==
        ErrorKind::kInvalidReplicationFactor);
  CHECK(KindOf(PlaceReplicas(Brokers(2, 0), 1, 0, 0).status()) ==
        ErrorKind::kInvalidReplicationFactor);
  CHECK(KindOf(PlaceReplicas(Brokers(2, 0, 2), 1, 1, 0).status()) ==
        ErrorKind::kInvalidReplicationFactor);
}
