// Consuming at full speed: one connection for each partition, one request in flight on each, as
// consumers do; at the end of a partition it begins again from the beginning.
//
// Answers are looked at as far as finding the next offset takes, so that the client costs little
// more than its system calls. Lifetime: the options outlive it. Errors:   an error answer, or a
// partition without records, ends the program.
#pragma once

#include <poll.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "test/bench/load_connection.h"
#include "test/bench/load_meter.h"
#include "test/bench/load_options.h"

namespace millrace::bench {

class FetchLoad {
 public:
  explicit FetchLoad(const LoadOptions& options);
  void Run();
  // One line of JSON.
  std::string Report() const { return meter_.Report(/*late=*/0); }

 private:
  struct Lane {
    std::unique_ptr<LoadConnection> connection;
    Frame request;
    int64_t next = 0;   // Offset.
    int64_t since = 0;  // When the request left.
    bool done = false;  // With `once`: the end was reached.
  };

  void Ask(Lane& lane, int64_t offset);
  void Answered(Lane& lane, std::span<const uint8_t> answer);

  const LoadOptions& options_;
  std::vector<Lane> lanes_;
  std::vector<pollfd> polls_;
  size_t running_ = 0;
  LoadMeter meter_;
};

}  // namespace millrace::bench
