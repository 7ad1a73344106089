// FencingDoubts: whether this broker may still be the leader that the metadata says it is.
//
// A broker that no controller hears is fenced after broker.session.timeout.ms, and others lead what
// it led. It cannot know, but it can count: when it has heard no controller for as long, and a
// partition's high watermark does not move either, nobody may be following any more. Then who waits
// for acks=all is sent to look for the leader elsewhere, instead of waiting for its own time-out
// (with REQUEST_TIMED_OUT librdkafka asks for no metadata, and stays). Without any controller a
// broker serves on with its last image: as long as followers acknowledge, nothing is in doubt.
//
//   controller heard ── session ends ──► lost since T ── a session begins ──► heard
//   a wait that is given up ──► the partition is doubtful on every shard, for the session time-out:
//                               Metadata names no leader of it, and leaves this broker out
//
// What answers without asking followers has to be surer than that: a coordinator that was cut off
// would tell offsets that its successor has moved on from. No controller fences a broker within the
// session time-out of having heard it. One that has been succeeded, and does not know yet, may
// answer heartbeats for about an election more; its successor gives every broker a whole session.
// So half a session from when a heartbeat left that was answered, nobody else leads what this broker
// leads, unless it was moved, which the controller says at once.
//
// Shard:    one; shard 0 tells each what becomes of the session and its heartbeats, and the
//           partition's shard tells each of a partition in doubt.
// Bound:    two entries per partition led here.
#pragma once

#include <algorithm>
#include <map>
#include <optional>

#include "common/ids.h"
#include "common/time.h"

namespace millrace {

class FencingDoubts {
 public:
  explicit FencingDoubts(Duration session_timeout) : session_timeout_(session_timeout) {}

  // Since when no controller was heard; nothing: a session has begun.
  void OnController(std::optional<Instant> lost) {
    // Lost anew: of the session between nothing may have been told (OrderedTelling).
    const bool as_before = !controller_lost_.has_value() || lost == controller_lost_;
    controller_lost_ = lost;
    heard_ = std::nullopt;
    if (lost.has_value() && as_before) return;
    doubtful_.clear();
    waited_for_.clear();
  }
  // A heartbeat that left at `sent` was answered: this broker was not fenced then.
  void OnHeartbeat(Instant sent) { heard_ = sent; }
  // Nobody can have been made to lead what this broker leads.
  bool IsSurelyUnfenced(Instant now) const {
    return heard_.has_value() && now - *heard_ < session_timeout_ / 2;
  }
  // Somebody waits until more than `reached` of `id` is committed, and asks every interval(). A wait
  // that its client has ended and begun anew goes on here: its time-out may be the shorter one.
  bool MustAssumeFenced(const TopicPartitionId& id, Offset reached, Instant now);
  Duration interval() const { return session_timeout_ / 4; }

  void OnDoubt(const TopicPartitionId& id, LeaderEpoch epoch, Instant now) {
    if (controller_lost_.has_value()) doubtful_.insert_or_assign(id, Doubt{epoch, now});
  }
  // Whether anything is doubtful: then this broker may be fenced.
  bool MayBeFenced(Instant now) const {
    return std::ranges::any_of(
        doubtful_, [&](const auto& one) { return now - one.second.when < session_timeout_; });
  }
  // REQUIRES: the image says that this broker leads it, in `epoch`.
  bool IsDoubtful(const TopicPartitionId& id, LeaderEpoch epoch, Instant now) const {
    if (doubtful_.empty()) return false;
    const auto found = doubtful_.find(id);
    return found != doubtful_.end() && found->second.epoch == epoch &&
           now - found->second.when < session_timeout_;
  }

 private:
  struct Doubt {
    LeaderEpoch epoch;
    Instant when;
  };
  struct Waited {
    Offset reached;
    Instant since;
    Instant asked;
  };
  const Duration session_timeout_;
  std::optional<Instant> controller_lost_;
  std::optional<Instant> heard_;  // In this session.
  std::map<TopicPartitionId, Waited> waited_for_;
  std::map<TopicPartitionId, Doubt> doubtful_;
};

inline bool FencingDoubts::MustAssumeFenced(const TopicPartitionId& id, Offset reached,
                                            Instant now) {
  if (!controller_lost_.has_value()) return false;
  Waited& waited = waited_for_.try_emplace(id, Waited{reached, now, now}).first->second;
  // It moved, or nobody waited in between.
  if (waited.reached != reached || now - waited.asked > 2 * interval()) {
    waited = {reached, now, now};
  }
  waited.asked = now;
  return now - *controller_lost_ > session_timeout_ && now - waited.since > session_timeout_;
}

}  // namespace millrace
