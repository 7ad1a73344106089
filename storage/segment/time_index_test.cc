#include "storage/segment/time_index.h"

#include <catch2/catch.hpp>
#include <vector>

namespace millrace {
namespace {

constexpr Offset kBase{1000};

std::vector<uint8_t> FileOf(std::initializer_list<TimeIndexEntry> entries,
                            size_t zero_entries = 0) {
  std::vector<uint8_t> bytes;
  for (const TimeIndexEntry& entry : entries) {
    auto encoded = EncodeTimeIndexEntry(entry, kBase);
    bytes.insert(bytes.end(), encoded.begin(), encoded.end());
  }
  bytes.resize(bytes.size() + zero_entries * kTimeIndexEntryBytes);
  return bytes;
}

}  // namespace

TEST_CASE("TimeIndex: an entry is a big-endian time and an offset relative to the base") {
  CHECK(FileOf({{Timestamp(258), Offset(1003)}}) ==
        std::vector<uint8_t>{0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3});
}

TEST_CASE("TimeIndex: lookup finds the last entry that is older than the target") {
  auto file = FileOf({{Timestamp(50), Offset(1003)}, {Timestamp(70), Offset(1009)}}, 4);
  TimeIndexView index(file, kBase);
  CHECK(index.size() == 2);
  CHECK_FALSE(index.LookupBefore(Timestamp(50)).has_value());
  CHECK(index.LookupBefore(Timestamp(51)) == TimeIndexEntry{Timestamp(50), Offset(1003)});
  CHECK(index.LookupBefore(Timestamp(70)) == TimeIndexEntry{Timestamp(50), Offset(1003)});
  CHECK(index.LookupBefore(Timestamp(71)) == TimeIndexEntry{Timestamp(70), Offset(1009)});
  CHECK(index.CountBelow(Offset(1009)) == 1);
  CHECK(index.last() == TimeIndexEntry{Timestamp(70), Offset(1009)});
}

TEST_CASE("TimeIndex: time 0 at the base offset is an entry only if another follows") {
  auto alone = FileOf({}, 3);
  CHECK(TimeIndexView(alone, kBase).empty());
  auto followed = FileOf({{Timestamp(0), kBase}, {Timestamp(9), Offset(1001)}}, 3);
  CHECK(TimeIndexView(followed, kBase).size() == 2);
}

TEST_CASE("TimeIndex: the check finds what cannot be an index") {
  auto good = FileOf({{Timestamp(50), Offset(1003)}, {Timestamp(70), Offset(1009)}}, 4);
  CHECK(TimeIndexView(good, kBase).Check(Offset(1010)).ok());
  CHECK_FALSE(TimeIndexView(good, kBase).Check(Offset(1009)).ok());
  auto same_time = FileOf({{Timestamp(50), Offset(1003)}, {Timestamp(50), Offset(1009)}});
  CHECK_FALSE(TimeIndexView(same_time, kBase).Check(Offset(2000)).ok());
  auto back = FileOf({{Timestamp(50), Offset(1003)}, {Timestamp(60), Offset(1002)}});
  CHECK_FALSE(TimeIndexView(back, kBase).Check(Offset(2000)).ok());
  auto torn = FileOf({{Timestamp(50), Offset(1003)}});
  torn.pop_back();
  CHECK_FALSE(TimeIndexView(torn, kBase).Check(Offset(2000)).ok());
}

}  // namespace millrace
