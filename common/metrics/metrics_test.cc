#include "common/metrics/metrics.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

TEST_CASE("Histogram: each duration is in the first bucket whose bound it does not exceed") {
  for (uint64_t ns = 0; ns < 40'000'000'000; ns = ns * 5 / 4 + 37) {
    Histogram histogram;
    histogram.Observe(Duration(static_cast<int64_t>(ns)));
    size_t expected = 0;
    while (expected < Histogram::kBuckets && ns > Histogram::BoundNs(expected)) ++expected;
    INFO(ns);
    REQUIRE(histogram.bucket(expected) == 1);
  }
  for (size_t i = 0; i < Histogram::kBuckets; ++i) {
    Histogram histogram;
    histogram.Observe(Duration(static_cast<int64_t>(Histogram::BoundNs(i))));
    histogram.Observe(Duration(static_cast<int64_t>(Histogram::BoundNs(i)) + 1));
    REQUIRE(histogram.bucket(i) == 1);
    REQUIRE(histogram.bucket(i + 1) == 1);
  }
}

TEST_CASE("Histogram: a quantile is the bound that so many do not exceed") {
  Histogram histogram;
  CHECK(histogram.QuantileNs(0.5) == 0);
  for (int i = 0; i < 99; ++i) histogram.Observe(microseconds(3));
  histogram.Observe(milliseconds(5));
  CHECK(histogram.QuantileNs(0.5) == 3'000);
  CHECK(histogram.QuantileNs(0.99) == 3'000);
  CHECK(histogram.QuantileNs(1) == 6'144'000);
}

TEST_CASE("Metrics: shards add up, and names stand once with their help") {
  Counter disk[2];
  Counter memory;
  Gauge open;
  disk[0].Add(3);
  disk[1].Add(4);
  memory.Add();
  open.Set(-2);
  std::vector<MetricSnapshot> shards;
  for (Counter& counter : disk) {
    MetricRegistry registry;
    registry.Add({"read_bytes_total", "Bytes \"read\".", {{"path", "disk"}}}, &counter);
    registry.Add({"read_bytes_total", "Bytes \"read\".", {{"path", "a\"b"}}}, &memory);
    registry.Add({"open", "Files."}, &open);
    registry.AddGauge({"files", "Kept."}, [] { return 0.25; });
    registry.AddGaugeMax({"fill_ratio", "Fill."}, [&counter] { return counter.value() / 8.0; });
    shards.push_back(registry.Snapshot());
  }
  CHECK(RenderPrometheus(MergeSnapshots(std::move(shards))) ==
        "# HELP files Kept.\n# TYPE files gauge\nfiles 0.5\n"
        "# HELP fill_ratio Fill.\n# TYPE fill_ratio gauge\nfill_ratio 0.5\n"
        "# HELP open Files.\n# TYPE open gauge\nopen -4\n"
        "# HELP read_bytes_total Bytes \"read\".\n# TYPE read_bytes_total counter\n"
        "read_bytes_total{path=\"a\\\"b\"} 2\nread_bytes_total{path=\"disk\"} 7\n");
}

TEST_CASE("Metrics: a histogram is rendered with growing buckets, its sum and its count") {
  Histogram histogram;
  histogram.Observe(microseconds(1));
  histogram.Observe(seconds(100));
  MetricRegistry registry;
  registry.Add({"sync_seconds", "Syncs."}, &histogram);
  const std::string text = RenderPrometheus(registry.Snapshot());
  CHECK(
      text.starts_with("# HELP sync_seconds Syncs.\n# TYPE sync_seconds histogram\n"
                       "sync_seconds_bucket{le=\"1e-06\"} 1\n"
                       "sync_seconds_bucket{le=\"1.5e-06\"} 1\n"));
  CHECK(
      text.ends_with("sync_seconds_bucket{le=\"+Inf\"} 2\nsync_seconds_sum 100.000001\n"
                     "sync_seconds_count 2\n"));
}

}  // namespace
}  // namespace millrace
