#include "controller/turn_entries.h"

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "common/error_kind.h"

using namespace millrace;

namespace {

// `count` records that begin to count at `first`.
MetadataRecords Counting(int32_t first, size_t count, size_t bytes = 1) {
  MetadataRecords records;
  for (size_t i = 0; i < count; ++i) {
    records.emplace_back(
        FeatureLevelRecord{std::string(bytes, 'x'), first + static_cast<int32_t>(i)});
  }
  return records;
}

std::vector<int32_t> Levels(const MetadataRecords& records) {
  std::vector<int32_t> levels;
  for (const MetadataRecord& record : records) {
    levels.push_back(std::get<FeatureLevelRecord>(record).level);
  }
  return levels;
}

std::vector<size_t> Sizes(const std::vector<MetadataRecords>& entries) {
  std::vector<size_t> sizes;
  for (const MetadataRecords& entry : entries) sizes.push_back(entry.size());
  return sizes;
}

}  // namespace

TEST_CASE("TurnEntries: what fits into an entry is not cut, wherever it begins") {
  TurnEntries entries(size_t{1} << 30);
  REQUIRE(entries.Add(Counting(0, kRecordsPerTurnMax - 1)).ok());
  CHECK_FALSE(entries.full());
  REQUIRE(entries.Add(Counting(100'000, kRecordsPerEntryMax)).ok());
  CHECK(entries.full());
  CHECK(Sizes(entries.Take()) == std::vector<size_t>{kRecordsPerTurnMax - 1, kRecordsPerEntryMax});
}

TEST_CASE("TurnEntries: small decisions share an entry, by records and by bytes") {
  TurnEntries entries(2000);
  REQUIRE(entries.Add(Counting(1, 1, 500)).ok());
  REQUIRE(entries.Add(Counting(2, 1, 500)).ok());
  CHECK_FALSE(entries.full());
  REQUIRE(entries.Add(Counting(3, 2, 500)).ok());
  CHECK(entries.full());
  const std::vector<MetadataRecords> taken = entries.Take();
  REQUIRE(taken.size() == 2);
  CHECK(Levels(taken[0]) == std::vector<int32_t>{1, 2});
  CHECK(Levels(taken[1]) == std::vector<int32_t>{3, 4});
}

TEST_CASE("TurnEntries: what has to be cut stays in order, and together at its end") {
  TurnEntries entries(2000);
  REQUIRE(entries.Add(Counting(0, 7, 500)).ok());
  const std::vector<MetadataRecords> taken = entries.Take();
  REQUIRE(taken.size() == 3);
  CHECK(Levels(taken[0]) == std::vector<int32_t>{0});
  CHECK(Levels(taken[1]) == std::vector<int32_t>{1, 2, 3});
  CHECK(Levels(taken[2]) == std::vector<int32_t>{4, 5, 6});
}

TEST_CASE("TurnEntries: a record that fits into no entry is refused, and nothing of its decision") {
  TurnEntries entries(2000);
  MetadataRecords decision = Counting(0, 1);
  decision.push_back(Counting(1, 1, 2000).front());
  const absl::Status added = entries.Add(std::move(decision));
  CHECK(KindOf(added) == ErrorKind::kPolicyViolation);
  CHECK(entries.Take().empty());
}
