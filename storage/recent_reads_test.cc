#include "storage/recent_reads.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

Instant At(int64_t second) { return Instant(0) + seconds(second); }

TEST_CASE("RecentReads: one reader that goes on is alone, however far it gets") {
  RecentReads reads;
  for (int64_t at = 0; at < 1000; at += 10) {
    CHECK_FALSE(reads.Shared(Offset(at), At(at / 10)));
    reads.Note(Offset(at), Offset(at + 10), At(at / 10));
  }
  // Others read other records.
  for (size_t reader = 1; reader < 3 * RecentReads::kRangesMax; ++reader) {
    const auto from = static_cast<int64_t>(reader * 10'000);
    CHECK_FALSE(reads.Shared(Offset(from), At(1000)));
    reads.Note(Offset(from), Offset(from + 10), At(1000));
  }
}

TEST_CASE("RecentReads: with a second one the log is shared for both, until one of them leaves") {
  RecentReads reads;
  for (int64_t at = 0; at < 100; at += 10) reads.Note(Offset(at), Offset(at + 10), At(1));
  CHECK_FALSE(reads.Shared(Offset(100), At(1)));
  int64_t second = 0;
  // It may be the first one, which asks again.
  for (int i = 1; i < RecentReads::kAgainMin; ++i, second += 10) {
    CHECK_FALSE(reads.Shared(Offset(second), At(1)));
    reads.Note(Offset(second), Offset(second + 10), At(1));
  }
  CHECK(reads.Shared(Offset(second), At(2)));
  reads.Note(Offset(second), Offset(second + 10), At(2));
  CHECK(reads.Shared(Offset(100), At(2)));  // The first one goes on,
  reads.Note(Offset(100), Offset(110), At(2));
  CHECK(reads.Shared(Offset(second + 10), At(3)));
  reads.Note(Offset(second + 10), Offset(second + 20), At(3));
  // and has left.
  CHECK_FALSE(reads.Shared(Offset(second + 20), At(5)));
  reads.Note(Offset(second + 20), Offset(second + 30), At(5));
  CHECK_FALSE(reads.Shared(Offset(second + 30), At(5)));
}

TEST_CASE("RecentReads: who reads all of it once more when the first one has gone is alone") {
  RecentReads reads;
  for (int64_t begin : {0, 10}) {
    for (int64_t at = 0; at < 100; at += 10) {
      CHECK_FALSE(reads.Shared(Offset(at), At(begin)));
      reads.Note(Offset(at), Offset(at + 10), At(begin));
    }
  }
}

TEST_CASE("RecentReads: who comes much later is alone, although the first one still reads") {
  RecentReads reads;
  for (int64_t at = 0; at < 1000; ++at) {
    CHECK_FALSE(reads.Shared(Offset(at), At(at)));
    reads.Note(Offset(at), Offset(at + 1), At(at));
  }
  const int64_t recently = RecentReads::kRecently / seconds(1);
  for (int i = 0; i < 2 * RecentReads::kAgainMin; ++i) {
    CHECK_FALSE(reads.Shared(Offset(i), At(1000)));
    CHECK_FALSE(reads.Shared(Offset(999 - 2 * recently + i), At(1000)));
  }
  for (int i = 1; i < RecentReads::kAgainMin; ++i) {
    CHECK_FALSE(reads.Shared(Offset(1001 - recently), At(1000)));
  }
  CHECK(reads.Shared(Offset(1001 - recently), At(1000)));
}

}  // namespace
}  // namespace millrace
