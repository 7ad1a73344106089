// Metrics of one shard: plain integers that their owner changes, named and gathered from outside.
//
//   Counter    only goes up             ..._total
//   Gauge      goes up and down, or is asked for when somebody looks
//   Histogram  durations, in buckets of powers of two with one step between
//
// The owner holds them as members and pays an increment; names live in the MetricRegistry, which
// the hot path never touches. A snapshot is a value: shards send theirs to whoever renders, who
// merges them.
//
// Shard:    one, all of it; only MetricSnapshot crosses.
// Lifetime: what is registered, and what its functions use, outlives the registry's last
// Snapshot(). Units:    seconds and bytes in names and output; Histogram takes Durations. Source:
// Prometheus text format 0.0.4.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/time.h"

namespace millrace {

class Counter {
 public:
  void Add(uint64_t count = 1) { value_ += count; }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0;
};

class Gauge {
 public:
  void Set(int64_t value) { value_ = value; }
  int64_t value() const { return value_; }

 private:
  int64_t value_ = 0;
};

// Buckets end at 1, 1.5, 2, 3, 4, 6, 8, ... microseconds, the last finite one at 16.8 s.
class Histogram {
 public:
  static constexpr size_t kBuckets = 49;  // Finite ones; one more takes what is above.

  void Observe(Duration duration) {
    const int64_t ns = duration.count();
    ++counts_[BucketOf(ns < 0 ? 0 : static_cast<uint64_t>(ns))];
    sum_ns_ += ns < 0 ? 0 : static_cast<uint64_t>(ns);
  }
  void Merge(const Histogram& other);

  uint64_t count() const;
  uint64_t sum_ns() const { return sum_ns_; }
  uint64_t bucket(size_t index) const { return counts_[index]; }
  // The end of a finite bucket; observations up to and including it are in it or below.
  static uint64_t BoundNs(size_t index) {
    const uint64_t octave = uint64_t{1000} << (index / 2);
    return index % 2 == 0 ? octave : octave + octave / 2;
  }
  // The smallest bound that at least `share` (0 to 1) of the observations do not exceed; 0 when
  // there are none, the last bound for what is above it.
  uint64_t QuantileNs(double share) const;

 private:
  static size_t BucketOf(uint64_t ns);

  std::array<uint64_t, kBuckets + 1> counts_{};
  uint64_t sum_ns_ = 0;
};

struct MetricId {
  std::string name;
  std::string help;  // One sentence, and Kafka's name of the same thing where there is one.
  // {"path", "disk"}: several metrics of one name differ by these.
  std::vector<std::pair<std::string, std::string>> labels = {};
};

enum class MetricKind {
  kCounter,
  kGauge,
  kGaugeMax,  // A gauge of which the shards' largest is the node's: a lag, an age, a ratio.
  kHistogram,
};

// What a metric was at one moment.
struct MetricSample {
  MetricId name;
  MetricKind kind;
  std::variant<double, Histogram> value;
};
using MetricSnapshot = std::vector<MetricSample>;

class MetricRegistry {
 public:
  void Add(MetricId name, const Counter* counter);
  void Add(MetricId name, const Gauge* gauge);
  void Add(MetricId name, const Histogram* histogram);
  // Asked at each snapshot: for what is known anyway, and not worth keeping twice.
  void AddGauge(MetricId name, std::function<double()> ask);
  void AddGaugeMax(MetricId name, std::function<double()> ask);
  void AddCounter(MetricId name, std::function<double()> ask);

  // In order of name and labels.
  MetricSnapshot Snapshot() const;

 private:
  struct Entry {
    MetricId name;
    MetricKind kind;
    std::function<std::variant<double, Histogram>()> read;
  };
  std::vector<Entry> entries_;
};

// One of all that have the same name and labels: the sum over shards, or the largest of a kGaugeMax.
MetricSnapshot MergeSnapshots(std::vector<MetricSnapshot> snapshots);

// Prometheus' text format. Help and type stand once above all metrics of a name.
std::string RenderPrometheus(const MetricSnapshot& snapshot);

}  // namespace millrace
