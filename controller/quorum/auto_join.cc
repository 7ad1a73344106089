#include "controller/quorum/auto_join.h"

#include <fmt/format.h>

#include <algorithm>

namespace millrace {
namespace {

// Half of `upto` to all of it.
Duration Jittered(Duration upto, uint64_t random) {
  const auto half = static_cast<uint64_t>(upto.count() / 2);
  return upto - Duration(static_cast<int64_t>(random % (half + 1)));
}

std::string WhatIsAsked(const AutoJoin::Ask& ask) {
  return ask.former.has_value()
             ? fmt::format("asks controller {} to remove its former self {} from the voters",
                           ask.leader, *ask.former)
             : fmt::format("asks controller {} to make it a voter", ask.leader);
}

}  // namespace

void AutoJoin::Follow(Duration pause, Instant now, uint64_t random) {
  state_ = State::kFollows;
  until_ = now + Jittered(pause, random);
}

AutoJoin::Output AutoJoin::Next(const View& view, Instant now, uint64_t random) {
  Output output;
  if (view.voters.Contains(self_)) {
    if (state_ == State::kAsks || state_ == State::kFollows) output.line = "votes";
    state_ = State::kVotes;
    asked_.reset();
    refusal_.clear();
    return output;
  }
  if (state_ == State::kStarts || state_ == State::kVotes) {
    if (state_ == State::kVotes) {
      output.line = "is no voter any more, and will ask to be one (auto join)";
    }
    pause_ = options_.pause_min;
    Follow(options_.pause_min, now, random);
    return output;
  }
  const bool knows = view.leader.has_value() && *view.leader != self_.id && !view.voters.empty();
  if (state_ == State::kAsks) {
    const raft::Voter* same_id = view.voters.Find(self_.id);
    if (!knows || view.leader != asked_->leader) {
      // Whoever follows that one begins to ask the next at another time.
      pause_ = options_.pause_min;
      Follow(options_.pause_min, now, random);
    } else if (asked_->former.has_value() && same_id == nullptr) {
      Follow(Duration(0), now, random);
    } else if (now >= until_) {
      return Refused(committed_ ? "the change was undone, or has not arrived" : "no answer", now,
                     random);
    }
  }
  if (state_ != State::kFollows || !knows || now < until_) return output;
  const raft::Voter* same_id = view.voters.Find(self_.id);
  const Ask ask{*view.leader, same_id == nullptr ? std::nullopt : same_id->directory};
  if (asked_ != ask) {
    output.line = WhatIsAsked(ask);
    refusal_.clear();
    pause_ = options_.pause_min;
  }
  state_ = State::kAsks;
  committed_ = false;
  until_ = now + options_.answer_max;
  asked_ = ask;
  output.ask = ask;
  return output;
}

AutoJoin::Output AutoJoin::Refused(std::string_view why, Instant now, uint64_t random) {
  Output output;
  if (refusal_ != why) {
    output.line = fmt::format("is no voter yet ({}), and goes on asking", why);
    refusal_ = why;
  }
  Follow(pause_, now, random);
  pause_ = std::min<Duration>(2 * pause_, options_.pause_max);
  return output;
}

AutoJoin::Output AutoJoin::Answered(const Ask& ask, std::string_view refusal, Instant now,
                                    uint64_t random) {
  if (state_ != State::kAsks || asked_ != ask) return {};
  if (!refusal.empty()) return Refused(refusal, now, random);
  // It is on its way in the log, where Next() sees it: unless another change undoes it before that.
  committed_ = true;
  until_ = std::min(until_, now + options_.pause_min);
  return {};
}

}  // namespace millrace
