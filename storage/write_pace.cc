#include "storage/write_pace.h"

#include <algorithm>
#include <bit>

#include "common/check.h"

namespace millrace {
namespace {

constexpr uint32_t kSlotsSeen = 10;
constexpr int kSlowSlots = 8;
// A directory that is written to rests for 30 good slots, one that is not for 60.
constexpr uint32_t kGoodPoints = 2;
constexpr uint32_t kQuietPoints = 1;
constexpr uint32_t kHiccupPoints = 20;
constexpr uint32_t kRestPoints = 60;
constexpr uint32_t kRestPointsMax = 16 * kRestPoints;
constexpr uint32_t kRelapseSlots = 600;
// What was seen before says nothing of now.
constexpr uint32_t kQuietSlotsMax = 60;
// Of more slots in which nothing changed, the ones before these would change nothing more.
constexpr int64_t kSlotsAtOnceMax = 2000;

static_assert(kSlowSlots <= static_cast<int>(kSlotsSeen));
static_assert(kSlotsSeen < 32);
static_assert(kSlotsAtOnceMax > kRestPointsMax / kQuietPoints + kRelapseSlots);

}  // namespace

WritePace::WritePace(Duration slow)
    : slow_(slow), slot_(std::max(slow, kPaceSlotMin)), rest_points_(kRestPoints) {}

void WritePace::Begun(Instant now) {
  if (slow_ == Duration(0)) return;
  Advance(now);
  under_way_.push_back(now);
}

void WritePace::Ended(Instant begun, Instant now) {
  if (slow_ == Duration(0)) return;
  Advance(now);
  const auto found = std::ranges::find(under_way_, begun);
  MR_CHECK(found != under_way_.end());
  under_way_.erase(found);
  const Duration took = now - begun;
  // Slots that are over have judged it by its age.
  const Duration in_slot = now - std::max(begun, *slot_begun_);
  time_ += in_slot;
  longest_ = std::max(longest_, took);
  if (took >= slow_) slow_time_ += in_slot;
}

void WritePace::Advance(Instant now) {
  if (slow_ == Duration(0)) return;
  if (!slot_begun_.has_value()) slot_begun_ = now;
  const int64_t over = (now - *slot_begun_) / slot_;
  if (over > kSlotsAtOnceMax) {
    Take(Judge(std::nullopt));
    slot_begun_ = *slot_begun_ + slot_ * (over - kSlotsAtOnceMax + 1);
  }
  while (now - *slot_begun_ >= slot_) {
    const Instant end = *slot_begun_ + slot_;
    Take(Judge(now - end < 2 * slot_ ? std::optional(end) : std::nullopt));
    slot_begun_ = end;
  }
}

WritePace::Said WritePace::Judge(std::optional<Instant> end) {
  Said said = Said::kNothing;
  if (time_ > Duration(0)) said = slow_time_ * 2 >= time_ ? Said::kSlow : Said::kGood;
  if (end.has_value() && !under_way_.empty() && *end - under_way_.front() >= slow_) {
    said = Said::kSlow;
    longest_ = std::max(longest_, *end - under_way_.front());
  }
  if (said == Said::kSlow) worst_ = longest_;
  time_ = slow_time_ = longest_ = Duration(0);
  return said;
}

void WritePace::Take(Said said) {
  quiet_slots_ = said == Said::kNothing ? std::min(quiet_slots_ + 1, kQuietSlotsMax) : 0;
  if (slow_now_) {
    if (said == Said::kSlow) {
      points_ -= std::min(points_, kHiccupPoints);
    } else {
      points_ += said == Said::kGood ? kGoodPoints : kQuietPoints;
    }
    if (points_ >= rest_points_) BecomeSteady();
    return;
  }
  steady_slots_ = std::min(steady_slots_ + 1, kRelapseSlots);
  if (quiet_slots_ >= kQuietSlotsMax) recent_ = 0;
  if (said == Said::kNothing) return;
  recent_ = ((recent_ << 1) | (said == Said::kSlow ? 1U : 0U)) & ((1U << kSlotsSeen) - 1);
  if (std::popcount(recent_) >= kSlowSlots) BecomeSlow();
}

void WritePace::BecomeSlow() {
  const bool relapsed = was_slow_ && steady_slots_ < kRelapseSlots;
  rest_points_ = relapsed ? std::min(rest_points_ * 2, kRestPointsMax) : kRestPoints;
  slow_now_ = was_slow_ = true;
  points_ = 0;
}

void WritePace::BecomeSteady() {
  slow_now_ = false;
  recent_ = 0;
  steady_slots_ = 0;
}

}  // namespace millrace
