#include "broker/node/shard_count.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

TEST_CASE("ChooseShards: a small machine gets one, a larger one one per processor") {
  CHECK(ChooseShards(0, 1) == 1);
  CHECK(ChooseShards(0, 3) == 1);
  CHECK(ChooseShards(0, 4) == 4);
  CHECK(ChooseShards(0, 64) == 64);
}

TEST_CASE("ChooseShards: a number says what it says, on any machine") {
  CHECK(ChooseShards(1, 64) == 1);
  CHECK(ChooseShards(3, 1) == 3);
}

}  // namespace
}  // namespace millrace
