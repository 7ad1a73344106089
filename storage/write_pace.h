// WritePace: whether the durable writes of a log directory are slow, and stay so. Who waits for an
// acknowledgement waits for these.
//
// Time goes in slots of a second (of `slow`, where that is longer). A slot says something when a
// durable write ended in it, or when one has been under way for `slow` at its end: a disk that hangs
// ends none. It is slow when slow writes took at least half of the time that writes took.
//
//   steady  --kSlowSlots of the last kSlotsSeen that said something were slow-->    slow
//   slow    --`rest` points: 2 for a good slot, 1 for one that says nothing, and
//             kHiccupPoints less for a slow one-->                                  steady
//
// So one outlier is nothing, however long, up to kSlowSlots; a directory that leads nothing any more
// is judged by its followers' writes; and one that is not written to at all is tried again after
// twice the time. Then leaderships come back, and go again if it is as it was: where that happens
// within kRelapseSlots, `rest` is twice as long the next time, up to kRestPointsMax.
//
// Pure.
// Bound: one instant per write under way, which the caller bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/time.h"

namespace millrace {

inline constexpr Duration kPaceSlotMin = seconds(1);

class WritePace {
 public:
  // `slow`: what a write takes at least that is slow; 0: none is. Raise: only worse disks lose their
  // leaderships. Lower: a disk that is merely busy does, too.
  explicit WritePace(Duration slow);

  // A durable write that somebody waits for begins, and ends, well or not. REQUIRES: `now` never
  // goes back; `begun` is what Begun() was told.
  void Begun(Instant now);
  void Ended(Instant begun, Instant now);
  // Nothing happened, but time passed.
  void Advance(Instant now);

  // As of the last call.
  bool slow() const { return slow_now_; }
  // Whether time alone may change that: call Advance() once per slot().
  bool restless() const { return slow_now_ || !under_way_.empty(); }
  Duration slot() const { return slot_; }
  Duration slow_from() const { return slow_; }
  // The longest write that ended in the last slot that was slow, or its age where it has not ended.
  Duration worst() const { return worst_; }

 private:
  enum class Said : uint8_t { kNothing, kGood, kSlow };
  // What the slot says that ends at `end`. Nothing: nobody looked at it in time, and the age of a
  // write says nothing: this process may have stood still, and the disk not.
  Said Judge(std::optional<Instant> end);
  void Take(Said said);
  void BecomeSlow();
  void BecomeSteady();

  // Constant after construction.
  const Duration slow_;
  const Duration slot_;

  // State.
  std::vector<Instant> under_way_;  // When they began, in order.
  // Of the slot that is not over. Nothing: none has begun.
  std::optional<Instant> slot_begun_;
  Duration time_{0};
  Duration slow_time_{0};
  Duration longest_{0};
  Duration worst_{0};
  bool slow_now_ = false;
  uint32_t recent_ = 0;        // Bit 0: the last slot that said something was slow; and so on.
  uint32_t quiet_slots_ = 0;   // Since one said something.
  uint32_t steady_slots_ = 0;  // Since it was slow.
  uint32_t points_ = 0;
  uint32_t rest_points_;
  bool was_slow_ = false;  // Ever.
};

}  // namespace millrace
