// Gate: counts who is inside an object, refuses newcomers once it is closed, and lets Stop() wait
// until the last one left (Seastar's idiom: close the gate, wait, then destroy).
//
// Shard:    one.
// Lifetime: destroyed only when nobody is inside (CHECKed).
#pragma once

#include <cstdint>
#include <utility>

#include "common/check.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"

namespace millrace {

class Gate {
 public:
  // Being inside. Empty (false) when the gate was closed.
  class Holder {
   public:
    Holder() = default;
    explicit Holder(Gate& gate) : gate_(&gate) { ++gate.inside_; }
    Holder(Holder&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Holder& operator=(Holder&& other) noexcept {
      std::swap(gate_, other.gate_);
      return *this;
    }
    ~Holder() {
      if (gate_ != nullptr) gate_->Leave();
    }
    explicit operator bool() const { return gate_ != nullptr; }

   private:
    Gate* gate_ = nullptr;
  };

  explicit Gate(Reactor& reactor) : empty_(reactor) {}
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() { MR_CHECK(inside_ == 0); }

  Holder TryEnter() { return closed_ ? Holder() : Holder(*this); }
  bool closed() const { return closed_; }
  int64_t inside() const { return inside_; }

  // Refuses newcomers, and returns when nobody is inside. May be awaited by several.
  Task<void> Close() {
    closed_ = true;
    if (inside_ > 0) co_await empty_.Wait();
  }

 private:
  void Leave() {
    MR_CHECK(inside_ > 0);
    if (--inside_ == 0 && closed_) empty_.Set();
  }
  int64_t inside_ = 0;
  bool closed_ = false;
  Event empty_;
};

}  // namespace millrace
