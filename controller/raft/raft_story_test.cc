// Stories of the Raft core: what is said, write by write and message by message. raft_story.h says
// what the commands do.
#include "controller/raft/raft_story.h"

#include <catch2/catch.hpp>

namespace millrace::raft {
namespace {

void CheckStory(const std::string& story, RaftOptions options = {}) {
  CHECK(RunStory(story, options) == story);
}

}  // namespace

TEST_CASE("Raft story: an election and an entry, and every promise waits for its write") {
  CheckStory(
      R"(# A static quorum's first leader needs everyone's vote, and learns everyone's directory.
$ replicas 1 2 3
$ timeout 1
1>2 t0 pre-vote? last=0/0
1>3 t0 pre-vote? last=0/0
1 pre-candidate t0
$ deliver 1 2
2>1 t0 pre-vote yes t1
$ deliver 1 3
3>1 t0 pre-vote yes t1
$ deliver 2 1
$ deliver 3 1
1 candidate t1
# Now it really asks, once its term and its own vote are on disk.
$ write 1
1>2 t1 vote? last=0/0
1>3 t1 vote? last=0/0
$ deliver 1 2
2 follower t1
$ write 2
2>1 t1 vote yes t1
$ deliver 1 3
3 follower t1
$ write 3
3>1 t1 vote yes t1
$ deliver 2 1
$ deliver 3 1
1>2 t1 append after 0/0: 1/1 2/1 commit=0
1>3 t1 append after 0/0: 1/1 2/1 commit=0
1 leader t1 of 1
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ propose 1 x
1>2 t1 append after 2/1: 3/1 commit=2
1>3 t1 append after 2/1: 3/1 commit=2
$ deliver 1 2
$ show
1 leader t1 commit=2 log 1/1 2/1 3/1
2 follower t1 commit=2 log 1/1 2/1 3/1
3 follower t1 commit=2 log 1/1 2/1
$ write 2
2>1 t1 accepted 3
$ deliver 2 1
$ write 1
1>2 t1 append after 3/1: commit=3 unanswered
1>3 t1 append after 3/1: commit=3 unanswered
$ show
1 leader t1 commit=3 log 1/1 2/1 3/1
2 follower t1 commit=2 log 1/1 2/1 3/1
3 follower t1 commit=2 log 1/1 2/1
)");
}

TEST_CASE("Raft story: that an entry is committed is not answered, but by who lacks it") {
  CheckStory(R"($ replicas 1 2 3
$ timeout 1
1>2 t0 pre-vote? last=0/0
1>3 t0 pre-vote? last=0/0
1 pre-candidate t0
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ propose 1 x
1>2 t1 append after 2/1: 3/1 commit=2
1>3 t1 append after 2/1: 3/1 commit=2
$ drop 1 3
$ deliver 1 2
$ write 2
2>1 t1 accepted 3
$ deliver 2 1
$ write 1
1>2 t1 append after 3/1: commit=3 unanswered
1>3 t1 append after 3/1: commit=3 unanswered
$ deliver 1 2
$ deliver 1 3
3>1 t1 rejected 3, meet 2/1
$ show
1 leader t1 commit=3 log 1/1 2/1 3/1
2 follower t1 commit=3 log 1/1 2/1 3/1
3 follower t1 commit=2 log 1/1 2/1
$ deliver 3 1
1>3 t1 append after 2/1: 3/1 commit=3
# A heartbeat is answered: it shows who is there.
$ tick 1
1>2 t1 append after 3/1: commit=3
1>3 t1 append after 2/1: 3/1 commit=3
$ deliver 1 2
2>1 t1 accepted 3
)");
}

TEST_CASE("Raft story: a follower whose log went another way is brought back to the leader's") {
  CheckStory(R"($ replicas 1 2 3
$ timeout 1
1>2 t0 pre-vote? last=0/0
1>3 t0 pre-vote? last=0/0
1 pre-candidate t0
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
# 1 goes on alone, and 2 is elected behind its back.
$ propose 1 lost
1>2 t1 append after 2/1: 3/1 commit=2
1>3 t1 append after 2/1: 3/1 commit=2
$ propose 1 lost-too
1>2 t1 append after 3/1: 4/1 commit=2
1>3 t1 append after 3/1: 4/1 commit=2
$ drop 1 2
$ drop 1 3
$ write 1
$ lost 2 1
$ lost 3 1
$ timeout 2
2>1 t1 pre-vote? last=2/1
2>3 t1 pre-vote? last=2/1
2 pre-candidate t1
$ run 2 3
1 leader t1 applied:
2 leader t2 applied:
3 follower t2 applied:
$ propose 2 kept
2>3 t2 append after 3/2: 4/2 commit=3
$ run 2 3
1 leader t1 applied:
2 leader t2 applied: kept
3 follower t2 applied: kept
$ show
1 leader t1 commit=2 log 1/1 2/1 3/1 4/1
2 leader t2 commit=4 log 1/1 2/1 3/2 4/2
3 follower t2 commit=4 log 1/1 2/1 3/2 4/2
$ tick 2
2>1 t2 append after 2/1: 3/2 4/2 commit=4
2>3 t2 append after 4/2: commit=4
$ run
1 follower t2 applied: kept
2 leader t2 applied: kept
3 follower t2 applied: kept
$ show
1 follower t2 commit=4 log 1/1 2/1 3/2 4/2
2 leader t2 commit=4 log 1/1 2/1 3/2 4/2
3 follower t2 commit=4 log 1/1 2/1 3/2 4/2
)");
}

TEST_CASE("Raft story: a wiped voter is somebody else until it is added again") {
  CheckStory(R"($ replicas 1 2 3
$ timeout 1
1>2 t0 pre-vote? last=0/0
1>3 t0 pre-vote? last=0/0
1 pre-candidate t0
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ wipe 2
$ tick 1
1>2 t1 append after 2/1: commit=2
1>3 t1 append after 2/1: commit=2
$ deliver 1 2
2>1 t0 observe
$ deliver 2 1
1>2 t1 append after 2/1: commit=2
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
# Its former self has to go first, in a change of its own.
$ add 1 2
refused: duplicate voter
$ remove 1 2
1>2 t1 append after 2/1: 3/1 commit=2
1>2 t1 append after 2/1: 3/1 commit=2
1>3 t1 append after 2/1: 3/1 commit=2
$ add 1 2
refused: in progress
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ add 1 2
1>2 t1 append after 3/1: 4/1 commit=3
1>2 t1 append after 3/1: 4/1 commit=3
1>3 t1 append after 3/1: 4/1 commit=3
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ show
1 leader t1 commit=4 log 1/1 2/1 3/1 4/1
2 follower t1 commit=4 log 1/1 2/1 3/1 4/1
3 follower t1 commit=4 log 1/1 2/1 3/1 4/1
)");
}

TEST_CASE(
    "Raft story: a leader that never rests adds who had all that it had an election time ago") {
  CheckStory(R"($ replicas 1 2
$ timeout 1
1>2 t0 pre-vote? last=0/0
1 pre-candidate t0
$ run
1 leader t1 applied:
2 follower t1 applied:
$ remove 1 2
1>2 t1 append after 2/1: 3/1 commit=2
$ run
1 leader t1 applied:
2 follower t1 applied:
# From here on it commits by itself: the other one is always behind.
$ propose 1 a
1>2 t1 append after 3/1: 4/1 commit=3
$ write 1
1>2 t1 append after 4/1: commit=4 unanswered
$ add 1 2
refused: not caught up
$ run
1 leader t1 applied: a
2 follower t1 applied: a
$ time 20
1 leader t1 applied: a
2 follower t1 applied: a
$ propose 1 b
1>2 t1 append after 4/1: 5/1 commit=4
$ write 1
1>2 t1 append after 5/1: commit=5 unanswered
$ add 1 2
1>2 t1 append after 5/1: 6/1 commit=5
)");
}

TEST_CASE(
    "Raft story: a voter that was removed while it was away learns of it from a later leader") {
  CheckStory(R"($ replicas 1 2 3
$ timeout 1
1>2 t0 pre-vote? last=0/0
1>3 t0 pre-vote? last=0/0
1 pre-candidate t0
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ remove 1 3
1>2 t1 append after 2/1: 3/1 commit=2
1>3 t1 append after 2/1: 3/1 commit=2
$ run 1 2
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ transfer 1 2
1>2 t1 timeout-now
$ run 1 2
1 follower t2 applied:
2 leader t2 applied:
3 follower t1 applied:
# The new leader sends it nothing, until it asks for votes.
$ timeout 3
3>1 t1 pre-vote? last=2/1
3>2 t1 pre-vote? last=2/1
3 pre-candidate t1
$ run
1 follower t2 applied:
2 leader t2 applied:
3 follower t2 applied:
$ timeout 3
3>1 t2 pre-vote? last=2/1
3>2 t2 pre-vote? last=2/1
3 pre-candidate t2
$ run
1 follower t2 applied:
2 leader t2 applied:
3 follower t2 applied:
$ show
1 follower t2 commit=4 log 1/1 2/1 3/1 4/2
2 leader t2 commit=4 log 1/1 2/1 3/1 4/2
3 follower t2 commit=4 log 1/1 2/1 3/1 4/2
)");
}

TEST_CASE(
    "Raft story: a follower that is too far behind is sent a snapshot, and goes on from there") {
  RaftOptions options;
  // Either bound does it.
  if (GENERATE(true, false)) {
    options.entries_kept = 0;
  } else {
    options.bytes_kept = 0;
  }
  CheckStory(R"($ replicas 1 2 3
$ timeout 1
1>2 t0 pre-vote? last=0/0
1>3 t0 pre-vote? last=0/0
1 pre-candidate t0
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ propose 1 a
1>2 t1 append after 2/1: 3/1 commit=2
1>3 t1 append after 2/1: 3/1 commit=2
$ propose 1 b
1>2 t1 append after 3/1: 4/1 commit=2
1>3 t1 append after 3/1: 4/1 commit=2
$ run 1 2
1 leader t1 applied: a b
2 follower t1 applied: a b
3 follower t1 applied:
$ compact 1
$ propose 1 c
1>2 t1 append after 4/1: 5/1 commit=4
1>3 t1 append after 4/1: 5/1 commit=4
$ run 1 2
1 leader t1 applied: a b c
2 follower t1 applied: a b c
3 follower t1 applied:
$ tick 1
1>2 t1 append after 5/1: commit=5
1>3 t1 append after 5/1: commit=5
$ deliver 1 3
3>1 t1 rejected 5, meet 2/1
$ deliver 3 1
1>3 t1 snapshot 4/1
$ deliver 1 3
$ write 3
3>1 t1 accepted 4
$ run
1 leader t1 applied: a b c
2 follower t1 applied: a b c
3 follower t1 applied: snapshot 4 c
$ show
1 leader t1 commit=5 log ..4 5/1
2 follower t1 commit=5 log 1/1 2/1 3/1 4/1 5/1
3 follower t1 commit=5 log ..4 5/1
)",
             options);
}

TEST_CASE("Raft story: leadership is handed over to a voter that has everything") {
  CheckStory(R"($ replicas 1 2 3
$ timeout 1
1>2 t0 pre-vote? last=0/0
1>3 t0 pre-vote? last=0/0
1 pre-candidate t0
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ propose 1 a
1>2 t1 append after 2/1: 3/1 commit=2
1>3 t1 append after 2/1: 3/1 commit=2
$ transfer 1 3
$ propose 1 b
refused: transferring
$ write 1
$ deliver 1 3
$ write 3
3>1 t1 accepted 3
$ deliver 3 1
1>2 t1 append after 3/1: commit=3 unanswered
1>3 t1 append after 3/1: commit=3 unanswered
1>3 t1 timeout-now
$ deliver 1 3 2
3 candidate t2
$ run
1 follower t2 applied: a
2 follower t2 applied: a
3 leader t2 applied: a
)");
}

// Others have committed what this leader's disk does not take: here it would never be applied.
TEST_CASE("Raft story: a leader whose disk hangs hands over, and follows once it writes again") {
  CheckStory(R"($ replicas 1 2 3
$ timeout 1
1>2 t0 pre-vote? last=0/0
1>3 t0 pre-vote? last=0/0
1 pre-candidate t0
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ hang 1
$ propose 1 a
1>2 t1 append after 2/1: 3/1 commit=2
1>3 t1 append after 2/1: 3/1 commit=2
$ time 10
1 leader t1 applied:
2 follower t1 applied: a
3 follower t1 applied: a
$ time 1
1 follower t2 applied:
2 leader t2 applied: a
3 follower t2 applied: a
$ time 30
1 follower t2 applied:
2 leader t2 applied: a
3 follower t2 applied: a
$ write 1
$ run
1 follower t2 applied: a
2 leader t2 applied: a
3 follower t2 applied: a
)");
}

TEST_CASE("Raft story: a leader whose disk hangs gives up when nobody takes over") {
  CheckStory(R"($ replicas 1 2 3
$ timeout 1
1>2 t0 pre-vote? last=0/0
1>3 t0 pre-vote? last=0/0
1 pre-candidate t0
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ hang 1
$ propose 1 a
1>2 t1 append after 2/1: 3/1 commit=2
1>3 t1 append after 2/1: 3/1 commit=2
$ run
1 leader t1 applied:
2 follower t1 applied: a
3 follower t1 applied: a
$ time 15 1
1 leader t1 applied:
2 pre-candidate t1 applied: a
3 pre-candidate t1 applied: a
$ time 10 1
1 follower t1 applied:
2 pre-candidate t1 applied: a
3 pre-candidate t1 applied: a
)");
}

TEST_CASE("Raft story: a leader whose disk hangs leads on where nobody can do without that disk") {
  CheckStory(R"($ replicas 1 2 3
$ timeout 1
1>2 t0 pre-vote? last=0/0
1>3 t0 pre-vote? last=0/0
1 pre-candidate t0
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ hang 1
$ propose 1 a
1>2 t1 append after 2/1: 3/1 commit=2
1>3 t1 append after 2/1: 3/1 commit=2
$ time 100 1 2
1 leader t1 applied:
2 follower t1 applied:
3 pre-candidate t1 applied:
$ write 1
1>2 t1 append after 3/1: commit=3 unanswered
1>3 t1 append after 3/1: commit=3 unanswered
$ run
1 leader t1 applied: a
2 follower t1 applied: a
3 follower t1 applied: a
)");
}

TEST_CASE("Raft story: replicas that all lost their stores do not agree on an empty log") {
  CheckStory(R"($ replicas 1 2 3
$ timeout 1
1>2 t0 pre-vote? last=0/0
1>3 t0 pre-vote? last=0/0
1 pre-candidate t0
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ lose 1
$ lose 2
$ lose 3
$ time 100
1 follower t0 applied:
2 follower t0 applied:
3 follower t0 applied:
$ show
1 follower t0 commit=0 log
2 follower t0 commit=0 log
3 follower t0 commit=0 log
)");
}

TEST_CASE("Raft story: who lost its store says nothing before it has heard a leader") {
  CheckStory(R"($ replicas 1 2 3
$ timeout 1
1>2 t0 pre-vote? last=0/0
1>3 t0 pre-vote? last=0/0
1 pre-candidate t0
$ run
1 leader t1 applied:
2 follower t1 applied:
3 follower t1 applied:
$ propose 1 a
1>2 t1 append after 2/1: 3/1 commit=2
1>3 t1 append after 2/1: 3/1 commit=2
$ run
1 leader t1 applied: a
2 follower t1 applied: a
3 follower t1 applied: a
$ crash 1
$ crash 2
$ lose 3
$ timeout 2
2>1 t1 pre-vote? last=3/1
2>3 t1 pre-vote? last=3/1
2 pre-candidate t1
$ deliver 2 3
3>2 t0 observe
$ run
1 follower t2 applied: a
2 leader t2 applied: a
3 follower t2 applied: a
$ show
1 follower t2 commit=4 log 1/1 2/1 3/1 4/2
2 leader t2 commit=4 log 1/1 2/1 3/1 4/2
3 follower t2 commit=4 log 1/1 2/1 3/1 4/2
)");
}

}  // namespace millrace::raft
