// Stories of full log directories: who leads then, who is waited for, and how it ends.
// cluster_story.h says what the commands do.
#include <catch2/catch.hpp>

#include "controller/cluster_story.h"

namespace millrace {
namespace {

void CheckStory(const std::string& story) { CHECK(RunClusterStory(story) == story); }

}  // namespace

TEST_CASE("Full story: another ISR member leads, and leads back when there was room for a while") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ topic t min=2 1,2,3 2,1,3 3,1,2
t-0 [1,2,3] isr=[1,2,3] leader=1 epoch=0/0
t-1 [2,1,3] isr=[2,1,3] leader=2 epoch=0/0
t-2 [3,1,2] isr=[3,1,2] leader=3 epoch=0/0
# It is waited for by nobody either: the others are enough.
$ heartbeat 1 full=1a
t-0 [1,2,3] isr=[2,3] leader=2 epoch=1/1
t-1 [2,1,3] isr=[2,3] leader=2 epoch=0/1
t-2 [3,1,2] isr=[3,2] leader=3 epoch=0/1
$ heartbeat 1 full=1a
$ isr t-0 2,3,1
refused: replicas that may not join: 1 (its log directory is full)
$ balance
# Room, for how long?
$ heartbeat 1
$ isr t-0 2,3,1
refused: replicas that may not join: 1 (its log directory is full)
$ wait 30
$ heartbeat 1
$ isr t-0 2,3,1
t-0 [1,2,3] isr=[2,3,1] leader=2 epoch=1/2
$ balance
t-0 [1,2,3] isr=[2,3,1] leader=1 epoch=2/3
)");
}

TEST_CASE("Full story: where nobody else in the ISR has room, the leader stays") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic alone 1
alone-0 [1] isr=[1] leader=1 epoch=0/0
$ topic t unclean 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ heartbeat 2 full=2a
t-0 [1,2] isr=[1] leader=1 epoch=0/1
# Whoever is outside the ISR does not lead for it, however unclean elections may be.
$ heartbeat 1 full=1a
$ heartbeat 2 full=2a
$ heartbeat 1 full=1a
$ heartbeat 2
$ heartbeat 1 full=1a
$ wait 30
$ heartbeat 2
$ heartbeat 1 full=1a
$ isr t-0 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/2
$ heartbeat 1 full=1a
t-0 [1,2] isr=[2] leader=2 epoch=1/3
)");
}

TEST_CASE(
    "Full story: it stays in the ISR where fewer than min.insync.replicas would be left, and "
    "acks=1 "
    "goes on elsewhere") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic t min=2 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ heartbeat 1 full=1a
t-0 [1,2] isr=[1,2] leader=2 epoch=1/1
$ heartbeat 1 full=1a
# It did not advance for replica.lag.time.max.ms; caught up it may join, for nobody else is enough.
$ isr t-0 2
t-0 [1,2] isr=[2] leader=2 epoch=1/2 elr=[1]
$ isr t-0 2,1
t-0 [1,2] isr=[2,1] leader=2 epoch=1/3
$ heartbeat 1 full=1a
)");
}

TEST_CASE("Full story: all replicas fill up, and no leadership goes round in circles") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic t 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ heartbeat 1 full=1a
t-0 [1,2] isr=[2] leader=2 epoch=1/1
$ heartbeat 2 full=2a
$ heartbeat 1
$ heartbeat 2 full=2a
# 1 has caught up; it had room for too short a time to be preferred to who is full.
$ isr t-0 2,1
t-0 [1,2] isr=[2,1] leader=2 epoch=1/2
$ heartbeat 2 full=2a
$ heartbeat 1 full=1a
$ heartbeat 2
$ heartbeat 1
$ wait 29
$ heartbeat 2 full=2a
$ heartbeat 1
$ heartbeat 2 full=2a
$ wait 1
$ heartbeat 1
$ heartbeat 2 full=2a
t-0 [1,2] isr=[1] leader=1 epoch=2/3
)");
}

TEST_CASE("Full story: a disk that gets a little room again and again moves leaders once") {
  CheckStory(
      R"($ broker 1
$ broker 2
broker 2 serves
$ topic t 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ heartbeat 1 full=1a
t-0 [1,2] isr=[2] leader=2 epoch=1/1
$ heartbeat 1
$ wait 20
$ heartbeat 1 full=1a
$ heartbeat 1
$ wait 20
$ heartbeat 1
$ isr t-0 2,1
refused: replicas that may not join: 1 (its log directory is full)
$ elect preferred t-0
refused: The preferred leader's log directory is full.
$ wait 10
$ heartbeat 1
$ isr t-0 2,1
t-0 [1,2] isr=[2,1] leader=2 epoch=1/2
$ elect preferred t-0
t-0 [1,2] isr=[2,1] leader=1 epoch=2/3
)");
}

TEST_CASE("Full story: a new active controller moves nothing to whom it has not heard") {
  CheckStory(
      R"($ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ topic t 1,2,3
t-0 [1,2,3] isr=[1,2,3] leader=1 epoch=0/0
$ controller
$ heartbeat 1 full=1a
$ heartbeat 2 full=2a
$ heartbeat 1 full=1a
$ heartbeat 3
$ heartbeat 1 full=1a
t-0 [1,2,3] isr=[2,3] leader=3 epoch=1/1
$ heartbeat 2 full=2a
t-0 [1,2,3] isr=[3] leader=3 epoch=1/2
# It knows nothing of who comes next, so the balance waits.
$ controller
$ isr t-0 3,1,2
t-0 [1,2,3] isr=[3,1,2] leader=3 epoch=1/3
$ balance
$ heartbeat 1
$ balance
t-0 [1,2,3] isr=[3,1,2] leader=1 epoch=2/4
)");
}

TEST_CASE("Full story: of a broker's directories only the full one's replicas are concerned") {
  CheckStory(
      R"($ broker 1 dirs=2
$ broker 2
broker 2 serves
$ topic t 1,2 1,2 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
t-1 [1,2] isr=[1,2] leader=1 epoch=0/0
t-2 [1,2] isr=[1,2] leader=1 epoch=0/0
$ where t-0 1 1a
t-0 [1,2] isr=[1,2] leader=1 epoch=0/1
$ where t-1 1 1b
t-1 [1,2] isr=[1,2] leader=1 epoch=0/1
$ heartbeat 1 full=1a
t-0 [1,2] isr=[2] leader=2 epoch=1/2
# Where t-2 is it has not said: in either.
$ heartbeat 1 full=1a,1b
t-1 [1,2] isr=[2] leader=2 epoch=1/2
t-2 [1,2] isr=[2] leader=2 epoch=1/1
)");
}

}  // namespace millrace
