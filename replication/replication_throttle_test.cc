#include "replication/replication_throttle.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "replication/throttle_shares.h"
#include "test/rounds.h"

namespace millrace {
namespace {

constexpr Instant kStart(1'000'000'000);

ReplicationThrottle At(uint64_t rate) {
  ReplicationThrottle throttle;
  throttle.SetRate(rate, kStart);
  return throttle;
}

}  // namespace

TEST_CASE("ReplicationThrottle: without a rate everything may go") {
  ReplicationThrottle throttle;
  throttle.Take(1'000'000'000, kStart);
  throttle.Note(1'000'000'000, kStart);
  CHECK(throttle.MayTake(kStart));
  CHECK(throttle.TakeUpTo(77, kStart) == 77);
}

TEST_CASE("ReplicationThrottle: it begins empty, fills at the rate, and keeps a second of it") {
  ReplicationThrottle throttle = At(1000);
  CHECK_FALSE(throttle.MayTake(kStart));
  CHECK(throttle.TakeUpTo(5000, kStart + milliseconds(100)) == 100);
  CHECK_FALSE(throttle.MayTake(kStart + milliseconds(100)));
  CHECK(throttle.TakeUpTo(300, kStart + seconds(100)) == 300);
  CHECK(throttle.TakeUpTo(5000, kStart + seconds(100)) == 700);
}

TEST_CASE("ReplicationThrottle: a batch larger than all there is goes, and is paid for") {
  ReplicationThrottle throttle = At(1000);
  Instant now = kStart + seconds(1);
  CHECK(throttle.TakeUpTo(100, now) == 100);
  throttle.Take(99'900, now);  // The batch had 100'000 bytes.
  CHECK_FALSE(throttle.MayTake(now + seconds(98)));
  CHECK(throttle.MayTake(now + throttle.Wait(now) + throttle.Wait(now + throttle.Wait(now))));
  throttle.Take(-99'900, now);  // Given back.
  CHECK(throttle.TakeUpTo(1000, now) == 900);
}

TEST_CASE(
    "ReplicationThrottle: at a rate of nothing, or next to it, waits are neither short nor "
    "endless") {
  for (uint64_t rate : {0, 1}) {
    ReplicationThrottle throttle = At(rate);
    Instant now = kStart;
    CHECK(throttle.Wait(now) >= milliseconds(999));
    now = now + seconds(2);
    REQUIRE(throttle.MayTake(now));
    CHECK(throttle.TakeUpTo(1 << 20, now) == 1);
    throttle.Take(int64_t{1} << 60, now);
    CHECK(throttle.Wait(now) == ReplicationThrottle::kWaitMax);
    CHECK_FALSE(throttle.MayTake(now + seconds(1'000'000)));
    // A new rate begins with ten seconds of debt at most.
    throttle.SetRate(1'000'000, now);
    CHECK_FALSE(throttle.MayTake(now + seconds(9)));
    CHECK(throttle.MayTake(now + seconds(11)));
    throttle.SetRate(std::nullopt, now);
    CHECK(throttle.MayTake(now));
  }
}

TEST_CASE("ReplicationThrottle: those in sync are felt, and not for long after") {
  ReplicationThrottle throttle = At(1000);
  for (int i = 0; i < 1000; ++i) throttle.Note(1'000'000, kStart);
  CHECK_FALSE(throttle.MayTake(kStart + seconds(9)));
  CHECK(throttle.MayTake(kStart + seconds(11)));
  // A debt that was taken stays, and is made no smaller by them.
  throttle.Take(100'000, kStart + seconds(11));
  throttle.Note(50'000, kStart + seconds(11));
  CHECK_FALSE(throttle.MayTake(kStart + seconds(100)));
}

TEST_CASE("ReplicationThrottle: whatever is taken and when, it is the rate in the long run") {
  std::mt19937 random(5);
  for (size_t round = 0; round < Rounds(200); ++round) {
    const uint64_t rate = 1 + random() % 1'000'000;
    const uint64_t largest = 1 + random() % 100'000;
    ReplicationThrottle throttle = At(rate);
    Instant now = kStart;
    uint64_t taken = 0;
    for (int i = 0; i < 300; ++i) {
      if (throttle.MayTake(now)) {
        const size_t granted = throttle.TakeUpTo(1 + random() % largest, now);
        const uint64_t used = random() % largest;
        throttle.Take(static_cast<int64_t>(used) - static_cast<int64_t>(granted), now);
        taken += used;
      }
      const double may =
          static_cast<double>(rate) * static_cast<double>((now - kStart).count()) / 1e9;
      REQUIRE(static_cast<double>(taken) <= may + static_cast<double>(largest) + 1);
      now = now + (random() % 2 == 0 ? throttle.Wait(now) : Duration(random() % 1'000'000));
    }
  }
}

TEST_CASE("ThrottleShares: the rate is divided among the shards that have something to hold back") {
  ThrottleShares shares;
  const TopicId one(1, 1);
  const TopicId two(2, 2);
  CHECK(shares.PartOf(900) == 900);
  CHECK_FALSE(shares.PartOf(std::nullopt).has_value());
  shares.Set(one, {ShardId(0), ShardId(2)});
  shares.Set(two, {ShardId(2), ShardId(1)});
  CHECK(shares.PartOf(900) == 300);
  shares.Set(one, {ShardId(2)});
  CHECK(shares.PartOf(900) == 450);
  shares.Set(one, {});
  shares.Set(one, {});
  CHECK(shares.PartOf(900) == 450);
  shares.Set(two, {});
  CHECK(shares.PartOf(900) == 900);
}

}  // namespace millrace
