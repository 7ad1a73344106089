#include "storage/log_scrubber.h"

#include <catch2/catch.hpp>

#include "common/error_kind.h"
#include "common/metrics/metrics.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

double ValueOf(const MetricRegistry& registry, const std::string& name) {
  for (const MetricSample& sample : registry.Snapshot()) {
    if (sample.name.name == name) return std::get<double>(sample.value);
  }
  FAIL("no metric " << name);
  return 0;
}

LogStoreOptions Fast() {
  LogStoreOptions options;
  options.scrub_delay = seconds(1);
  options.scrub_interval = seconds(100);
  options.scrub_bytes_per_second = 1000;
  options.tail_cache_bytes_max = 0;
  return options;
}

}  // namespace

TEST_CASE("LogScrubber: a flipped bit that nobody reads is found, told once, and not served") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), Fast());
  REQUIRE(store.Start().ok());
  MetricRegistry registry;
  store->RegisterMetrics(registry);
  LogConfig config;
  config.segment_bytes = 2000;
  for (int i = 0; i < 3; ++i) {
    Log& log = store.Open(i, config);
    for (int batch = 0; batch < 60; ++batch) store.Append(log, TestBatch({"a record", "another"}));
    store.WaitDurable(log);
    REQUIRE(world.Run(store.env(), log.Flush()).ok());
  }
  Log& log = store.Open(1);
  const std::string path = "/data/topic1-0/00000000000000000000.log";
  node.disk().Find(path)->FlipBit(500, 4);
  REQUIRE(world.RunUntil([&] { return !log.damage().empty(); }, seconds(600)));
  CHECK(log.damage().size() == 1);
  CHECK(log.damage()[0].segment == Offset(0));
  CHECK(store.Open(0).damage().empty());
  CHECK(store.Open(2).damage().empty());
  REQUIRE(world.RunUntil([&] { return ValueOf(registry, "millrace_log_scrub_rounds_total") >= 3; },
                         seconds(2000)));
  CHECK(ValueOf(registry, "millrace_log_damage_found_total") == 1);
  CHECK(ValueOf(registry, "millrace_log_damaged_partitions") == 1);
  auto read = world.Run(store.env(), log.Read(Offset(0), {100'000, log.end_offset(), true}));
  REQUIRE(read.ok());  // What lies before it.
  read = world.Run(store.env(), log.Read(read->next_offset, {100'000, log.end_offset(), true}));
  CHECK(KindOf(read.status()) == ErrorKind::kCorruptMessage);
  // A cut that takes the damage with it ends it.
  REQUIRE(world.Run(store.env(), log.TruncateFullyAndStartAt(Offset(0))).ok());
  CHECK(log.damage().empty());
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogScrubber: it reads no faster than it may, and all of it") {
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  TestStore store(world, node.Boot(), Fast());
  REQUIRE(store.Start().ok());
  MetricRegistry registry;
  store->RegisterMetrics(registry);
  Log& log = store.Open(1);
  for (int batch = 0; batch < 100; ++batch) {
    store.Append(log, TestBatch({std::string(500, 'x')}));
  }
  REQUIRE(world.Run(store.env(), log.Flush()).ok());
  const Instant begun = store.env().reactor.Now();
  const uint64_t bytes = log.size_bytes();
  REQUIRE(world.RunUntil([&] { return ValueOf(registry, "millrace_log_scrub_rounds_total") >= 1; },
                         seconds(600)));
  CHECK(ValueOf(registry, "millrace_log_scrubbed_bytes_total") == static_cast<double>(bytes));
  CHECK(store.env().reactor.Now() - begun >=
        seconds(static_cast<int64_t>(bytes / 1000)) - seconds(1));
  REQUIRE(store.Stop().ok());
}

TEST_CASE("LogMetrics: appends, syncs and reads are counted where they happen") {
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  LogStoreOptions options;
  options.scrub_bytes_per_second = 0;
  TestStore store(world, node.Boot(), options);
  REQUIRE(store.Start().ok());
  MetricRegistry registry;
  store->RegisterMetrics(registry);
  Log& log = store.Open(1);
  const size_t bytes = TestBatch({"value"}).bytes().size();
  for (int i = 0; i < 10; ++i) store.Append(log, TestBatch({"value"}));
  store.WaitDurable(log);
  REQUIRE(world.Run(store.env(), log.Flush()).ok());
  (void)store.ReadAll(log, 1 << 20);
  std::map<std::string, double> values;
  std::map<std::string, uint64_t> counts;
  for (const MetricSample& sample : registry.Snapshot()) {
    std::string name = sample.name.name;
    for (const auto& [key, value] : sample.name.labels) name += "," + value;
    if (const auto* histogram = std::get_if<Histogram>(&sample.value)) {
      counts[name] = histogram->count();
    } else {
      values[name] = std::get<double>(sample.value);
    }
  }
  CHECK(values["millrace_log_appended_bytes_total"] == static_cast<double>(10 * bytes));
  CHECK(values["millrace_log_written_bytes_total,segment"] == static_cast<double>(10 * bytes));
  CHECK(values["millrace_log_read_bytes_total,memory"] == static_cast<double>(10 * bytes));
  CHECK(values["millrace_log_reads_total,disk"] == 0);
  CHECK(values["millrace_log_directory_offline,/data"] == 0);
  CHECK(values["millrace_log_partitions"] == 1);
  CHECK(values["millrace_log_journal_bytes_total,/data"] > 0);
  CHECK(counts["millrace_log_append_seconds"] == 10);
  CHECK(counts["millrace_log_sync_seconds,journal"] >= 1);
  CHECK(counts["millrace_log_sync_seconds,segment"] >= 1);
  CHECK(RenderPrometheus(registry.Snapshot()).find("millrace_log_append_seconds_count 10\n") !=
        std::string::npos);
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace
