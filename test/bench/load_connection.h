// One non-blocking connection of the load program: queued frames out, whole answers in.
//
// Frames are borrowed: what is queued must stay as it is until `unsent()` is 0, except that a frame
// may be queued again and again. Only the correlation id of each sending is the connection's own.
// Lifetime: the frames outlive it.
// Errors:   a broken connection ends the program with a message: a benchmark that lost its broker
//           has nothing to report.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "test/bench/load_wire.h"

namespace millrace::bench {

[[noreturn]] void Fail(const std::string& why);

class LoadConnection {
 public:
  // Connects; waits until `give_up_ns` (CLOCK_MONOTONIC) for a listener to appear. An answer may
  // have `answer_bytes_max`.
  LoadConnection(uint16_t port, int64_t give_up_ns, size_t answer_bytes_max = 256 * 1024);
  ~LoadConnection();
  LoadConnection(const LoadConnection&) = delete;
  LoadConnection& operator=(const LoadConnection&) = delete;

  int fd() const { return fd_; }
  size_t unsent() const { return out_.size(); }

  void Queue(const Frame& frame) { out_.push_back(&frame); }
  // Sends as much as the socket takes.
  void Send();
  // Receives what is there and gives each whole answer, without its size prefix.
  void Receive(const std::function<void(std::span<const uint8_t>)>& on_answer);
  // One request, one answer, waiting for it. REQUIRES: nothing else is in flight.
  Frame Call(const Frame& request);

 private:
  int fd_ = -1;
  std::deque<const Frame*> out_;
  size_t sent_ = 0;  // Of the first frame in out_.
  std::vector<uint8_t> in_;
  size_t in_used_ = 0;
};

int64_t MonotonicNs();

}  // namespace millrace::bench
