#include "broker/fencing_doubts.h"

#include <catch2/catch.hpp>

using namespace millrace;  // NOLINT

namespace {

constexpr Duration kTimeout = seconds(3);
constexpr Instant At(int64_t ms) { return Instant(0) + milliseconds(ms); }
constexpr TopicPartitionId kPartition{TopicId(1, 1), PartitionId(0)};

// Asks every interval, as a wait does; what the last one heard.
bool Ask(FencingDoubts* doubts, Offset reached, int64_t from_ms, int64_t to_ms) {
  bool fenced = false;
  const int64_t step = 750;
  for (int64_t at = from_ms; at <= to_ms; at += step) {
    fenced = doubts->MustAssumeFenced(kPartition, reached, At(at));
  }
  return fenced;
}

}  // namespace

TEST_CASE("FencingDoubts: a leader in session waits as long as its client does") {
  FencingDoubts doubts(kTimeout);
  CHECK_FALSE(Ask(&doubts, Offset(5), 0, 100'000));
}

TEST_CASE("FencingDoubts: a leader assumes it was fenced when a controller would have fenced it") {
  FencingDoubts doubts(kTimeout);
  doubts.OnController(At(0));
  CHECK_FALSE(Ask(&doubts, Offset(5), 0, 3000));
  CHECK(Ask(&doubts, Offset(5), 3750, 3750));
}

TEST_CASE("FencingDoubts: a partition that commits is served on without any controller") {
  FencingDoubts doubts(kTimeout);
  doubts.OnController(At(0));
  CHECK_FALSE(Ask(&doubts, Offset(5), 0, 3000));
  CHECK_FALSE(Ask(&doubts, Offset(6), 3750, 6000));
  CHECK(Ask(&doubts, Offset(6), 6750, 7500));
}

TEST_CASE("FencingDoubts: a partition for which nobody waited has not stood still") {
  FencingDoubts doubts(kTimeout);
  doubts.OnController(At(0));
  CHECK_FALSE(Ask(&doubts, Offset(5), 0, 2250));
  CHECK_FALSE(Ask(&doubts, Offset(5), 60'000, 63'000));
  CHECK(Ask(&doubts, Offset(5), 63'750, 63'750));
}

TEST_CASE("FencingDoubts: a doubt is of one epoch, and ends with time or with a session") {
  FencingDoubts doubts(kTimeout);
  doubts.OnDoubt(kPartition, LeaderEpoch(4), At(0));
  CHECK_FALSE(doubts.IsDoubtful(kPartition, LeaderEpoch(4), At(1)));  // There is a session.
  doubts.OnController(At(0));
  doubts.OnDoubt(kPartition, LeaderEpoch(4), At(4000));
  CHECK(doubts.IsDoubtful(kPartition, LeaderEpoch(4), At(4001)));
  CHECK_FALSE(doubts.IsDoubtful(kPartition, LeaderEpoch(5), At(4001)));
  CHECK(doubts.MayBeFenced(At(4001)));
  CHECK_FALSE(doubts.IsDoubtful(kPartition, LeaderEpoch(4), At(7000)));
  CHECK_FALSE(doubts.MayBeFenced(At(7000)));
  doubts.OnDoubt(kPartition, LeaderEpoch(4), At(8000));
  doubts.OnController(std::nullopt);
  CHECK_FALSE(doubts.IsDoubtful(kPartition, LeaderEpoch(4), At(8001)));
}

TEST_CASE("FencingDoubts: what was heard holds for half a session, and not beyond its end") {
  FencingDoubts doubts(kTimeout);
  CHECK_FALSE(doubts.IsSurelyUnfenced(At(0)));
  doubts.OnController(std::nullopt);
  CHECK_FALSE(doubts.IsSurelyUnfenced(At(0)));  // Registered, and not unfenced yet.
  doubts.OnHeartbeat(At(1000));
  CHECK(doubts.IsSurelyUnfenced(At(2499)));
  CHECK_FALSE(doubts.IsSurelyUnfenced(At(2500)));
  doubts.OnHeartbeat(At(2000));
  CHECK(doubts.IsSurelyUnfenced(At(2500)));
  doubts.OnController(At(2100));
  CHECK_FALSE(doubts.IsSurelyUnfenced(At(2500)));
}
