// Stories of who is taken for dead, and when. liveness_story.h says what the commands do.
#include <catch2/catch.hpp>

#include "controller/liveness_story.h"

namespace millrace {
namespace {

void CheckStory(const std::string& story) { CHECK(RunLivenessStory(story) == story); }

}  // namespace

TEST_CASE(
    "Liveness: kill -9 is fenced a grace after its stream broke, once nobody listens there "
    "any more") {
  CheckStory(
      R"($ 0 active 1 2 3 local=1
$ 1 back 2
$ 1 back 3
$ 1000 broke 2
dial 2 x1
$ 1001 refused 2
$ 1500 wait
1030 fence 2: broker 2's stream broke and nobody listens at its address
)");
}

TEST_CASE("Liveness: the same where a machine swallows the dial: another broker's word is enough") {
  CheckStory(
      R"($ 0 active 1 2 3 local=1
$ 1 back 2
$ 1 back 3
$ 1000 broke 2
dial 2 x1
$ 1003 3 lost 2
$ 1500 wait
1030 fence 2: broker 2's stream broke, and broker 3 lost it too
)");
}

TEST_CASE(
    "Liveness: with nobody else to ask, two connections of this node and silence from there") {
  CheckStory(
      R"($ 0 active 1 2 local=1
$ 1 back 2
$ 1000 raft-lost 2
$ 1002 broke 2
dial 2 x1
$ 1500 wait
1152 fence 2: broker 2's stream broke, and so did the Raft connection to its node
dial 2 x3
)");
}

TEST_CASE("Liveness: a stream that broke and no more fences nobody before the session time-out") {
  CheckStory(
      R"($ 0 active 1 2 3 local=1
$ 1 back 2
$ 1 back 3
$ 900 heartbeat 3
$ 1000 heartbeat 2
$ 1000 broke 2
dial 2 x1
$ 1001 unreachable 2
$ 2000 heartbeat 3
dial 2 x20
$ 3000 heartbeat 3
dial 2 x20
$ 4500 wait
4000 fence 2: broker 2 was silent for 3000 ms
dial 2 x20
)");
}

TEST_CASE(
    "Liveness: a network blip resets every connection to a node; it answers, and comes back") {
  CheckStory(
      R"($ 0 active 1 2 3 local=1
$ 1 back 2
$ 1 back 3
$ 1000 broke 2
dial 2 x1
$ 1000 raft-lost 2
$ 1001 3 lost 2
$ 1002 answered 2
$ 1040 3 back 2
$ 1050 raft-back 2
dial 2 x1
$ 1060 back 2
$ 2000 heartbeat 2
$ 2000 heartbeat 3
$ 2500 session 2
alive
)");
}

TEST_CASE("Liveness: an answer of a process that is about to die is no proof for long") {
  CheckStory(
      R"($ 0 active 1 2 3 local=1
$ 1 back 2
$ 1 back 3
$ 1000 broke 2
dial 2 x1
# The listening socket is the last to go.
$ 1001 answered 2
$ 1051 refused 2
1051 fence 2: broker 2's stream broke and nobody listens at its address
dial 2 x1
$ 1100 wait
)");
}

TEST_CASE("Liveness: who accepts and hangs up at once has not answered") {
  CheckStory(
      R"($ 0 active 1 2 3 local=1
$ 1 back 2
$ 1 back 3
$ 1000 broke 2
dial 2 x1
# The kernel accepts for a process that was killed, and resets.
$ 1001 answered 2
$ 1002 3 lost 2
$ 1004 unreachable 2
$ 1100 wait
1030 fence 2: broker 2's stream broke, and broker 3 lost it too
)");
}

TEST_CASE("Liveness: a controller that lost many streams at once believes itself last") {
  CheckStory(
      R"($ 0 active 1 2 3 4 local=1
$ 1 back 2
$ 1 back 3
$ 1 back 4
$ 1000 broke 2
dial 2 x1
$ 1000 broke 3
dial 3 x1
$ 1001 broke 4
dial 4 x1
$ 1001 raft-lost 2
$ 1001 raft-lost 3
# Its own broker sees what it sees.
$ 1002 1 lost 2
$ 1300 wait
dial 2 x6
dial 3 x6
dial 4 x5
$ 1310 back 2
dial 4 x1
$ 1310 back 3
$ 1310 back 4
$ 2000 wait
)");
}

TEST_CASE(
    "Liveness: of many that are lost at once those are dead of which a broker says so, or "
    "where nobody listens") {
  CheckStory(
      R"($ 0 active 1 2 3 4 5 6 local=1
$ 1 back 2
$ 1 back 3
$ 1 back 4
$ 1 back 5
$ 1000 broke 2
dial 2 x1
$ 1000 broke 3
dial 3 x1
$ 1001 broke 4
dial 4 x1
$ 1002 5 lost 2
$ 1003 refused 3
$ 1003 answered 4
$ 1200 wait
1030 fence 2: broker 2's stream broke, and broker 5 lost it too
1030 fence 3: broker 3's stream broke and nobody listens at its address
dial 4 x3
)");
}

TEST_CASE(
    "Liveness: a new active controller gives everyone time to come, and fences who was killed"
    " with the old one") {
  CheckStory(
      R"($ 0 raft-lost 1
$ 5 active 1 2 3 local=2
dial 1 x1
$ 8 back 3
$ 9 3 lost 1
$ 500 wait
35 fence 1: broker 1's stream broke, and broker 3 lost it too
)");
}

TEST_CASE("Liveness: a controller change without a death fences nobody") {
  CheckStory(
      R"($ 0 active 1 2 3 local=1
$ 300 back 2
$ 800 back 3
$ 2000 heartbeat 2
$ 2000 heartbeat 3
$ 4000 heartbeat 2
$ 4000 heartbeat 3
$ 5000 wait
)");
}

TEST_CASE("Liveness: an old connection's end proves nothing about a later one") {
  CheckStory(
      R"($ 0 active 1 2 local=1
$ 1 back 2
$ 100 raft-lost 2
$ 1500 heartbeat 2
$ 2900 heartbeat 2
$ 3000 broke 2
dial 2 x1
$ 3500 wait
dial 2 x10
)");
}

TEST_CASE(
    "Liveness: a broker that stands still (SIGSTOP) is fenced when its session is over, and "
    "not earlier") {
  CheckStory(
      R"($ 0 active 1 2 3 local=1
$ 1 back 2
$ 1 back 3
$ 1000 heartbeat 2
$ 1000 heartbeat 3
$ 2000 heartbeat 3
$ 3000 heartbeat 3
$ 3900 heartbeat 3
$ 4500 wait
4000 fence 2: broker 2 was silent for 3000 ms
$ 4500 session 2
none
)");
}

TEST_CASE("Liveness: a quick restart has its id at once, and is a new session") {
  CheckStory(
      R"($ 0 active 1 2 local=1
$ 1 register 2
$ 1000 session 2
alive
$ 1000 broke 2
dial 2 x1
$ 1000 session 2
broken
$ 1020 register 2
$ 1021 refused 2
$ 1500 session 2
alive
)");
}

TEST_CASE(
    "Liveness: all are killed at once, and the new active controller's own broker has its id at "
    "once") {
  CheckStory(
      R"($ 0 active 1 2 3 local=1 absent=1
# Those that are registered are of the processes before.
$ 1 session 1
broken
$ 1 session 2
broken
$ 2 register 1
$ 3 register 2
$ 4 register 3
$ 5 session 1
alive
$ 2000 heartbeat 2
$ 2000 heartbeat 3
# The one in this process cannot be silent.
$ 4500 heartbeat 2
$ 4500 session 1
alive
)");
}

TEST_CASE("Liveness: the controller's own broker that does not come is fenced like any other") {
  CheckStory(
      R"($ 0 active 1 2 local=1 absent=1
$ 1 back 2
$ 2000 heartbeat 2
$ 3500 session 1
3000 fence 1: broker 1 was silent for 3000 ms
none
$ 3600 register 1
$ 4900 heartbeat 2
$ 7000 session 1
alive
)");
}

TEST_CASE("Liveness: a fencing that could not be committed is asked for again") {
  CheckStory(
      R"($ 0 active 1 2 local=1
$ 100 refuse
$ 5000 wait
3000 fence 2: broker 2 was silent for 3000 ms
3050 fence 2: broker 2 was silent for 3050 ms
)");
}

TEST_CASE("Liveness: a controller that stood still itself gives back the time") {
  CheckStory(
      R"($ 0 active 1 2 local=1
$ 1 back 2
$ 1000 heartbeat 2
$ 1001 stop
$ 9000 wait
$ 9001 heartbeat 2
$ 11000 wait
)");
}

TEST_CASE("Liveness: who is fenced is not fenced again, and its id is free") {
  CheckStory(
      R"($ 0 active 1 2 local=1 fenced=2
$ 5000 session 2
none
$ 5000 wait
)");
}

}  // namespace millrace
