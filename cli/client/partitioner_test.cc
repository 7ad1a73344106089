#include "cli/client/partitioner.h"

#include <catch2/catch.hpp>
#include <map>
#include <string_view>

#include "common/runtime/sim/sim_random.h"

namespace millrace {
namespace {

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

TEST_CASE("Murmur2: hashes as Kafka's Java client") {
  CHECK(Murmur2(BytesOf("21")) == -973932308);
  CHECK(Murmur2(BytesOf("foobar")) == -790332482);
  CHECK(Murmur2(BytesOf("a-little-bit-long-string")) == -985981536);
  CHECK(Murmur2(BytesOf("a-little-bit-longer-string")) == -1486304829);
  CHECK(Murmur2(BytesOf("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8")) == -58897971);
  CHECK(Murmur2(BytesOf("abc")) == 479470107);
}

TEST_CASE("PartitionOfKey: a negative hash gives a partition too") {
  CHECK(PartitionOfKey(BytesOf("21"), 7) == PartitionId((-973932308 & 0x7fffffff) % 7));
  CHECK(PartitionOfKey(BytesOf("abc"), 1) == PartitionId(0));
}

TEST_CASE("StickyPartitioner: stays until its turn is full, then goes on to another one") {
  SimRandom random(1);
  StickyPartitioner sticky(random);
  const std::vector<PartitionId> available = {PartitionId(0), PartitionId(1), PartitionId(2)};
  std::map<PartitionId, int> turns;
  for (int turn = 0; turn < 300; ++turn) {
    const PartitionId first = sticky.Next(available, 1);
    for (size_t bytes = 1; bytes < StickyPartitioner::kBytesPerTurn; bytes += 1023) {
      REQUIRE(sticky.Next(available, 1023) == first);
    }
    REQUIRE(sticky.Next(available, 1) != first);
    sticky.Next(available, StickyPartitioner::kBytesPerTurn);
    ++turns[first];
  }
  for (PartitionId partition : available) CHECK(turns[partition] > 50);
}

TEST_CASE("StickyPartitioner: leaves a partition that is no longer available") {
  SimRandom random(1);
  StickyPartitioner sticky(random);
  const PartitionId first = sticky.Next({PartitionId(0), PartitionId(1)}, 1);
  const PartitionId other(1 - first.value());
  CHECK(sticky.Next({other}, 1) == other);
}

}  // namespace millrace
