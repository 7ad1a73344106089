#include "storage/segment/aborted_index.h"

#include <catch2/catch.hpp>
#include <vector>

namespace millrace {
namespace {

const std::vector<AbortedTransaction> kEntries = {
    {ProducerId(5), Offset(310), Offset(320), Offset(312)},
    {ProducerId(0x0102030405060708), Offset(312), Offset(330), Offset(331)},
};

std::vector<uint8_t> FileOf(const std::vector<AbortedTransaction>& entries) {
  std::vector<uint8_t> file;
  for (const AbortedTransaction& entry : entries) {
    auto bytes = EncodeAbortedEntry(entry);
    file.insert(file.end(), bytes.begin(), bytes.end());
  }
  return file;
}

bool Sound(const std::vector<uint8_t>& file) {
  return DecodeAbortedIndex(file, Offset(300), Offset(400)).ok();
}

}  // namespace

TEST_CASE("AbortedIndex: an entry is Kafka's 34 bytes") {
  const std::vector<uint8_t> expected = {0, 0,                           // Version.
                                         1, 2, 3, 4, 5, 6, 7,    8,      // Producer.
                                         0, 0, 0, 0, 0, 0, 0x01, 0x38,   // First offset.
                                         0, 0, 0, 0, 0, 0, 0x01, 0x4a,   // The marker's.
                                         0, 0, 0, 0, 0, 0, 0x01, 0x4b};  // Last stable.
  CHECK(FileOf({kEntries[1]}) == expected);
  auto decoded = DecodeAbortedIndex(FileOf(kEntries), Offset(300), Offset(400));
  REQUIRE(decoded.ok());
  CHECK(*decoded == kEntries);
}

TEST_CASE("AbortedIndex: what cannot be true of a segment is damage") {
  std::vector<uint8_t> whole = FileOf(kEntries);
  CHECK(Sound(whole));
  CHECK(Sound({}));
  for (size_t cut = 1; cut < whole.size(); ++cut) {
    const bool entries = cut % kAbortedEntryBytes == 0;
    CHECK(Sound({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(cut)}) == entries);
  }
  CHECK_FALSE(DecodeAbortedIndex(whole, Offset(321), Offset(400)).ok());
  CHECK_FALSE(DecodeAbortedIndex(whole, Offset(300), Offset(330)).ok());
  CHECK_FALSE(Sound(FileOf({kEntries[1], kEntries[0]})));
  CHECK_FALSE(Sound(FileOf({kEntries[0], kEntries[0]})));
  whole.resize(whole.size() + kAbortedEntryBytes);
  CHECK_FALSE(Sound(whole));
  std::vector<uint8_t> newer = FileOf(kEntries);
  newer[1] = 1;
  CHECK_FALSE(Sound(newer));
}

TEST_CASE("AbortedIndex: a torn end is left out, a change before it is seen") {
  auto below = [](const std::vector<uint8_t>& file, int64_t end, size_t count_min) {
    return SoundAbortedBelow(file, Offset(300), Offset(end), count_min);
  };
  std::vector<uint8_t> whole = FileOf(kEntries);
  CHECK(below(whole, 400, 2)->size() == 2);
  CHECK(below(whole, 330, 1)->size() == 1);
  std::vector<uint8_t> torn = whole;
  torn.resize(torn.size() - 3);
  CHECK(below(torn, 330, 1)->size() == 1);
  CHECK_FALSE(below(torn, 400, 2).ok());
  torn = whole;
  torn.resize(torn.size() + 100);
  CHECK(below(torn, 400, 2)->size() == 2);
  torn[1] = 1;  // The first entry, in front of a sound one.
  CHECK_FALSE(below(torn, 400, 0).ok());
  CHECK_FALSE(below({}, 400, 1).ok());
}

}  // namespace millrace
