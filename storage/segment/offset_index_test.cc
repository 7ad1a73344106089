#include "storage/segment/offset_index.h"

#include <catch2/catch.hpp>
#include <vector>

namespace millrace {
namespace {

constexpr Offset kBase{1000};

std::vector<uint8_t> FileOf(std::initializer_list<OffsetIndexEntry> entries,
                            size_t zero_entries = 0) {
  std::vector<uint8_t> bytes;
  for (const OffsetIndexEntry& entry : entries) {
    auto encoded = EncodeOffsetIndexEntry(entry, kBase);
    bytes.insert(bytes.end(), encoded.begin(), encoded.end());
  }
  bytes.resize(bytes.size() + zero_entries * kOffsetIndexEntryBytes);
  return bytes;
}

}  // namespace

TEST_CASE("OffsetIndex: an entry is two big-endian integers, relative to the base") {
  CHECK(FileOf({{Offset(1258), 4097}}) == std::vector<uint8_t>{0, 0, 1, 2, 0, 0, 0x10, 1});
}

TEST_CASE("OffsetIndex: lookup finds the last entry that is not above the target") {
  auto file = FileOf({{Offset(1010), 4100}, {Offset(1020), 8200}, {Offset(1030), 12300}}, 5);
  OffsetIndexView index(file, kBase);
  CHECK(index.size() == 3);
  CHECK_FALSE(index.Lookup(Offset(1009)).has_value());
  CHECK(index.Lookup(Offset(1010)) == OffsetIndexEntry{Offset(1010), 4100});
  CHECK(index.Lookup(Offset(1029)) == OffsetIndexEntry{Offset(1020), 8200});
  CHECK(index.Lookup(Offset(99999)) == OffsetIndexEntry{Offset(1030), 12300});
  CHECK(index.CountBelow(Offset(1020)) == 1);
  CHECK(index.CountBelow(Offset(1021)) == 2);
}

TEST_CASE("OffsetIndex: zeroes behind the entries are not data") {
  for (size_t entries : {0, 1, 2, 3, 7}) {
    for (size_t zeroes : {0, 1, 2, 9}) {
      std::vector<uint8_t> file;
      for (size_t i = 0; i < entries; ++i) {
        auto encoded =
            EncodeOffsetIndexEntry({kBase + OffsetDelta(i), 100 * (uint32_t(i) + 1)}, kBase);
        file.insert(file.end(), encoded.begin(), encoded.end());
      }
      file.resize(file.size() + zeroes * kOffsetIndexEntryBytes);
      CHECK(OffsetIndexView(file, kBase).size() == entries);
    }
  }
}

TEST_CASE("OffsetIndex: the check finds what cannot be an index") {
  CHECK(OffsetIndexView(FileOf({{Offset(1010), 10}, {Offset(1020), 20}}, 3), kBase).Check(21).ok());
  CHECK(OffsetIndexView({}, kBase).Check(0).ok());
  auto same_offset = FileOf({{Offset(1010), 10}, {Offset(1010), 20}});
  CHECK_FALSE(OffsetIndexView(same_offset, kBase).Check(100).ok());
  auto same_position = FileOf({{Offset(1010), 10}, {Offset(1020), 10}});
  CHECK_FALSE(OffsetIndexView(same_position, kBase).Check(100).ok());
  auto beyond = FileOf({{Offset(1010), 10}});
  CHECK_FALSE(OffsetIndexView(beyond, kBase).Check(10).ok());
  auto torn = FileOf({{Offset(1010), 10}});
  torn.push_back(0);
  CHECK_FALSE(OffsetIndexView(torn, kBase).Check(100).ok());
  std::vector<uint8_t> below_base = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9};
  CHECK_FALSE(OffsetIndexView(below_base, kBase).Check(100).ok());
}

}  // namespace millrace
