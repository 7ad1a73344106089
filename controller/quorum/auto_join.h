// AutoJoin: how a controller that is no voter makes itself one (controller.quorum.auto.join.enable):
// when to ask the leader for which change of the voters.
//
//   votes     nothing to do                      → follows: it is no voter any more (it was removed)
//   follows   the leader and the voters are       → asks: a pause is over
//             known, or not yet                   → votes: somebody added it
//   asks      the leader has been asked           → votes: it is in the voter set
//                                                 → follows: refused, unanswered, undone; another
//                                                   leads; or its former self is gone, and it asks
//                                                   for itself next
//
// While a voter has its id and another directory id (itself, before its disk was lost), that one's
// removal is asked for first: each is a change of its own. Pauses double with each refusal, with
// jitter, and begin small again when something changes. As in Kafka, who was removed by an operator
// and still runs with this setting asks again.
//
// Pure. Shard: one; not thread-safe.
// Source:  KIP-853 and KIP-1186 (auto join).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/ids.h"
#include "common/time.h"
#include "controller/raft/voter_set.h"

namespace millrace {

struct AutoJoinOptions {
  // Smaller: it votes sooner; larger: the leader of a quorum that refuses is asked less.
  milliseconds pause_min{500};
  milliseconds pause_max{10'000};
  // An answer that has not come by then is lost, or the leader is.
  milliseconds answer_max{10'000};
};

class AutoJoin {
 public:
  // What of its replica concerns it.
  struct View {
    const raft::VoterSet& voters;
    std::optional<BrokerId> leader;
  };
  struct Ask {
    BrokerId leader;
    std::optional<DirectoryId> former;  // This one's removal; nothing: to be added.
    friend bool operator==(const Ask&, const Ask&) = default;
  };
  struct Output {
    std::optional<Ask> ask;  // To be sent now.
    std::string line;        // For the log: what has changed. Mostly empty.
  };

  AutoJoin(const raft::ReplicaKey& self, const AutoJoinOptions& options)
      : self_(self), options_(options) {}

  // Time has passed, or the view has changed. `random` is a fresh number.
  Output Next(const View& view, Instant now, uint64_t random);
  // The leader's answer; empty: the change is committed. One that nobody waits for is ignored.
  Output Answered(const Ask& ask, std::string_view refusal, Instant now, uint64_t random);

 private:
  enum class State { kStarts, kVotes, kFollows, kAsks };

  Output Refused(std::string_view why, Instant now, uint64_t random);
  void Follow(Duration pause, Instant now, uint64_t random);

  // Constant after construction.
  const raft::ReplicaKey self_;
  const AutoJoinOptions options_;
  // State.
  State state_ = State::kStarts;
  Instant until_{0};          // kFollows: the pause's end; kAsks: the patience's.
  Duration pause_{0};         // After the next refusal.
  std::optional<Ask> asked_;  // Last.
  bool committed_ = false;    // It was answered so.
  std::string refusal_;       // Of the last ask; empty: none was refused since it began.
};

}  // namespace millrace
