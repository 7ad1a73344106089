#include "storage/producer/producer_ledger.h"

#include <catch2/catch.hpp>
#include <utility>

#include "storage/producer/producer_state.h"

namespace millrace {
namespace {

constexpr Timestamp kNow{1'000'000};

BatchHeader From(int64_t id, int32_t sequence = 0, bool transactional = false) {
  return {.base_offset = Offset(id),
          .size_bytes = 100,
          .leader_epoch = std::nullopt,
          .crc = 0,
          .attributes = BatchAttributes(transactional ? BatchAttributes::kTransactionalBit : 0),
          .last_offset_delta = 0,
          .base_timestamp = kNow,
          .max_timestamp = kNow,
          .producer = BatchProducer{.id = ProducerId(id),
                                    .epoch = ProducerEpoch(0),
                                    .base_sequence = Sequence(sequence)},
          .record_count = 1};
}

bool Remembers(const ProducerState& state, int64_t id) {
  return state.Find(ProducerId(id)) != nullptr;
}

}  // namespace

TEST_CASE("ProducerLedger: one too many, and the longest silent goes, in whatever log it is") {
  ProducerLedger ledger(3);
  ProducerState a(ledger);
  ProducerState b(ledger);
  a.Apply(From(1), kNow);
  b.Apply(From(1), kNow);
  b.Apply(From(2), kNow);
  a.Apply(From(1, 1), kNow);  // Not silent: the first one of `b` is now.
  CHECK(ledger.producers() == 3);
  CHECK(ledger.evicted() == 0);
  a.Apply(From(3), kNow);
  CHECK(ledger.producers() == 3);
  CHECK(ledger.evicted() == 1);
  CHECK_FALSE(Remembers(b, 1));
  CHECK(Remembers(a, 1));
  CHECK(Remembers(b, 2));
  // Who was forgotten is taken for new, wherever it goes on (1.36).
  auto answer = b.Check(From(1, 7));
  REQUIRE(answer.ok());
  CHECK_FALSE(answer->has_value());
  b.Apply(From(1, 7), kNow);
  CHECK_FALSE(b.Check(From(1, 9)).ok());
}

TEST_CASE("ProducerLedger: a flood leaves as many as there is room for, and those who go on") {
  ProducerLedger ledger(1000);
  ProducerState quiet(ledger);
  ProducerState flooded[4] = {ProducerState(ledger), ProducerState(ledger), ProducerState(ledger),
                              ProducerState(ledger)};
  for (int64_t i = 0; i < 20'000; ++i) {
    flooded[i % 4].Apply(From(100 + i), kNow);
    if (i % 100 == 0) {
      const auto sequence = static_cast<int32_t>(i / 100);
      REQUIRE((i == 0 || Remembers(quiet, 7)));
      quiet.Apply(From(7, sequence), kNow);
    }
    REQUIRE(ledger.producers() <= 1000);
  }
  size_t remembered = quiet.size();
  for (const ProducerState& state : flooded) remembered += state.size();
  CHECK(remembered == 1000);
  CHECK(ledger.producers() == 1000);
  CHECK(ledger.evicted() == 19'001);
}

TEST_CASE("ProducerLedger: who has a transaction open stays, and may go when it has ended") {
  ProducerLedger ledger(2);
  ProducerState state(ledger);
  state.Apply(From(1, 0, /*transactional=*/true), kNow);
  state.Apply(From(2, 0, /*transactional=*/true), kNow);
  state.Apply(From(3, 0, /*transactional=*/true), kNow);
  state.Apply(From(4), kNow);  // Beyond the bound, and alone in line: it has just been heard of.
  CHECK(ledger.producers() == 4);
  state.Apply(From(5), kNow);
  CHECK_FALSE(Remembers(state, 4));
  BatchHeader marker = From(1);
  marker.base_offset = Offset(50);
  marker.attributes =
      BatchAttributes(BatchAttributes::kTransactionalBit | BatchAttributes::kControlBit);
  state.Apply(marker, kNow, TransactionMarker{.commit = true, .coordinator_epoch = 0});
  CHECK_FALSE(Remembers(state, 5));
  CHECK(Remembers(state, 1));
  state.Apply(From(6), kNow);
  CHECK_FALSE(Remembers(state, 1));
  CHECK(Remembers(state, 2));
  CHECK(Remembers(state, 3));
}

TEST_CASE("ProducerLedger: dropped, expired, cleared and replaced producers make room") {
  ProducerLedger ledger(10);
  {
    ProducerState state(ledger);
    for (int64_t i = 0; i < 5; ++i) state.Apply(From(i), kNow);
    state.Expire(Timestamp(kNow.ms() + 10), milliseconds(10));
    CHECK(ledger.producers() == 0);
    for (int64_t i = 0; i < 5; ++i) state.Apply(From(i), kNow);
    state.Clear();
    CHECK(ledger.producers() == 0);
    for (int64_t i = 0; i < 5; ++i) state.Apply(From(i), kNow);
    // As recovery and truncation do: what was read replaces what was known.
    ProducerState read;
    for (int64_t i = 3; i < 15; ++i) read.Apply(From(i), kNow);
    state = std::move(read);
    CHECK(ledger.producers() == 10);
    CHECK(state.size() == 10);
    CHECK(ledger.evicted() == 2);
    // What a snapshot says of one that is known takes its place.
    state.Restore(ProducerId(14), ProducerEntry(ProducerEpoch(3)));
    CHECK(ledger.producers() == 10);
  }
  CHECK(ledger.producers() == 0);
}

}  // namespace millrace
