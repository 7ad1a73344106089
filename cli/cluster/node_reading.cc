#include "cli/cluster/node_reading.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace millrace {
namespace {

std::optional<double> ParseNumber(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Whether `series` is `name`, with labels or without.
bool IsOf(std::string_view series, std::string_view name) {
  return series.starts_with(name) && (series.size() == name.size() || series[name.size()] == '{');
}

double Grown(double before, double now) { return now >= before ? now - before : now; }

// The observations between two looks at a histogram, added up as its buckets are.
std::map<double, double> Between(const std::map<double, double>& before,
                                 const std::map<double, double>& now) {
  const bool anew = !now.empty() && before.contains(now.rbegin()->first) &&
                    before.at(now.rbegin()->first) > now.rbegin()->second;
  std::map<double, double> between;
  for (const auto& [bound, count] : now) {
    auto was = before.find(bound);
    between[bound] = anew || was == before.end() ? count : count - was->second;
  }
  return between;
}

// The smallest bound that so large a share does not exceed; the last finite one for what is above
// all of them.
std::optional<double> Quantile(const std::map<double, double>& buckets, double share) {
  if (buckets.empty() || buckets.rbegin()->second <= 0) return std::nullopt;
  const double wanted = share * buckets.rbegin()->second;
  double last = 0;
  for (const auto& [bound, count] : buckets) {
    if (std::isfinite(bound)) last = bound;
    if (count >= wanted) break;
  }
  return last;
}

}  // namespace

MetricPage MetricPage::Parse(std::string_view text) {
  MetricPage page;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const size_t blank = line.rfind(' ');
    if (line.starts_with('#') || blank == std::string_view::npos) continue;
    if (const std::optional<double> value = ParseNumber(line.substr(blank + 1))) {
      page.series_.insert_or_assign(std::string(line.substr(0, blank)), *value);
    }
  }
  return page;
}

double MetricPage::Value(std::string_view series) const {
  auto found = series_.find(series);
  return found == series_.end() ? 0 : found->second;
}

std::string MetricPage::Label(std::string_view name, std::string_view label) const {
  auto found = series_.lower_bound(name);
  if (found == series_.end() || !IsOf(found->first, name)) return "";
  const std::string start = fmt::format("{}=\"", label);
  const size_t begin = found->first.find(start);
  if (begin == std::string::npos) return "";
  const size_t from = begin + start.size();
  return found->first.substr(from, found->first.find('"', from) - from);
}

double MetricPage::Sum(std::string_view name) const {
  double sum = 0;
  for (auto at = series_.lower_bound(name); at != series_.end() && at->first.starts_with(name);
       ++at) {
    if (IsOf(at->first, name)) sum += at->second;
  }
  return sum;
}

std::map<double, double> MetricPage::Buckets(std::string_view name, std::string_view labels) const {
  const std::string start =
      fmt::format("{}_bucket{{{}{}le=\"", name, labels, labels.empty() ? "" : ",");
  std::map<double, double> buckets;
  for (auto at = series_.lower_bound(start); at != series_.end() && at->first.starts_with(start);
       ++at) {
    const std::string_view rest = std::string_view(at->first).substr(start.size());
    if (const std::optional<double> bound = ParseNumber(rest.substr(0, rest.find('"')))) {
      buckets[*bound] = at->second;
    } else if (rest.starts_with("+Inf")) {
      buckets[HUGE_VAL] = at->second;
    }
  }
  return buckets;
}

NodeReading ReadNode(const MetricPage& first, const MetricPage& before, const MetricPage& now,
                     double seconds) {
  const auto rate = [&](std::string_view name) {
    return Grown(before.Sum(name), now.Sum(name)) / seconds;
  };
  const auto p99 = [&](std::string_view name, std::string_view labels) {
    return Quantile(Between(before.Buckets(name, labels), now.Buckets(name, labels)), 0.99);
  };
  const auto count = [&](std::string_view name) { return static_cast<int64_t>(now.Value(name)); };
  NodeReading reading;
  reading.node = now.Label("millrace_build_info", "node");
  reading.version = now.Label("millrace_build_info", "version");
  reading.ready = now.Value("millrace_ready") > 0;
  reading.requests_in = rate("millrace_request_bytes_total");
  reading.replies_out = rate("millrace_reply_bytes_total");
  reading.replication_in = rate("millrace_replication_received_bytes_total");
  reading.produces = rate("millrace_request_seconds_count{api=\"Produce\"}");
  reading.fetches = rate("millrace_request_seconds_count{api=\"Fetch\"}");
  reading.produce_p99 = p99("millrace_request_seconds", "api=\"Produce\"");
  reading.sync_p99 = p99("millrace_log_sync_seconds", "of=\"journal\"");
  reading.leads = count("millrace_partitions_led");
  reading.under_replicated = count("millrace_partitions_led_under_replicated");
  reading.under_min_isr = count("millrace_partitions_led_under_min_isr");
  reading.lag = now.Value("millrace_replication_lag_seconds");
  reading.cpu = rate("process_cpu_seconds_total");
  reading.rss = count("process_resident_memory_bytes");
  const std::map<double, double> failovers = Between(first.Buckets("millrace_failover_seconds", ""),
                                                     now.Buckets("millrace_failover_seconds", ""));
  if (!failovers.empty()) reading.failovers = static_cast<int64_t>(failovers.rbegin()->second);
  reading.failover_max = Quantile(failovers, 1);
  return reading;
}

}  // namespace millrace
