// RequestMetrics: what the requests of one shard took, by API. Named in the registry when an API is
// asked for the first time, so that a node shows those that it serves to somebody.
//
// Shard:    one.
// Lifetime: `registry` outlives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "common/metrics/metrics.h"
#include "common/time.h"

namespace millrace {

class RequestMetrics {
 public:
  explicit RequestMetrics(MetricRegistry& registry) : registry_(registry) {}

  // One request that was answered. REQUIRES: an API that is served.
  void Count(int16_t api_key, Duration taken, size_t request_bytes, size_t reply_bytes);

 private:
  struct Api {
    Histogram taken;
    Counter request_bytes;
    Counter reply_bytes;
  };
  Api& Of(int16_t api_key);

  MetricRegistry& registry_;
  std::map<int16_t, std::unique_ptr<Api>> apis_;
};

}  // namespace millrace
