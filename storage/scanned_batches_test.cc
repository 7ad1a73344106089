#include "storage/scanned_batches.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "common/runtime/sim/sim_random.h"
#include "storage/journal/journal.h"
#include "storage/record/batch_builder.h"

namespace millrace {
namespace {

constexpr uint32_t kSmall = 1000;
const auto kLarge = static_cast<uint32_t>(Journal::Options().entry_bytes_max());

ScannedBatch At(int64_t base, uint32_t bytes) {
  return {Offset(base), Offset(base + 1), static_cast<uint32_t>(base * 7), bytes, 0};
}

BatchHeader HeaderOf(const ScannedBatch& batch) {
  BatchBuilder builder;
  builder.Append(Timestamp(1), std::nullopt, std::nullopt);
  BatchHeader header = builder.Build()->header();
  header.base_offset = batch.base;
  header.crc = batch.crc;
  return header;
}

std::optional<Offset> BaseOf(const ScannedBatch* batch) {
  return batch == nullptr ? std::nullopt : std::optional(batch->base);
}

}  // namespace

TEST_CASE("ScannedBatches: of a log of any length what a journal may speak of is kept") {
  ScannedBatches batches;
  batches.LimitTo(JournaledBases{Offset(500'000), Offset(500'099)});
  for (int64_t base = 0; base < 1'000'000; ++base) batches.Add(At(base, kSmall));
  CHECK(batches.size() == 102);  // And one on either side.
  CHECK(batches.Has(HeaderOf(At(500'000, kSmall))));
  CHECK(batches.Has(HeaderOf(At(500'099, kSmall))));
  ScannedBatches without;
  without.LimitTo(std::nullopt);
  for (int64_t base = 0; base < 1'000'000; ++base) without.Add(At(base, kSmall));
  CHECK(without.size() == 1);
}

TEST_CASE("ScannedBatches: of files that overlap the later one counts") {
  ScannedBatches batches;
  for (int64_t base : {0, 10, 20, 5}) batches.Add(At(base, kSmall));
  CHECK(batches.Has(HeaderOf(At(0, kSmall))));
  CHECK(batches.Has(HeaderOf(At(5, kSmall))));
  CHECK_FALSE(batches.Has(HeaderOf(At(10, kSmall))));
  CHECK(batches.size() == 2);
}

TEST_CASE("ScannedBatches: what is asked has the answer that all batches would give") {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    INFO("seed " << seed);
    SimRandom random(seed);
    const auto length = static_cast<int64_t>(random.Between(1, 60));
    ScannedBatches all;
    std::vector<ScannedBatch> read;
    for (int64_t base = 0; base < length; ++base) {
      if (random.Below(8) == 0) continue;  // Compacted.
      read.push_back(At(base, random.Below(3) == 0 ? kLarge : kSmall));
      all.Add(read.back());
    }
    // The journal has some of them, and some that the files do not have, or have no more.
    std::vector<ScannedBatch> journaled;
    for (int64_t base = 0; base < length + 5; ++base) {
      if (random.Below(6) == 0) journaled.push_back(At(base, kSmall));
    }
    std::optional<JournaledBases> range;
    if (!journaled.empty()) range.emplace(journaled.front().base, journaled.back().base);
    ScannedBatches some;
    some.LimitTo(range);
    for (const ScannedBatch& batch : read) some.Add(batch);
    CHECK(some.size() <= all.size());
    std::optional<Offset> first;
    for (const ScannedBatch& batch : journaled) {
      const BatchHeader header = HeaderOf(batch);
      CHECK(some.Has(header) == all.Has(header));
      if (all.Has(header) && !first) first = batch.base;
    }
    CHECK(BaseOf(some.FirstUnsynced(first)) == BaseOf(all.FirstUnsynced(first)));
    const Offset end(static_cast<int64_t>(random.Below(static_cast<uint64_t>(length))));
    all.CutFrom(end);
    some.CutFrom(end);
    for (const ScannedBatch& batch : journaled) {
      CHECK(some.Has(HeaderOf(batch)) == all.Has(HeaderOf(batch)));
    }
  }
}

}  // namespace millrace
