// SendRoom: the bound on what a stream has taken over and not sent yet. Who finds no room waits in
// line.
//
// Shard:    one.
// Lifetime: nobody waits when it is destroyed (CHECKed by its Event).
// Order:    Enter() returns in the order of the calls, whichever class the callers run in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "common/runtime/event.h"
#include "common/runtime/task.h"

namespace millrace {

class SendRoom {
 public:
  SendRoom(Reactor& reactor, size_t bytes_max) : bytes_max_(bytes_max), changed_(reactor) {}

  // Takes `bytes` when there is room and nobody waits before; one that is larger than all of the
  // room enters when it is empty. False, with nothing taken, once it is closed.
  Task<bool> Enter(size_t bytes);
  void Leave(size_t bytes);
  // Ends pending and later Enter()s.
  void Close();

  // Whether Enter() would find room if nobody waited.
  bool Fits(size_t bytes) const {
    return used_ == 0 || (bytes <= bytes_max_ && used_ <= bytes_max_ - bytes);
  }
  bool has_waiters() const { return !line_.empty(); }

 private:
  const size_t bytes_max_;
  size_t used_ = 0;
  bool closed_ = false;
  uint64_t next_ticket_ = 0;
  std::deque<uint64_t> line_;
  Event changed_;
};

}  // namespace millrace
