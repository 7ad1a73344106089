// DirectoryPace: times the durable writes of one shard in one log directory, and tells when they
// have become slow or are no longer (write_pace.h, which decides).
//
//   DirectoryPace::Write write = pace.Begin();   // ... until it is gone.
//
// While nothing is slow and nothing under way it does nothing; otherwise it looks once per slot.
//
// Shard:    one.
// Lifetime: `reactor` outlives it. Stop() must have finished, and every Write be gone, before
//           destruction.
#pragma once

#include <functional>
#include <utility>

#include "common/runtime/event.h"
#include "common/runtime/reactor.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "common/time.h"
#include "storage/write_pace.h"

namespace millrace {

class DirectoryPace {
 public:
  // A durable write under way that somebody waits for.
  class Write {
   public:
    Write() = default;
    Write(DirectoryPace& pace, Instant begun) : pace_(&pace), begun_(begun) {}
    Write(Write&& other) noexcept
        : pace_(std::exchange(other.pace_, nullptr)), begun_(other.begun_) {}
    Write& operator=(Write&& other) noexcept {
      std::swap(pace_, other.pace_);
      std::swap(begun_, other.begun_);
      return *this;
    }
    ~Write() {
      if (pace_ != nullptr) pace_->End(begun_);
    }

   private:
    DirectoryPace* pace_ = nullptr;
    Instant begun_{0};
  };

  // `slow_from`: 0: nothing is slow.
  DirectoryPace(Reactor& reactor, Duration slow_from);

  void Start();
  Task<void> Stop();

  Write Begin();

  bool slow() const { return pace_.slow(); }
  const WritePace& pace() const { return pace_; }
  // Called with each change of slow().
  void set_on_change(std::function<void(bool slow)> told) { on_change_ = std::move(told); }

 private:
  void End(Instant begun);
  Task<void> Watch();
  void Tell();

  // Borrowed.
  Reactor& reactor_;

  // State.
  WritePace pace_;
  bool told_ = false;
  bool watching_ = false;
  std::function<void(bool)> on_change_;
  Event woken_;
  TaskScope scope_;
};

}  // namespace millrace
