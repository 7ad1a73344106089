#include "storage/leader_epoch_cache.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

LeaderEpochCache Make(std::initializer_list<EpochStart> entries) {
  LeaderEpochCache cache;
  for (const EpochStart& entry : entries) cache.Assign(entry.epoch, entry.start_offset);
  return cache;
}

EpochStart At(int32_t epoch, int64_t start) { return {LeaderEpoch(epoch), Offset(start)}; }

std::vector<EpochStart> Entries(const LeaderEpochCache& cache) { return cache.entries(); }

}  // namespace

// So nothing is lost with the epochs of a log without records (docs/storage.md, What ends a record's life).
TEST_CASE(
    "LeaderEpochCache: of an emptied log a leader and a follower know what an empty one does") {
  const Offset end(30);
  for (const int32_t epoch : {4, 6}) {  // The latest again, or a later one.
    LeaderEpochCache emptied = Make({At(2, 5), At(4, 20)});
    emptied.TruncateFromStart(end);
    REQUIRE_FALSE(emptied.empty());
    LeaderEpochCache leading = emptied;
    leading.Assign(LeaderEpoch(epoch), end);
    CHECK(Entries(leading) == std::vector{At(epoch, 30)});
    emptied.TruncateFromEnd(end);
    CHECK(emptied.empty());
  }
}

TEST_CASE("LeaderEpochCache: an epoch is kept once, where it began") {
  LeaderEpochCache cache;
  CHECK(cache.Assign(LeaderEpoch(2), Offset(10)));
  CHECK_FALSE(cache.Assign(LeaderEpoch(2), Offset(10)));
  CHECK_FALSE(cache.Assign(LeaderEpoch(2), Offset(25)));
  CHECK(cache.Assign(LeaderEpoch(5), Offset(30)));
  CHECK(Entries(cache) == std::vector{At(2, 10), At(5, 30)});
  CHECK(cache.latest_epoch() == LeaderEpoch(5));
}

TEST_CASE("LeaderEpochCache: a new entry removes those it contradicts") {
  LeaderEpochCache cache = Make({At(1, 0), At(2, 10), At(3, 20), At(4, 30)});
  // Epoch 3 starts at 15 after all: what said otherwise was on a log that has been cut back.
  CHECK(cache.Assign(LeaderEpoch(3), Offset(15)));
  CHECK(Entries(cache) == std::vector{At(1, 0), At(2, 10), At(3, 15)});
  // An epoch without records gives way to the next one at the same offset.
  CHECK(cache.Assign(LeaderEpoch(4), Offset(15)));
  CHECK(Entries(cache) == std::vector{At(1, 0), At(2, 10), At(4, 15)});
}

TEST_CASE("LeaderEpochCache: the end of an epoch is where the next known one begins") {
  LeaderEpochCache cache = Make({At(2, 5), At(4, 10), At(7, 20)});
  Offset end(33);
  CHECK(cache.EndOffsetFor(LeaderEpoch(7), end) == EpochEndOffset{LeaderEpoch(7), end});
  CHECK_FALSE(cache.EndOffsetFor(LeaderEpoch(8), end).has_value());
  CHECK(cache.EndOffsetFor(LeaderEpoch(4), end) == EpochEndOffset{LeaderEpoch(4), Offset(20)});
  // Between known epochs: the one below answers.
  CHECK(cache.EndOffsetFor(LeaderEpoch(6), end) == EpochEndOffset{LeaderEpoch(4), Offset(20)});
  // Below all of them: that epoch, and the first start.
  CHECK(cache.EndOffsetFor(LeaderEpoch(1), end) == EpochEndOffset{LeaderEpoch(1), Offset(5)});
  CHECK_FALSE(LeaderEpochCache().EndOffsetFor(LeaderEpoch(0), end).has_value());
}

TEST_CASE("LeaderEpochCache: the epoch of an offset is the last one that began at or before it") {
  LeaderEpochCache cache = Make({At(2, 5), At(4, 10)});
  CHECK_FALSE(cache.EpochFor(Offset(4)).has_value());
  CHECK(cache.EpochFor(Offset(5)) == LeaderEpoch(2));
  CHECK(cache.EpochFor(Offset(9)) == LeaderEpoch(2));
  CHECK(cache.EpochFor(Offset(10)) == LeaderEpoch(4));
}

TEST_CASE("LeaderEpochCache: cutting the end removes epochs that began at or behind it") {
  LeaderEpochCache cache = Make({At(2, 5), At(4, 10), At(7, 20)});
  CHECK_FALSE(cache.TruncateFromEnd(Offset(21)));
  CHECK(cache.TruncateFromEnd(Offset(20)));
  CHECK(Entries(cache) == std::vector{At(2, 5), At(4, 10)});
  CHECK(cache.TruncateFromEnd(Offset(0)));
  CHECK(cache.empty());
}

TEST_CASE("LeaderEpochCache: moving the start keeps the epoch that is in force there") {
  LeaderEpochCache cache = Make({At(2, 5), At(4, 10), At(7, 20)});
  CHECK_FALSE(cache.TruncateFromStart(Offset(4)));
  CHECK_FALSE(cache.TruncateFromStart(Offset(5)));
  CHECK(cache.TruncateFromStart(Offset(13)));
  CHECK(Entries(cache) == std::vector{At(4, 13), At(7, 20)});
  CHECK(cache.TruncateFromStart(Offset(20)));
  CHECK(Entries(cache) == std::vector{At(7, 20)});
}

TEST_CASE("LeaderEpochCache: the checkpoint's text is Kafka's and comes back") {
  LeaderEpochCache cache = Make({At(2, 5), At(4, 10)});
  CHECK(cache.Encode() == "0\n2\n2 5\n4 10\n");
  auto again = LeaderEpochCache::Decode(cache.Encode());
  REQUIRE(again.ok());
  CHECK(Entries(*again) == Entries(cache));
  CHECK(LeaderEpochCache::Decode(LeaderEpochCache().Encode())->empty());
}

TEST_CASE("LeaderEpochCache: text that is not a checkpoint is refused") {
  for (const char* text :
       {"", "1\n0\n", "0\n", "0\n1\n", "0\n1\n2\n", "0\n2\n1 0\n", "0\n1\n-1 0\n",
        "0\n1\n1 0\n2 5\n", "0\n2\n2 0\n1 5\n", "0\n2\n1 5\n2 5\n", "0\n1\n1 x\n",
        "0\n1\n99999999999 0\n", "0\n1\n1 0 7\n"}) {
    INFO(text);
    auto cache = LeaderEpochCache::Decode(text);
    CHECK(cache.status().code() == absl::StatusCode::kDataLoss);
  }
}

}  // namespace millrace
