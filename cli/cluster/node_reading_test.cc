#include "cli/cluster/node_reading.h"

#include <catch2/catch.hpp>
#include <string>

namespace millrace {
namespace {

std::string Page(double produces, double fast, double all, double failovers = 0) {
  std::string page = R"(# HELP millrace_build_info Always 1; the labels tell.
# TYPE millrace_build_info gauge
millrace_build_info{node="3",version="1.2",reactor="epoll"} 1
millrace_ready 1
millrace_partitions_led 4
millrace_partitions_led_under_replicated 2
millrace_partitions_led_under_min_isr 1
process_resident_memory_bytes 3e+07
)";
  const auto add = [&page](const std::string& series, double value) {
    page += series + " " + std::to_string(value) + "\n";
  };
  add("millrace_request_bytes_total{api=\"Produce\"}", produces * 1000);
  add("millrace_request_bytes_total{api=\"Fetch\"}", 50);
  add("millrace_request_seconds_count{api=\"Produce\"}", produces);
  add("millrace_request_seconds_bucket{api=\"Produce\",le=\"0.001\"}", fast);
  add("millrace_request_seconds_bucket{api=\"Produce\",le=\"0.008\"}", all);
  add("millrace_request_seconds_bucket{api=\"Produce\",le=\"+Inf\"}", all);
  add("millrace_failover_seconds_bucket{le=\"0.2\"}", failovers);
  add("millrace_failover_seconds_bucket{le=\"+Inf\"}", failovers);
  return page;
}

TEST_CASE("NodeReading: rates and quantiles are of what happened between two looks") {
  const MetricPage first = MetricPage::Parse(Page(100, 0, 100));  // A slow hundred, long ago.
  const MetricPage now = MetricPage::Parse(Page(1100, 995, 1100, 3));
  const NodeReading reading = ReadNode(first, first, now, 2);
  CHECK(reading.node == "3");
  CHECK(reading.version == "1.2");
  CHECK(reading.ready);
  CHECK(reading.produces == 500);
  CHECK(reading.requests_in == 500'000);
  CHECK(reading.produce_p99 == 0.001);
  CHECK_FALSE(reading.sync_p99.has_value());
  CHECK(reading.leads == 4);
  CHECK(reading.under_replicated == 2);
  CHECK(reading.under_min_isr == 1);
  CHECK(reading.rss == 30'000'000);
  CHECK(reading.failovers == 3);
  CHECK(reading.failover_max == 0.2);
}

TEST_CASE("NodeReading: a process that began anew counts from zero, and nothing is negative") {
  const MetricPage before = MetricPage::Parse(Page(5000, 5000, 5000, 7));
  const MetricPage now = MetricPage::Parse(Page(10, 0, 10));
  const NodeReading reading = ReadNode(before, before, now, 1);
  CHECK(reading.produces == 10);
  CHECK(reading.produce_p99 == 0.008);
  CHECK(reading.failovers == 0);
  CHECK_FALSE(reading.failover_max.has_value());
}

TEST_CASE("NodeReading: two looks without a request between them have no quantile") {
  const MetricPage page = MetricPage::Parse(Page(10, 10, 10));
  const NodeReading reading = ReadNode(page, page, page, 1);
  CHECK(reading.produces == 0);
  CHECK_FALSE(reading.produce_p99.has_value());
}

TEST_CASE("MetricPage: what is no sample is passed over") {
  const MetricPage page =
      MetricPage::Parse("<html>\nname\nname x\nother 1 \nsum{a=\"b c\"} 2\nsum 3\nsummer 9");
  CHECK(page.Value("name") == 0);
  CHECK(page.Value("sum{a=\"b c\"}") == 2);
  CHECK(page.Sum("sum") == 5);
  CHECK(page.Label("absent", "node").empty());
  CHECK(page.Label("sum", "node").empty());
}

}  // namespace
}  // namespace millrace
