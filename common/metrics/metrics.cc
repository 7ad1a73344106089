#include "common/metrics/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <tuple>

namespace millrace {
namespace {

auto KeyOf(const MetricSample& sample) { return std::tie(sample.name.name, sample.name.labels); }

std::string Escaped(const std::string& text, bool quotes) {
  std::string escaped;
  for (char c : text) {
    if (c == '\\') {
      escaped += "\\\\";
    } else if (c == '\n') {
      escaped += "\\n";
    } else if (c == '"' && quotes) {
      escaped += "\\\"";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string Labels(const MetricId& name, const std::string& bound = "") {
  std::string labels;
  for (const auto& [key, value] : name.labels) {
    labels += fmt::format("{}{}=\"{}\"", labels.empty() ? "" : ",", key, Escaped(value, true));
  }
  if (!bound.empty()) labels += fmt::format("{}le=\"{}\"", labels.empty() ? "" : ",", bound);
  return labels.empty() ? "" : "{" + labels + "}";
}

std::string Seconds(uint64_t ns) { return fmt::format("{:.9g}", static_cast<double>(ns) / 1e9); }

std::string_view TypeOf(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return "counter";
    case MetricKind::kGauge:
    case MetricKind::kGaugeMax:
      return "gauge";
    case MetricKind::kHistogram:
      return "histogram";
  }
  return "untyped";
}

void RenderHistogram(const MetricId& name, const Histogram& histogram, std::string& out) {
  uint64_t below = 0;
  for (size_t i = 0; i < Histogram::kBuckets; ++i) {
    below += histogram.bucket(i);
    out += fmt::format("{}_bucket{} {}\n", name.name, Labels(name, Seconds(Histogram::BoundNs(i))),
                       below);
  }
  out += fmt::format("{}_bucket{} {}\n", name.name, Labels(name, "+Inf"), histogram.count());
  out += fmt::format("{}_sum{} {}\n", name.name, Labels(name), Seconds(histogram.sum_ns()));
  out += fmt::format("{}_count{} {}\n", name.name, Labels(name), histogram.count());
}

}  // namespace

size_t Histogram::BucketOf(uint64_t ns) {
  if (ns <= 1000) return 0;
  // The octave of the bound below, then which half of it.
  const uint64_t us =
      (ns - 1) / 1000;  // At least 1: bound 2^k us is in the bucket that ends there.
  const size_t octave = static_cast<size_t>(std::bit_width(us)) - 1;
  const bool upper = ns > (uint64_t{1500} << octave);
  return std::min(octave * 2 + (upper ? 2 : 1), kBuckets);
}

void Histogram::Merge(const Histogram& other) {
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  sum_ns_ += other.sum_ns_;
}

uint64_t Histogram::count() const {
  uint64_t count = 0;
  for (uint64_t bucket : counts_) count += bucket;
  return count;
}

uint64_t Histogram::QuantileNs(double share) const {
  const double wanted = share * static_cast<double>(count());
  uint64_t below = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    below += counts_[i];
    if (below > 0 && static_cast<double>(below) >= wanted) {
      return BoundNs(std::min(i, kBuckets - 1));
    }
  }
  return 0;
}

void MetricRegistry::Add(MetricId name, const Counter* counter) {
  entries_.push_back({std::move(name), MetricKind::kCounter,
                      [counter] { return static_cast<double>(counter->value()); }});
}

void MetricRegistry::Add(MetricId name, const Gauge* gauge) {
  entries_.push_back({std::move(name), MetricKind::kGauge,
                      [gauge] { return static_cast<double>(gauge->value()); }});
}

void MetricRegistry::Add(MetricId name, const Histogram* histogram) {
  entries_.push_back({std::move(name), MetricKind::kHistogram, [histogram] { return *histogram; }});
}

void MetricRegistry::AddGauge(MetricId name, std::function<double()> ask) {
  entries_.push_back({std::move(name), MetricKind::kGauge, [ask] { return ask(); }});
}

void MetricRegistry::AddGaugeMax(MetricId name, std::function<double()> ask) {
  entries_.push_back({std::move(name), MetricKind::kGaugeMax, [ask] { return ask(); }});
}

void MetricRegistry::AddCounter(MetricId name, std::function<double()> ask) {
  entries_.push_back({std::move(name), MetricKind::kCounter, [ask] { return ask(); }});
}

MetricSnapshot MetricRegistry::Snapshot() const {
  MetricSnapshot snapshot;
  snapshot.reserve(entries_.size());
  for (const Entry& entry : entries_) {
    snapshot.push_back({entry.name, entry.kind, entry.read()});
  }
  std::ranges::sort(snapshot, [](const auto& a, const auto& b) { return KeyOf(a) < KeyOf(b); });
  return snapshot;
}

MetricSnapshot MergeSnapshots(std::vector<MetricSnapshot> snapshots) {
  MetricSnapshot all;
  for (MetricSnapshot& snapshot : snapshots) {
    for (MetricSample& sample : snapshot) all.push_back(std::move(sample));
  }
  std::ranges::sort(all, [](const auto& a, const auto& b) { return KeyOf(a) < KeyOf(b); });
  MetricSnapshot merged;
  for (MetricSample& sample : all) {
    const bool same = !merged.empty() && KeyOf(merged.back()) == KeyOf(sample) &&
                      merged.back().kind == sample.kind;
    if (!same) {
      merged.push_back(std::move(sample));
    } else if (auto* histogram = std::get_if<Histogram>(&merged.back().value)) {
      histogram->Merge(std::get<Histogram>(sample.value));
    } else {
      double& value = std::get<double>(merged.back().value);
      const double other = std::get<double>(sample.value);
      value = sample.kind == MetricKind::kGaugeMax ? std::max(value, other) : value + other;
    }
  }
  return merged;
}

std::string RenderPrometheus(const MetricSnapshot& snapshot) {
  std::string out;
  const std::string* previous = nullptr;
  for (const MetricSample& sample : snapshot) {
    const MetricId& name = sample.name;
    if (previous == nullptr || *previous != name.name) {
      out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name.name, Escaped(name.help, false),
                         name.name, TypeOf(sample.kind));
    }
    previous = &name.name;
    if (const auto* histogram = std::get_if<Histogram>(&sample.value)) {
      RenderHistogram(name, *histogram, out);
    } else {
      out += fmt::format("{}{} {}\n", name.name, Labels(name), std::get<double>(sample.value));
    }
  }
  return out;
}

}  // namespace millrace
