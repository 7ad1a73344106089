#include "storage/compaction/record_filter.h"

#include <catch2/catch.hpp>
#include <limits>
#include <map>
#include <string>

#include "common/runtime/sim/sim_random.h"
#include "storage/producer/transaction_test_tools.h"
#include "storage/record/batch_builder.h"
#include "storage/record/record.h"
#include "storage/record/transaction_marker.h"

namespace millrace {
namespace {

constexpr Timestamp kNow(1'000'000);
constexpr int64_t kRetention = 5000;

struct Rec {
  int32_t delta;
  std::optional<std::string> key;
  std::optional<std::string> value;
  Timestamp at{100};
  friend bool operator==(const Rec&, const Rec&) = default;
};

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

BatchView Make(int64_t base, const std::vector<Rec>& records, BatchBuilderOptions options = {}) {
  options.base_offset = Offset(base);
  options.leader_epoch = LeaderEpoch(3);
  BatchBuilder builder(options);
  for (const Rec& record : records) {
    std::optional<std::span<const uint8_t>> key;
    std::optional<std::span<const uint8_t>> value;
    if (record.key) key = Bytes(*record.key);
    if (record.value) value = Bytes(*record.value);
    builder.AppendAt(record.delta, record.at, key, value);
  }
  return *builder.Build();
}

std::vector<Rec> Records(const BatchView& batch) {
  REQUIRE(batch.CheckCrc().ok());
  BatchUnpacker unpacker;
  RecordReader reader(*unpacker.Unpack(batch), batch.header().record_count);
  std::vector<Rec> records;
  for (RecordView record; reader.Next(record);) {
    Rec& added = records.emplace_back(Rec{record.offset_delta, std::nullopt, std::nullopt});
    if (record.key) added.key = std::string(record.key->begin(), record.key->end());
    if (record.value) added.value = std::string(record.value->begin(), record.value->end());
    added.at = Timestamp(batch.header().base_timestamp.ms() + record.timestamp_delta);
  }
  REQUIRE(reader.status().ok());
  return records;
}

// Collects the keys of all batches and filters them: one round over all of a log.
struct Round {
  KeyMap map{{1, 2}, 1 << 16, 0.9, 1000};
  Timestamp now = kNow;
  std::map<ProducerId, LastOfProducer> producers;
  std::vector<AbortedTransaction> aborted;
  Offset dirty_begin{0};
  std::optional<Offset> map_end;
  std::vector<AbortedTransaction> kept_aborted;

  std::vector<BatchView> Run(const std::vector<BatchView>& log) {
    KeyCollector keys(map, dirty_begin);
    for (const auto& each : aborted) keys.transactions().AddAborted(each);
    for (const BatchView& batch : log) {
      if (map_end && batch.header().base_offset >= *map_end) break;
      REQUIRE(*keys.Add(batch));
    }
    RecordFilter filter(map, {map_end.value_or(keys.end()), now, kRetention, producers});
    for (const auto& each : aborted) filter.transactions().AddAborted(each);
    std::vector<BatchView> kept;
    for (size_t i = 0; i < log.size(); ++i) {
      auto filtered = filter.Filter(log[i], i + 1 == log.size());
      REQUIRE(filtered.ok());
      if (!filtered->has_value()) continue;
      REQUIRE((*filtered)->CheckCrc().ok());
      REQUIRE(CheckBatchFields((*filtered)->header()).ok());
      kept.push_back(**filtered);
    }
    kept_aborted = filter.TakeAborted();
    return kept;
  }
};

const BatchProducer kProducer{ProducerId(7), ProducerEpoch(1), Sequence(0)};

BatchView Transactional(int64_t base, const std::string& key, int32_t sequence = 0) {
  BatchBuilderOptions options;
  options.producer = BatchProducer{ProducerId(7), ProducerEpoch(1), Sequence(sequence)};
  options.transactional = true;
  return Make(base, {{0, key, "v"}}, options);
}

BatchView MarkerAt(int64_t base, bool commit) {
  BatchView marker = MarkerBatch(7, 1, commit);
  marker.SetBaseOffset(Offset(base));
  marker.SetLeaderEpoch(LeaderEpoch(3));
  return marker;
}

}  // namespace

TEST_CASE("RecordFilter: of every key the last value stays, at its offset and with its time") {
  Round round;
  const std::vector<BatchView> kept = round.Run({
      Make(10, {{0, "a", "1", Timestamp(5)}, {1, "b", "1", Timestamp(50)}, {2, "a", "2"}}),
      Make(20, {{0, "a", "3"}, {3, "c", "1"}}),
      Make(30, {{0, "b", "2"}}),
  });
  REQUIRE(kept.size() == 2);
  CHECK(kept[0].header().base_offset == Offset(20));
  CHECK(Records(kept[0]) == std::vector<Rec>{{0, "a", "3"}, {3, "c", "1"}});
  CHECK(Records(kept[1]) == std::vector<Rec>{{0, "b", "2"}});
}

TEST_CASE("RecordFilter: the batch keeps its offsets, and its largest time is of what is left") {
  for (Compression codec : {Compression::kNone, Compression::kGzip, Compression::kSnappy,
                            Compression::kLz4, Compression::kZstd}) {
    BatchBuilderOptions options;
    options.compression = codec;
    options.producer = kProducer;
    Round round;
    const BatchView first = Make(10,
                                 {{0, "a", "1", Timestamp(500)},
                                  {1, "b", "1", Timestamp(40)},
                                  {2, "a", "2", Timestamp(900)}},
                                 options);
    const std::vector<BatchView> kept = round.Run({first, Make(20, {{0, "a", "3"}})});
    REQUIRE(kept.size() == 2);
    const BatchHeader& header = kept[0].header();
    CHECK(header.base_offset == Offset(10));
    CHECK(header.last_offset() == Offset(12));
    CHECK(header.record_count == 1);
    CHECK(header.max_timestamp == Timestamp(40));
    CHECK(header.attributes == first.header().attributes);
    CHECK(header.producer == first.header().producer);
    CHECK(header.leader_epoch == LeaderEpoch(3));
    CHECK(Records(kept[0]) == std::vector<Rec>{{1, "b", "1", Timestamp(40)}});
  }
}

TEST_CASE("RecordFilter: what nothing is taken from is not written anew") {
  Round round;
  const BatchView batch = Make(0, {{0, "a", "1"}, {1, "b", "1"}});
  const std::vector<BatchView> kept = round.Run({batch});
  REQUIRE(kept.size() == 1);
  CHECK(kept[0].bytes().data() == batch.bytes().data());
}

TEST_CASE("RecordFilter: records without a key go") {
  Round round;
  const std::vector<BatchView> kept =
      round.Run({Make(0, {{0, std::nullopt, "1"}, {1, "b", "1"}}), Make(5, {{0, "z", "1"}})});
  CHECK(Records(kept[0]) == std::vector<Rec>{{1, "b", "1"}});
}

TEST_CASE("RecordFilter: a tombstone gets a horizon, waits for it, and goes") {
  Round first;
  const BatchView end = Make(50, {{0, "z", "1"}});
  std::vector<BatchView> log =
      first.Run({Make(0, {{0, "a", "1"}}), Make(10, {{0, "a", std::nullopt}, {1, "b", "1"}}), end});
  REQUIRE(log.size() == 2);
  CHECK(log[0].header().attributes.has_delete_horizon());
  CHECK(log[0].header().base_timestamp == Timestamp(kNow.ms() + kRetention));
  CHECK(Records(log[0]) == std::vector<Rec>{{0, "a", std::nullopt}, {1, "b", "1"}});

  Round again;
  again.now = Timestamp(kNow.ms() + kRetention - 1);
  const std::vector<BatchView> same = again.Run(log);
  REQUIRE(same.size() == 2);
  CHECK(same[0].bytes() == log[0].bytes());

  Round later;
  later.now = Timestamp(kNow.ms() + kRetention);
  log = later.Run(log);
  CHECK(Records(log[0]) == std::vector<Rec>{{1, "b", "1"}});
  // The time of what is left is what it was.
  CHECK(log[0].header().max_timestamp == Timestamp(100));
}

TEST_CASE("RecordFilter: delete.retention.ms may be for ever") {
  KeyMap map({1, 2}, 1 << 16, 0.9, 10);
  RecordFilter filter(map, {Offset(100), kNow, std::numeric_limits<int64_t>::max(), {}});
  auto kept = filter.Filter(Make(0, {{0, "a", std::nullopt}}), false);
  REQUIRE(kept.ok());
  CHECK((*kept)->header().base_timestamp == Timestamp(std::numeric_limits<int64_t>::max()));
  CHECK(Records(**kept) == std::vector<Rec>{{0, "a", std::nullopt}});
}

TEST_CASE(
    "RecordFilter: what the map does not reach stays as it is, tombstones without a horizon") {
  Round round;
  round.map_end = Offset(20);
  const BatchView beyond = Make(20, {{0, "a", "2"}, {1, "b", std::nullopt}});
  const std::vector<BatchView> kept = round.Run({Make(0, {{0, "a", "1"}}), beyond});
  REQUIRE(kept.size() == 2);
  CHECK(Records(kept[0]) == std::vector<Rec>{{0, "a", "1"}});
  CHECK(kept[1].bytes() == beyond.bytes());
}

TEST_CASE("RecordFilter: what is clean already is compared with what is not") {
  Round round;
  round.dirty_begin = Offset(10);
  // Of clean records of one key there is one; were there two, the map would not know.
  const std::vector<BatchView> kept =
      round.Run({Make(0, {{0, "a", "1"}, {1, "b", "1"}}), Make(10, {{0, "a", "2"}}),
                 Make(20, {{0, "c", "1"}})});
  REQUIRE(kept.size() == 3);
  CHECK(Records(kept[0]) == std::vector<Rec>{{1, "b", "1"}});
}

TEST_CASE("RecordFilter: the last batch of an active producer stays as a header") {
  BatchBuilderOptions options;
  options.producer = kProducer;
  Round round;
  round.producers.emplace(ProducerId(7), LastOfProducer{Offset(11), ProducerEpoch(1)});
  const std::vector<BatchView> kept = round.Run({
      Make(0, {{0, "a", "1"}, {1, "a", "2"}}, options),
      Make(10, {{0, "a", "3"}, {1, "a", "4"}}, options),
      Make(20, {{0, "a", "5"}}),
  });
  REQUIRE(kept.size() == 2);
  CHECK(kept[0].header().record_count == 0);
  CHECK(kept[0].header().base_offset == Offset(10));
  CHECK(kept[0].header().last_offset() == Offset(11));
  CHECK(kept[0].header().producer == options.producer);
  CHECK(kept[0].bytes().size() == kBatchHeaderBytes);
  // And goes when the producer does.
  CHECK(Round().Run(kept).size() == 1);
}

TEST_CASE("RecordFilter: the last batch of all stays as a header, so that the end stays known") {
  Round round;
  const std::vector<BatchView> kept = round.Run(
      {Make(0, {{0, "a", "1"}}), Make(10, {{0, std::nullopt, "x"}, {4, std::nullopt, "y"}})});
  REQUIRE(kept.size() == 2);
  CHECK(kept[1].header().record_count == 0);
  CHECK(kept[1].header().next_offset() == Offset(15));
}

TEST_CASE("RecordFilter: an aborted transaction goes at once, its marker two rounds later") {
  const BatchView end = Make(50, {{0, "z", "1"}});
  const AbortedTransaction aborted{ProducerId(7), Offset(10), Offset(30), Offset(31)};
  Round first;
  first.aborted = {aborted};
  std::vector<BatchView> log = first.Run({Make(0, {{0, "a", "1"}}), Transactional(10, "a"),
                                          Transactional(20, "b", 1), MarkerAt(30, false), end});
  REQUIRE(log.size() == 3);
  CHECK(Records(log[0]) == std::vector<Rec>{{0, "a", "1"}});  // No later value counts.
  CHECK(log[1].header().base_offset == Offset(30));
  CHECK_FALSE(log[1].header().attributes.has_delete_horizon());
  CHECK(first.kept_aborted == std::vector{aborted});

  Round second;
  second.aborted = {aborted};
  log = second.Run(log);
  REQUIRE(log.size() == 3);
  CHECK(log[1].header().attributes.has_delete_horizon());
  CHECK_FALSE((*ParseTransactionMarker(log[1]))->commit);

  Round third;
  third.aborted = {aborted};
  third.now = Timestamp(kNow.ms() + kRetention);
  log = third.Run(log);
  REQUIRE(log.size() == 2);
  CHECK(third.kept_aborted.empty());
}

TEST_CASE("RecordFilter: a commit stays as long as anything of its transaction does") {
  const BatchView end = Make(50, {{0, "z", "1"}});
  std::vector<BatchView> log = {Transactional(10, "a"), MarkerAt(30, true), end};
  for (int i = 0; i < 3; ++i) {
    Round round;
    round.now = Timestamp(kNow.ms() + i * 10 * kRetention);
    log = round.Run(log);
    REQUIRE(log.size() == 3);
    CHECK_FALSE(log[1].header().attributes.has_delete_horizon());
  }
  log.insert(log.begin() + 2, Make(40, {{0, "a", "2"}}));
  log = Round().Run(log);
  REQUIRE(log.size() == 3);  // The marker, and the later value.
  log = Round().Run(log);
  CHECK(log[0].header().attributes.has_delete_horizon());
  Round last;
  last.now = Timestamp(kNow.ms() + kRetention);
  CHECK(last.Run(log).size() == 2);
}

TEST_CASE("RecordFilter: a marker that alone says a producer's epoch stays") {
  const BatchView end = Make(50, {{0, "z", "1"}});
  std::vector<BatchView> log = {MarkerAt(30, true), end};
  for (int i = 0; i < 3; ++i) {
    Round round;
    round.now = Timestamp(kNow.ms() + i * 10 * kRetention);
    round.producers.emplace(ProducerId(7), LastOfProducer{std::nullopt, ProducerEpoch(1)});
    log = round.Run(log);
    REQUIRE(log.size() == 2);
  }
}

TEST_CASE("KeyCollector: a full map stops inside a batch, and says where") {
  KeyMap map({1, 2}, 3 * kKeySlotBytes, 1.0, 1000);
  REQUIRE(map.keys_max() == 2);
  KeyCollector keys(map, Offset(0));
  auto whole = keys.Add(Make(5, {{0, "a", "1"}, {3, "b", "1"}, {4, "a", "2"}, {6, "c", "1"}}));
  REQUIRE(whole.ok());
  CHECK_FALSE(*whole);
  CHECK(keys.end() == Offset(11));
  RecordFilter filter(map, {keys.end(), kNow, kRetention, {}});
  auto kept =
      filter.Filter(Make(5, {{0, "a", "1"}, {3, "b", "1"}, {4, "a", "2"}, {6, "c", "1"}}), false);
  REQUIRE(kept.ok());
  CHECK(Records(**kept) == std::vector<Rec>{{3, "b", "1"}, {4, "a", "2"}, {6, "c", "1"}});
}

TEST_CASE("RecordFilter: bytes that are no records end it") {
  BatchView batch = Make(0, {{0, "a", "1"}, {1, "b", "1"}});
  BatchHeader lie = batch.header();
  lie.record_count = 1;
  KeyMap map({1, 2}, 1 << 16, 0.9, 10);
  KeyCollector keys(map, Offset(0));
  CHECK(absl::IsDataLoss(keys.Add(BatchView(batch.bytes(), lie)).status()));
  RecordFilter filter(map, {Offset(10), kNow, kRetention, {}});
  CHECK(absl::IsDataLoss(filter.Filter(BatchView(batch.bytes(), lie), false).status()));
}

TEST_CASE("RecordFilter: however often, in however many rounds, a model knows what is left") {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    INFO("seed " << seed);
    SimRandom random(seed);
    std::vector<BatchView> log;
    std::map<std::string, std::pair<int64_t, std::optional<std::string>>> latest;
    int64_t next = 0;
    Offset cleaned(0);
    Timestamp now = kNow;
    for (int lap = 0; lap < 6; ++lap) {
      for (uint64_t i = random.Between(1, 10); i > 0; --i) {
        std::vector<Rec> records;
        const int64_t base = next;
        for (uint64_t j = random.Between(1, 8); j > 0; --j, ++next) {
          const std::string key = std::to_string(random.Below(15));
          std::optional<std::string> value = std::to_string(random.Next());
          if (random.Below(4) == 0) value = std::nullopt;
          records.push_back({static_cast<int32_t>(next - base), key, value, Timestamp(100 + next)});
          latest.insert_or_assign(key, std::pair(next, value));
        }
        BatchBuilderOptions options;
        options.compression = random.Coin() ? Compression::kZstd : Compression::kNone;
        log.push_back(Make(base, records, options));
      }
      Round round;
      round.dirty_begin = cleaned;
      round.now = now = Timestamp(now.ms() + static_cast<int64_t>(random.Below(2 * kRetention)));
      log = round.Run(log);
      cleaned = Offset(next);
      CHECK(log.back().header().next_offset() == Offset(next));
      size_t seen = 0;
      for (const BatchView& batch : log) {
        for (const Rec& record : Records(batch)) {
          const auto& [offset, value] = latest.at(*record.key);
          CHECK(batch.header().base_offset.value() + record.delta == offset);
          CHECK(record.value == value);
          CHECK(record.at == Timestamp(100 + offset));
          if (value) ++seen;
        }
      }
      size_t values = 0;
      for (const auto& [key, last] : latest) values += last.second.has_value() ? 1 : 0;
      CHECK(seen == values);
    }
  }
}

}  // namespace millrace
