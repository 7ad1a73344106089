#include "replication/commit_tracker.h"

#include <catch2/catch.hpp>
#include <random>

using namespace millrace;

namespace {
const BrokerId n1(1), n2(2), n3(3);
}

TEST_CASE("CommitTracker: alone, a replica's own end is the high watermark") {
  CommitTracker tracker(n1, {n1}, 1, Offset(5));
  CHECK(tracker.OnEnd(n1, Offset(9)));
  CHECK(tracker.high_watermark() == Offset(9));
  CHECK_FALSE(tracker.OnEnd(n1, Offset(7)));
  CHECK(tracker.high_watermark() == Offset(9));
}

TEST_CASE("CommitTracker: the slowest member of the ISR holds the high watermark") {
  CommitTracker tracker(n1, {n1, n2, n3}, 2, Offset(0));
  CHECK_FALSE(tracker.OnEnd(n1, Offset(10)));
  CHECK_FALSE(tracker.OnEnd(n2, Offset(8)));  // n3 has not been heard of.
  CHECK(tracker.OnEnd(n3, Offset(3)));
  CHECK(tracker.high_watermark() == Offset(3));
}

TEST_CASE(
    "CommitTracker: a slow follower counts until the controller has committed the smaller ISR "
    "(KIP-497)") {
  CommitTracker tracker(n1, {n1, n2, n3}, 1, Offset(0));
  tracker.OnEnd(n1, Offset(5));
  tracker.OnEnd(n2, Offset(5));
  tracker.OnEnd(n3, Offset(0));
  tracker.OnIsrProposed({n1, n2});
  CHECK_FALSE(tracker.OnEnd(n1, Offset(6)));
  CHECK(tracker.high_watermark() == Offset(0));
  CHECK(tracker.OnIsr({n1, n2}));
  CHECK(tracker.high_watermark() == Offset(5));
}

TEST_CASE("CommitTracker: a member being added counts as soon as it is proposed") {
  CommitTracker tracker(n1, {n1}, 1, Offset(0));
  tracker.OnEnd(n1, Offset(5));
  tracker.OnEnd(n2, Offset(5));
  tracker.OnIsrProposed({n1, n2});
  CHECK_FALSE(tracker.OnEnd(n1, Offset(9)));
  CHECK(tracker.OnEnd(n2, Offset(7)));
  CHECK(tracker.high_watermark() == Offset(7));
}

TEST_CASE("CommitTracker: below min.insync.replicas nothing commits (KIP-966)") {
  CommitTracker tracker(n1, {n1}, 2, Offset(3));
  CHECK_FALSE(tracker.OnEnd(n1, Offset(9)));
  CHECK(tracker.high_watermark() == Offset(3));
  tracker.OnEnd(n2, Offset(8));
  CHECK(tracker.OnIsr({n1, n2}));
  CHECK(tracker.high_watermark() == Offset(8));
}

TEST_CASE(
    "CommitTracker: whatever happens, the high watermark never goes back nor above a member's "
    "end") {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    CommitTracker tracker(n1, {n1, n2, n3}, 1 + random() % 3, Offset(0));
    std::map<BrokerId, int64_t> ends;
    Offset before(0);
    for (int step = 0; step < 100; ++step) {
      BrokerId who(1 + static_cast<int32_t>(random() % 3));
      switch (random() % 4) {
        case 0: {
          std::set<BrokerId> isr = {n1};
          if (random() % 2 != 0) isr.insert(n2);
          if (random() % 2 != 0) isr.insert(n3);
          // A member joins only when it has everything committed (P11).
          bool eligible = true;
          for (BrokerId id : isr)
            eligible = eligible && ends[id] >= tracker.high_watermark().value();
          if (eligible) tracker.OnIsr(isr);
          break;
        }
        default:
          ends[who] += static_cast<int64_t>(random() % 5);
          tracker.OnEnd(who, Offset(ends[who]));
      }
      REQUIRE(tracker.high_watermark() >= before);
      if (tracker.high_watermark() > before) {
        for (BrokerId id : tracker.isr()) REQUIRE(ends[id] >= tracker.high_watermark().value());
      }
      before = tracker.high_watermark();
    }
  }
}
