// What `millrace top` makes of two looks at a node's /metrics: rates and quantiles of what happened
// between them.
//
// Shard: any; pure. Source: Prometheus text format 0.0.4, as far as RenderPrometheus() uses it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

// The samples of one page, by name and labels as they stand there: `name{label="value"}`. What is no
// sample is passed over.
class MetricPage {
 public:
  static MetricPage Parse(std::string_view text);

  // 0 for one that is not there.
  double Value(std::string_view series) const;
  // The value of `label` in the one series of `name`; empty without.
  std::string Label(std::string_view name, std::string_view label) const;
  // Of all series of `name`, whatever their labels.
  double Sum(std::string_view name) const;
  // The buckets of a histogram: how many observations were at most so large. `labels`: as they stand
  // there, `api="Produce"`, or empty.
  std::map<double, double> Buckets(std::string_view name, std::string_view labels) const;

 private:
  std::map<std::string, double, std::less<>> series_;
};

// One node between two looks. Bytes and seconds.
struct NodeReading {
  std::string node;     // Its id.
  std::string version;  // Of the software.
  bool ready = false;
  double requests_in = 0;  // Bytes a second, of clients.
  double replies_out = 0;
  double replication_in = 0;  // Bytes a second, from leaders.
  double produces = 0;        // Requests a second.
  double fetches = 0;
  std::optional<double> produce_p99;  // Seconds; nothing: none was answered.
  std::optional<double> sync_p99;     // Of the journal.
  int64_t leads = 0;                  // Partitions,
  int64_t under_replicated = 0;       // and of these;
  int64_t under_min_isr = 0;
  double lag = 0;  // Seconds that the most laggard follower in sync is behind.
  double cpu = 0;  // Cores.
  int64_t rss = 0;
  // Since `first`: partitions that this node took over from a leader that was lost, and the longest
  // time that took.
  int64_t failovers = 0;
  std::optional<double> failover_max;
};

// `first` is the earliest look at this process. A counter that went down belongs to a new process: it
// counts from zero. REQUIRES: seconds > 0.
NodeReading ReadNode(const MetricPage& first, const MetricPage& before, const MetricPage& now,
                     double seconds);

}  // namespace millrace
