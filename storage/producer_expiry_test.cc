#include "storage/producer_expiry.h"

#include <catch2/catch.hpp>

#include "common/error_kind.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/log_state.h"
#include "storage/log_test_tools.h"
#include "storage/producer/producer_state.h"
#include "storage/store_context.h"

namespace millrace {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

BatchView From(int64_t producer, int32_t sequence, bool transactional = false) {
  BatchBuilderOptions options;
  options.producer = BatchProducer{ProducerId(producer), ProducerEpoch(0), Sequence(sequence)};
  options.transactional = transactional;
  BatchBuilder builder(options);
  builder.Append(Timestamp(1000), std::nullopt, {});
  return *builder.Build();
}

// Whether the leader would append it; the kind of error otherwise.
std::optional<ErrorKind> Refusal(Log& log, const BatchView& batch) {
  return KindOf(log.producers().Check(batch.header()).status());
}

}  // namespace

TEST_CASE("ProducerExpiry: an idle producer is forgotten after producer.id.expiration.ms (1.40)") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1);
  store.Append(log, From(7, 0));
  store.Append(log, From(8, 0, /*transactional=*/true));
  CHECK(Refusal(log, From(7, 5)) == ErrorKind::kOutOfOrderSequence);

  world.RunFor(hours(24) - minutes(1));
  CHECK(Refusal(log, From(7, 5)) == ErrorKind::kOutOfOrderSequence);
  CHECK(log.producers().Check(From(7, 0).header())->has_value());  // The duplicate it is.
  world.RunFor(minutes(2));
  CHECK(log.producers().Find(ProducerId(7)) == nullptr);
  // Rule 1.36: whatever it sends next is taken as new.
  CHECK_FALSE(log.producers().Check(From(7, 5).header())->has_value());
  store.Append(log, From(7, 5));
  CHECK(Refusal(log, From(7, 7)) == ErrorKind::kOutOfOrderSequence);
  // Never while a transaction is open.
  world.RunFor(hours(100));
  CHECK(log.producers().Find(ProducerId(8)) != nullptr);
  CHECK(log.producers().size() == 1);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("ProducerExpiry: an idle log is looked at once, and then never again") {
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  constexpr int kLogs = 40;
  for (int i = 0; i < kLogs; ++i) {
    Log& log = store.Open(i);
    if (i % 2 == 0) store.Append(log, From(100 + i, 0));
  }
  const ProducerExpiry& expiry = *store.Open(0).state().context.expiry;
  CHECK(expiry.scheduled() == kLogs / 2);
  world.RunFor(hours(23));
  CHECK(expiry.looks() == 0);
  world.RunFor(hours(2));
  CHECK(expiry.looks() == kLogs / 2);
  CHECK(expiry.scheduled() == 0);
  world.RunFor(hours(200));
  CHECK(expiry.looks() == kLogs / 2);
  REQUIRE(store.Stop().ok());
}

TEST_CASE("ProducerExpiry: a busy log is looked at once per check interval at most") {
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options;
  options.producer_check_interval = minutes(10);
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  LogConfig config;
  config.producer_id_expiration_ms = 120'000;
  Log& log = store.Open(1, config);
  const ProducerExpiry& expiry = *log.state().context.expiry;
  for (int i = 0; i < 60; ++i) {
    store.Append(log, From(i, 0));
    store.Append(log, From(1'000'000, i));
    world.RunFor(minutes(1));
  }
  CHECK(expiry.looks() >= 5);
  CHECK(expiry.looks() <= 7);
  CHECK(log.producers().size() <= 14);  // Those of one interval, and the busy one.
  world.RunFor(minutes(11));
  CHECK(log.producers().empty());
  REQUIRE(store.Stop().ok());
}

TEST_CASE(
    "ProducerExpiry: producers found at start expire too, and a shorter time counts at once") {
  SimWorld world(4);
  SimNode& node = world.AddNode("n1");
  {
    TestStore store(world, node.Boot(), {});
    REQUIRE(store.Start().ok());
    store.Append(store.Open(1), From(7, 0));
    store.Append(store.Open(2), From(7, 0));
    REQUIRE(store.Stop().ok());
    node.Kill();
  }
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1);
  REQUIRE(log.producers().size() == 1);
  world.RunFor(minutes(1));
  LogConfig config = log.config();
  config.producer_id_expiration_ms = 30'000;
  log.set_config(config);
  world.RunFor(seconds(1));
  CHECK(log.producers().empty());
  Log& other = store.Open(2);
  CHECK(other.producers().size() == 1);
  world.RunFor(hours(25));
  CHECK(other.producers().empty());
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogStore: logs remember so many producers together, also after a start") {
  SimWorld world(5);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options;
  options.producer_bytes_max = 100 * kProducerBytes;
  const bool clean = GENERATE(true, false);
  constexpr int kLogs = 10;
  {
    TestStore store(world, node.Boot(), options);
    REQUIRE(store.Start().ok());
    for (int i = 0; i < 40 * kLogs; ++i) {
      store.Append(store.Open(i % kLogs), From(i, 0));
      store.Append(store.Open(0), From(1'000'000, i));  // Who goes on is never forgotten.
    }
    CHECK(store.Open(0).state().context.producers.producers() == 100);
    CHECK(store.Open(0).state().context.producers.evicted() == 40 * kLogs + 1 - 100);
    CHECK(store.Open(1).producers().Find(ProducerId(1)) == nullptr);
    CHECK(Refusal(store.Open(0), From(1'000'000, 7)) == ErrorKind::kOutOfOrderSequence);
    world.RunFor(seconds(1));  // All of it is durable.
    if (clean) REQUIRE(store.Stop().ok());
    node.Kill();
    if (!clean) (void)store.Stop();
  }
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  const ProducerLedger& ledger = store.Open(0).state().context.producers;
  CHECK(ledger.producers() == 100);
  size_t remembered = 0;
  for (int i = 0; i < kLogs; ++i) remembered += store.Open(i).producers().size();
  CHECK(remembered == 100);
  store.Append(store.Open(3), From(2'000'000, 0));
  CHECK(ledger.producers() == 100);
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace
