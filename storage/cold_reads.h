// ColdReads: turns of those who read segments of one log directory from its disk. The journal's durable
// writes are small and somebody waits for each of them; behind many large reads they would wait for
// all of these.
//
// While the journal writes, and for kJournalQuiet after its last write, one read is under way at a
// time, first come first served: a write waits for the rest of that one at most. Without the journal
// there is no limit. However much it writes, one read is let through: readers always go on.
//
// Shard:    one.
// Lifetime: outlives every turn and every waiter (CHECKed); `reactor` outlives it.
// Bound:    who waits is in a read of a log, each of which its caller bounds.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "common/runtime/event.h"
#include "common/runtime/reactor.h"
#include "common/runtime/task.h"
#include "common/time.h"

namespace millrace {

// A producer that comes again within this time finds the readers still held back.
inline constexpr Duration kJournalQuiet = milliseconds(100);

class ColdReads {
 public:
  // A read under way.
  class Turn {
   public:
    Turn() = default;
    explicit Turn(ColdReads& reads) : reads_(&reads) {}
    Turn(Turn&& other) noexcept : reads_(std::exchange(other.reads_, nullptr)) {}
    Turn& operator=(Turn&& other) noexcept {
      std::swap(reads_, other.reads_);
      return *this;
    }
    ~Turn() {
      if (reads_ != nullptr) reads_->End();
    }

   private:
    ColdReads* reads_ = nullptr;
  };

  explicit ColdReads(Reactor& reactor) : reactor_(reactor) {}
  ~ColdReads();
  ColdReads(const ColdReads&) = delete;
  ColdReads& operator=(const ColdReads&) = delete;

  // The journal has begun a durable write, or ended one.
  void OnJournalWrite(bool begun);

  // Waits until a read may begin; the turn is its end.
  Task<Turn> Take();

  size_t under_way() const { return under_way_; }
  size_t waiting() const { return line_.size(); }

 private:
  bool MayBegin() const;
  void WakeFirst();
  void End();

  Reactor& reactor_;  // Borrowed.

  // State.
  bool journal_writes_ = false;
  std::optional<Instant> journal_wrote_;
  size_t under_way_ = 0;
  std::deque<Event*> line_;  // Those in Take().
};

}  // namespace millrace
