// What the load program was asked to do: its command line (load.cc lists it) as a value.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "test/bench/load_wire.h"

namespace millrace::bench {

inline constexpr int64_t kSecondNs = 1'000'000'000;

enum class LoadMode : uint8_t {
  kProduce,       // Create the topic, produce, delete it.
  kFirstProduce,  // Wait for a listener, create the topic, say when a produce was accepted.
  kFill,          // Create the topic, unless it is there, and produce `fill_bytes`; it stays.
  kFetch,         // Read a topic that is there, from its beginning, again and again.
};

struct LoadOptions {
  LoadMode mode = LoadMode::kProduce;
  uint16_t port = 9092;
  std::string topic;
  int32_t partitions = 6;
  int16_t replication_factor = 1;
  BatchShape shape = {.record_bytes = 1024, .records = 64};
  int16_t acks = -1;
  int connections = 6;
  int in_flight = 5;
  double rate = 0;  // Batches a second; 0: as fast as answers come.
  double warm_up = 1;
  double seconds = 5;
  uint64_t fill_bytes = 0;        // Of payload.
  int32_t fetch_bytes = 1 << 20;  // max.partition.fetch.bytes.
  bool once = false;              // Fetch: end where the topic ends.
  std::vector<int> pids;          // Of the brokers, whose use of the machine is told.
  std::vector<std::pair<std::string, std::string>> configs;
};

}  // namespace millrace::bench
