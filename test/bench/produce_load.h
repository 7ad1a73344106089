// Producing at full speed or at an offered rate: what is due, what is in flight, what was answered.
//
// With a rate, latency counts from the moment a request was due, not from when it could be sent: a
// broker that stalls pays for all it made wait.
// Lifetime: the options outlive it.
#pragma once

#include <poll.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "test/bench/load_connection.h"
#include "test/bench/load_meter.h"
#include "test/bench/load_options.h"

namespace millrace::bench {

class ProduceLoad {
 public:
  // Waits until every partition of the topic is served. REQUIRES: the topic was created.
  ProduceLoad(const LoadOptions& options, LoadConnection& control);
  void Run();
  // One line of JSON.
  std::string Report() const;

 private:
  struct Lane {
    std::unique_ptr<LoadConnection> connection;
    std::deque<int64_t> in_flight;  // Since when, in order: answers come in order.
    std::deque<int64_t> due;        // Since when, of requests that wait for room.
    size_t next = 0;                // Of `frames`.
    std::vector<const Frame*> frames;
  };

  // A lane talks to one broker: --connections of them, or one for each leader where those are more.
  void OpenLanes(const std::vector<uint16_t>& leaders);
  void Offer(int64_t now);
  void Fill(Lane& lane, int64_t now);
  void Answered(Lane& lane, std::span<const uint8_t> answer);
  void Wait(int64_t until);
  bool Filled() const;  // So many bytes as were asked for have been accepted.

  const LoadOptions& options_;
  std::vector<Frame> frames_;
  std::vector<Lane> lanes_;
  std::vector<pollfd> polls_;
  int64_t start_ns_ = 0;
  int64_t end_ns_ = 0;
  double next_due_ns_ = 0;
  size_t next_lane_ = 0;
  LoadMeter meter_;
};

}  // namespace millrace::bench
