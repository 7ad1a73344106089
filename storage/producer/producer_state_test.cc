#include "storage/producer/producer_state.h"

#include <catch2/catch.hpp>

#include "common/error_kind.h"
#include "storage/producer/producer_snapshot.h"

namespace millrace {
namespace {

constexpr int32_t kSequenceMax = 2147483647;
constexpr Timestamp kNow{1'000'000};

struct Batch {
  int64_t id = 7;
  int16_t epoch = 0;
  int32_t sequence = 0;
  int32_t records = 1;
  int64_t offset = 0;
  bool transactional = false;
  bool control = false;
};

BatchHeader Header(const Batch& b) {
  int16_t bits = static_cast<int16_t>((b.transactional ? BatchAttributes::kTransactionalBit : 0) |
                                      (b.control ? BatchAttributes::kControlBit : 0));
  return {
      .base_offset = Offset(b.offset),
      .size_bytes = 100,
      .leader_epoch = std::nullopt,
      .crc = 0,
      .attributes = BatchAttributes(bits),
      .last_offset_delta = b.records - 1,
      .base_timestamp = Timestamp(b.offset),
      .max_timestamp = Timestamp(b.offset + 500),
      .producer = BatchProducer{.id = ProducerId(b.id),
                                .epoch = ProducerEpoch(b.epoch),
                                .base_sequence =
                                    b.control ? std::nullopt : std::optional(Sequence(b.sequence))},
      .record_count = b.records};
}

// Whether `batch` would be appended; the kind of error, or "duplicate of <base>", otherwise.
std::string Answer(const ProducerState& state, const Batch& batch) {
  auto answer = state.Check(Header(batch));
  if (!answer.ok()) {
    switch (*KindOf(answer.status())) {
      case ErrorKind::kOutOfOrderSequence:
        return "out of order";
      case ErrorKind::kInvalidProducerEpoch:
        return "invalid epoch";
      case ErrorKind::kInvalidTxnState:
        return "invalid txn state";
      default:
        return "unexpected";
    }
  }
  if (!answer->has_value()) return "append";
  return fmt::format("duplicate of {}", (*answer)->base_offset);
}

void Append(ProducerState& state, const Batch& batch) {
  REQUIRE(Answer(state, batch) == "append");
  state.Apply(Header(batch), kNow);
}

}  // namespace

TEST_CASE("ProducerState: batches in sequence are appended, gaps and steps back are not (1.35)") {
  ProducerState state;
  Append(state, {.sequence = 0, .records = 3, .offset = 10});
  CHECK(Answer(state, {.sequence = 3}) == "append");
  CHECK(Answer(state, {.sequence = 4}) == "out of order");
  CHECK(Answer(state, {.sequence = 1}) == "out of order");
  CHECK(Answer(state, {.id = 8, .sequence = 0}) == "append");
}

TEST_CASE(
    "ProducerState: the last five batches are known again, an older one is out of order (1.31, "
    "1.32)") {
  ProducerState state;
  for (int i = 0; i < 6; ++i)
    Append(state, {.sequence = 2 * i, .records = 2, .offset = 100 + 2 * i});
  CHECK(Answer(state, {.sequence = 0, .records = 2}) == "out of order");
  for (int i = 1; i < 6; ++i) {
    CHECK(Answer(state, {.sequence = 2 * i, .records = 2}) ==
          fmt::format("duplicate of {}", 100 + 2 * i));
  }
  // The same start but another end is another batch.
  CHECK(Answer(state, {.sequence = 4, .records = 1}) == "out of order");
  auto answer = state.Check(Header({.sequence = 4, .records = 2}));
  CHECK((*answer)->last_offset == Offset(105));
  CHECK((*answer)->timestamp == Timestamp(604));
}

TEST_CASE("ProducerState: sequences wrap to 0, between batches and inside one (1.35)") {
  ProducerState state;
  Append(state, {.sequence = kSequenceMax, .records = 1, .offset = 5});
  Append(state, {.sequence = 0, .records = 1, .offset = 6});
  CHECK(Answer(state, {.sequence = kSequenceMax, .records = 1}) == "duplicate of 5");

  ProducerState inside;
  Append(inside, {.sequence = kSequenceMax - 1, .records = 4, .offset = 5});
  CHECK(Answer(inside, {.sequence = 2}) == "append");
  CHECK(Answer(inside, {.sequence = kSequenceMax - 1, .records = 4}) == "duplicate of 5");
}

TEST_CASE("ProducerState: an unknown producer may start anywhere (1.36)") {
  CHECK(Answer(ProducerState(), {.sequence = 4711}) == "append");
}

TEST_CASE("ProducerState: a new epoch starts at 0 and forgets the window (1.33, 1.34)") {
  ProducerState state;
  Append(state, {.epoch = 3, .sequence = 0, .offset = 1});
  Append(state, {.epoch = 3, .sequence = 1, .offset = 2});
  CHECK(Answer(state, {.epoch = 2, .sequence = 2}) == "invalid epoch");
  CHECK(Answer(state, {.epoch = 4, .sequence = 2}) == "out of order");
  Append(state, {.epoch = 4, .sequence = 0, .offset = 3});
  CHECK(state.Find(ProducerId(7))->batches().size() == 1);
  CHECK(Answer(state, {.epoch = 3, .sequence = 1}) == "invalid epoch");
  CHECK(Answer(state, {.epoch = 4, .sequence = 0}) == "duplicate of 3");
}

TEST_CASE("ProducerState: batches without a producer are always appended") {
  BatchHeader plain = Header({});
  plain.producer.reset();
  ProducerState state;
  auto answer = state.Check(plain);
  REQUIRE(answer.ok());
  CHECK_FALSE(answer->has_value());
  state.Apply(plain, kNow);
  CHECK(state.empty());
}

TEST_CASE("ProducerState: a transaction is open from its first batch to its marker") {
  ProducerState state;
  Append(state, {.sequence = 0, .offset = 20, .transactional = true});
  Append(state, {.sequence = 1, .offset = 21, .transactional = true});
  CHECK(state.Find(ProducerId(7))->open_transaction == Offset(20));
  CHECK(Answer(state, {.sequence = 2}) == "invalid txn state");
  state.Apply(Header({.epoch = 1, .offset = 22, .transactional = true, .control = true}), kNow,
              TransactionMarker{.commit = true, .coordinator_epoch = 4});
  CHECK_FALSE(state.Find(ProducerId(7))->open_transaction.has_value());
  CHECK(state.Find(ProducerId(7))->coordinator_epoch == 4);
  // The marker brought a new epoch without records: its first batch must be 0.
  CHECK(Answer(state, {.epoch = 1, .sequence = 5}) == "out of order");
  CHECK(Answer(state, {.epoch = 1, .sequence = 0}) == "append");
}

TEST_CASE("ProducerState: stable ends at the oldest transaction that is open or not committed") {
  ProducerState state;
  const TransactionMarker commit{.commit = true, .coordinator_epoch = 0};
  const TransactionMarker abort{.commit = false, .coordinator_epoch = 0};
  auto marker_of = [](int64_t id, int64_t offset) {
    return Header({.id = id, .offset = offset, .transactional = true, .control = true});
  };
  CHECK_FALSE(state.first_unstable().has_value());
  Append(state, {.id = 1, .sequence = 0, .offset = 10, .transactional = true});
  Append(state, {.id = 2, .sequence = 0, .offset = 11, .transactional = true});
  Append(state, {.id = 3, .sequence = 0, .offset = 12});
  CHECK(state.first_unstable() == Offset(10));

  // The second one ends first: what it says of the index is where the first one begins.
  auto second = state.Apply(marker_of(2, 13), kNow, abort);
  REQUIRE(second.has_value());
  CHECK(second->first == Offset(11));
  CHECK(second->last == Offset(13));
  CHECK(second->aborted);
  CHECK(second->last_stable == Offset(10));
  auto first = state.Apply(marker_of(1, 14), kNow, commit);
  REQUIRE(first.has_value());
  CHECK_FALSE(first->aborted);
  CHECK(first->last_stable == Offset(15));

  // Their markers may still be lost with this leader.
  CHECK(state.first_unstable() == Offset(10));
  state.OnCommitted(Offset(14));
  CHECK(state.first_unstable() == Offset(10));
  state.OnCommitted(Offset(15));
  CHECK_FALSE(state.first_unstable().has_value());
  // A marker where the transaction had no records ends nothing.
  CHECK_FALSE(state.Apply(marker_of(3, 15), kNow, abort).has_value());
}

TEST_CASE("ProducerState: a control batch that is no marker changes nothing") {
  ProducerState state;
  Append(state, {.id = 1, .sequence = 0, .offset = 10, .transactional = true});
  CHECK_FALSE(state.Apply(Header({.id = 1, .epoch = 5, .offset = 11, .control = true}), kNow));
  CHECK(state.Find(ProducerId(1))->epoch() == ProducerEpoch(0));
  CHECK(state.first_unstable() == Offset(10));
}

TEST_CASE("ProducerState: what is replicated is taken as it is (1.39)") {
  ProducerState state;
  state.Apply(Header({.epoch = 5, .sequence = 0}), kNow);
  state.Apply(Header({.epoch = 5, .sequence = 9, .offset = 3}), kNow);
  state.Apply(Header({.epoch = 4, .sequence = 2, .offset = 4}), kNow);
  CHECK(state.Find(ProducerId(7))->epoch() == ProducerEpoch(4));
  CHECK(state.Find(ProducerId(7))->last_sequence() == Sequence(2));
}

TEST_CASE(
    "ProducerState: expiry goes by when a producer was seen, and spares open transactions (1.40)") {
  ProducerState state;
  state.Apply(Header({.id = 1}), Timestamp(1000));
  state.Apply(Header({.id = 2}), Timestamp(1500));
  state.Apply(Header({.id = 3, .transactional = true}), Timestamp(1000));
  CHECK(state.Expire(Timestamp(1999), milliseconds(1000)).dropped == 0);
  ProducerState::ExpiryPass pass = state.Expire(Timestamp(2000), milliseconds(1000));
  CHECK(pass.dropped == 1);
  CHECK(pass.oldest == Timestamp(1000));  // The transaction's: looked at again before long.
  CHECK(state.Find(ProducerId(1)) == nullptr);
  CHECK(state.Find(ProducerId(2)) != nullptr);
  CHECK(state.Find(ProducerId(3)) != nullptr);
}

TEST_CASE("ProducerState: a flood of producers pushes out those longest silent") {
  ProducerState state;
  state.Apply(Header({.id = 0, .transactional = true}), Timestamp(0));
  for (size_t i = 1; i <= kProducersMax; ++i) {
    state.Apply(Header({.id = static_cast<int64_t>(i)}), Timestamp(static_cast<int64_t>(i)));
  }
  CHECK(state.size() <= kProducersMax);
  CHECK(state.Find(ProducerId(0)) != nullptr);  // In a transaction.
  CHECK(state.Find(ProducerId(1)) == nullptr);
  CHECK(state.Find(ProducerId(kProducersMax)) != nullptr);
}

TEST_CASE("ProducerSnapshot: state comes back whole, the window of five included") {
  ProducerState state;
  for (int i = 0; i < 7; ++i) Append(state, {.id = 1, .sequence = i, .offset = 50 + i});
  Append(state,
         {.id = 2, .epoch = 9, .sequence = 4, .records = 3, .offset = 60, .transactional = true});
  state.Apply(Header({.id = 3, .epoch = 2, .offset = 63, .transactional = true, .control = true}),
              kNow, TransactionMarker{.commit = false, .coordinator_epoch = 11});
  Slice bytes = EncodeProducerSnapshot(state);
  auto again = DecodeProducerSnapshot(bytes.span(), Timestamp(77));
  REQUIRE(again.ok());
  CHECK(again->entries() == state.entries());
  CHECK(again->Find(ProducerId(1))->last_active == Timestamp(77));
  CHECK(Answer(*again, {.id = 1, .sequence = 2}) == "duplicate of 52");
  CHECK(Answer(*again, {.id = 3, .epoch = 2, .sequence = 1}) == "out of order");
  CHECK(again->Find(ProducerId(3))->coordinator_epoch == 11);
  CHECK(again->first_unstable() == Offset(60));
}

TEST_CASE("ProducerSnapshot: with one batch per producer the bytes are exactly Kafka's version 1") {
  ProducerState state;
  Append(state, {.id = 0x0102, .epoch = 3, .sequence = 5, .records = 2, .offset = 0x10});
  Slice bytes = EncodeProducerSnapshot(state);
  REQUIRE(bytes.size() == 10 + 46);
  std::vector<uint8_t> expected = {
      0,    1,    0,    0,    0,    0,    0,    0,    0,    1,  // Version, CRC, count.
      0,    0,    0,    0,    0,    0,    1,    2,    0,    3,    0,    0,
      0,    6,                                                              // Id, epoch, sequence.
      0,    0,    0,    0,    0,    0,    0,    0x11, 0,    0,    0,    1,  // Last offset, delta.
      0,    0,    0,    0,    0,    0,    0x02, 0x04,                       // Timestamp.
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  std::copy(bytes.begin() + 2, bytes.begin() + 6, expected.begin() + 2);
  CHECK(std::vector<uint8_t>(bytes.begin(), bytes.end()) == expected);
  CHECK(DecodeProducerSnapshot(bytes.span(), kNow)->entries() == state.entries());
}

TEST_CASE("ProducerSnapshot: every damaged byte and every cut is found") {
  ProducerState state;
  for (int i = 0; i < 3; ++i) Append(state, {.id = 1, .sequence = i, .offset = 50 + i});
  Slice bytes = EncodeProducerSnapshot(state);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::vector<uint8_t> damaged(bytes.begin(), bytes.end());
    damaged[i] ^= 0x40;
    CHECK(DecodeProducerSnapshot(damaged, kNow).status().code() == absl::StatusCode::kDataLoss);
    CHECK_FALSE(DecodeProducerSnapshot(bytes.span().first(i), kNow).ok());
  }
  CHECK(DecodeProducerSnapshot(EncodeProducerSnapshot(ProducerState()).span(), kNow)->empty());
}

}  // namespace millrace
