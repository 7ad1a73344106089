// What a load measures: how many batches and bytes were answered, how long each took, and what the
// broker's process and our own used meanwhile.
//
// Units: latencies in microseconds, told in milliseconds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "test/bench/process_use.h"

namespace millrace::bench {

class LoadMeter {
 public:
  // `pids` are those of the brokers; none: nobody asked.
  explicit LoadMeter(std::vector<int> pids);

  // What is told before Begin() does not count: it was for warming up.
  void Begin();
  bool begun() const { return begun_; }
  void Answered(int64_t since_ns, uint64_t bytes);
  void Refused(int16_t error);
  void End();

  uint64_t bytes() const { return bytes_; }
  // One line of JSON; `late` is how many requests were due and never left.
  std::string Report(size_t late) const;

 private:
  const std::vector<int> pids_;
  bool begun_ = false;
  int64_t begin_ns_ = 0;
  int64_t end_ns_ = 0;
  uint64_t bytes_ = 0;
  uint64_t errors_ = 0;
  int16_t last_error_ = 0;
  std::vector<uint32_t> latencies_us_;  // One for each batch answered.
  ProcessUse broker_before_;
  ProcessUse broker_;
  ProcessUse client_before_;
  ProcessUse client_;
};

}  // namespace millrace::bench
