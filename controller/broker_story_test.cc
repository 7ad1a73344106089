// Stories of brokers that come and go, and what becomes of their partitions. cluster_story.h says
// what the commands do.
#include <catch2/catch.hpp>

#include "controller/cluster_story.h"

namespace millrace {
namespace {

void CheckStory(const std::string& story) { CHECK(RunClusterStory(story) == story); }

}  // namespace

TEST_CASE(
    "Fencing story: leaders move to the ISR in replica order, and unfencing alone brings "
    "nothing back (5.20, 5.32, 5.33)") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ topic t 1,2,3 2,3,1
t-0 [1,2,3] isr=[1,2,3] leader=1 epoch=0/0
t-1 [2,3,1] isr=[2,3,1] leader=2 epoch=0/0
$ fence 1
broker 1 fenced
t-0 [1,2,3] isr=[2,3] leader=2 epoch=1/1
t-1 [2,3,1] isr=[2,3] leader=2 epoch=0/1
$ unfence 1
broker 1 serves
# It joins as a follower that has caught up; a smaller or larger ISR is no new leader epoch.
$ isr t-0 2,3,1
t-0 [1,2,3] isr=[2,3,1] leader=2 epoch=1/2
$ elect preferred t-0
t-0 [1,2,3] isr=[2,3,1] leader=1 epoch=2/3
$ elect preferred t-0
refused: Leader election not needed for topic partition.
)");
}

TEST_CASE(
    "ELR story: below min.insync.replicas who leaves stays eligible, and leads when it is "
    "back (KIP-966)") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ topic t min=2 1,2,3
t-0 [1,2,3] isr=[1,2,3] leader=1 epoch=0/0
# Two of three: enough, so nobody outside the ISR is eligible.
$ fence 3
broker 3 fenced
t-0 [1,2,3] isr=[1,2] leader=1 epoch=0/1
# One of three: the high watermark stands still, so 2 has all that was committed.
$ fence 2
broker 2 fenced
t-0 [1,2,3] isr=[1] leader=1 epoch=0/2 elr=[2]
# Nobody: 1 has everything too.
$ fence 1
broker 1 fenced
t-0 [1,2,3] isr=[] leader=-1 epoch=1/3 elr=[1,2] last=[1]
# 3 left before the high watermark stood still: it may not lead.
$ unfence 3
broker 3 serves
$ unfence 2
broker 2 serves
t-0 [1,2,3] isr=[2] leader=2 epoch=2/4 elr=[1]
$ isr t-0 2,3
t-0 [1,2,3] isr=[2,3] leader=2 epoch=2/5
$ isr t-0 2,3,1
refused: replicas that may not join: 1 (fenced)
$ unfence 1
broker 1 serves
$ isr t-0 2,3,1
t-0 [1,2,3] isr=[2,3,1] leader=2 epoch=2/6
)");
}

TEST_CASE(
    "ELR story: nobody is left, and the last leader comes back to recover (KIP-966, rule "
    "5.22)") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic t page-cache 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ fence 2
broker 2 fenced
t-0 [1,2] isr=[1] leader=1 epoch=0/1
# Killed: what it had in memory is gone, and nobody is known to have everything.
$ restart 1
broker 1 fenced
t-0 [1,2] isr=[] leader=-1 epoch=1/2 last=[1]
$ heartbeat 2
broker 2 serves
$ heartbeat 1
broker 1 serves
t-0 [1,2] isr=[1] leader=1 epoch=2/3 recovering
$ isr t-0 1 recovering
$ isr t-0 1,2 recovering
refused: a leader that is recovering is alone in the ISR
$ isr t-0 1
t-0 [1,2] isr=[1] leader=1 epoch=2/4
$ isr t-0 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=2/5
)");
}

TEST_CASE("Without ELR story: the last member of the ISR stays in it and leads when it is back") {
  CheckStory(
      R"($ broker 1
$ broker 2
broker 2 serves
$ topic t 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ fence 1
broker 1 fenced
t-0 [1,2] isr=[2] leader=2 epoch=1/1
$ fence 2
broker 2 fenced
t-0 [1,2] isr=[2] leader=-1 epoch=2/2
$ unfence 1
broker 1 serves
$ unfence 2
broker 2 serves
t-0 [1,2] isr=[2] leader=2 epoch=3/3
)");
}

TEST_CASE("Unclean story: where it is allowed somebody leads, alone, and has to recover (5.23)") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic strict 1,2
strict-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ topic loose unclean 1,2
loose-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ fence 2
broker 2 fenced
loose-0 [1,2] isr=[1] leader=1 epoch=0/1
strict-0 [1,2] isr=[1] leader=1 epoch=0/1
$ fence 1
broker 1 fenced
loose-0 [1,2] isr=[] leader=-1 epoch=1/2 elr=[1] last=[1]
strict-0 [1,2] isr=[] leader=-1 epoch=1/2 elr=[1] last=[1]
$ unfence 2
broker 2 serves
loose-0 [1,2] isr=[2] leader=2 epoch=2/3 recovering
$ elect unclean strict-0
strict-0 [1,2] isr=[2] leader=2 epoch=2/3 recovering
$ elect unclean strict-0
refused: Leader election not needed for topic partition.
$ unfence 1
broker 1 serves
)");
}

TEST_CASE(
    "Restart story: a new incarnation ends all leaderships of the old one, and durable "
    "replicas count as cleanly stopped") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ topic disk min=2 1,2,3
disk-0 [1,2,3] isr=[1,2,3] leader=1 epoch=0/0
$ topic cache min=2 page-cache 1,2,3
cache-0 [1,2,3] isr=[1,2,3] leader=1 epoch=0/0
# So quick that nobody noticed; still the epochs end.
$ restart 1
broker 1 fenced
cache-0 [1,2,3] isr=[2,3] leader=2 epoch=1/1
disk-0 [1,2,3] isr=[2,3] leader=2 epoch=1/1
$ heartbeat 1 behind
$ heartbeat 1
broker 1 serves
$ fence 3
broker 3 fenced
cache-0 [1,2,3] isr=[2] leader=2 epoch=1/2 elr=[3]
disk-0 [1,2,3] isr=[2] leader=2 epoch=1/2 elr=[3]
# Below the minimum now: 2 stays eligible where its disk had all it acknowledged.
$ restart 2
broker 2 fenced
cache-0 [1,2,3] isr=[] leader=-1 epoch=2/3 elr=[3] last=[2]
disk-0 [1,2,3] isr=[] leader=-1 epoch=2/3 elr=[2,3] last=[2]
# Its directory could not be read completely.
$ restart 2 torn
disk-0 [1,2,3] isr=[] leader=-1 epoch=2/4 elr=[3] last=[2]
$ restart 2 clean
)");
}

TEST_CASE(
    "Restart story: a broker with one replica of each topic has them back at once, one epoch "
    "later") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ topic disk 1
disk-0 [1] isr=[1] leader=1 epoch=0/0
$ topic cache page-cache 1
cache-0 [1] isr=[1] leader=1 epoch=0/0
$ restart 1
broker 1 fenced
cache-0 [1] isr=[] leader=-1 epoch=1/1 last=[1]
disk-0 [1] isr=[] leader=-1 epoch=1/1 elr=[1] last=[1]
$ heartbeat 1
broker 1 serves
cache-0 [1] isr=[1] leader=1 epoch=2/2 recovering
disk-0 [1] isr=[1] leader=1 epoch=2/2
)");
}

TEST_CASE(
    "Registration story: an id is free when its session ended, or its stream broke and the "
    "newcomer holds its directories (5.30, P32)") {
  CheckStory(
      R"($ broker 1
$ restart 1 session=alive
refused: Another broker is registered with that broker id: broker 1 at host1:9092 is alive; this one is at host1:9092
$ restart 1 session=broken
broker 1 fenced
$ restart 1 wiped session=broken
refused: Another broker is registered with that broker id: broker 1 at host1:9092 has not timed out yet; this one is at host1:9092
$ restart 1 wiped session=none
)");
}

TEST_CASE("Wiped story: what lay in a directory that is gone leads nothing") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic t 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ fence 2
broker 2 fenced
t-0 [1,2] isr=[1] leader=1 epoch=0/1
$ restart 1 wiped session=none
broker 1 fenced
t-0 [1,2] isr=[] leader=-1 epoch=1/2 last=[1]
$ heartbeat 1
broker 1 serves
$ leaderless
)");
}

TEST_CASE("Shutdown story: leaders move first, and it goes when everybody knows (5.34)") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic t 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ heartbeat 1 wants-shutdown
broker 1 shutting down
t-0 [1,2] isr=[2] leader=2 epoch=1/1
$ isr t-0 2,1
refused: replicas that may not join: 1 (shutting down)
# Broker 2 has not applied yet that it leads.
$ heartbeat 1 wants-shutdown others=4
$ heartbeat 1 wants-shutdown others=99
may go
broker 1 fenced
)");
}

TEST_CASE("Shutdown story: who leads nothing goes at once") {
  CheckStory(
      R"($ broker 1
$ broker 2
broker 2 serves
$ topic t 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ heartbeat 2 wants-shutdown
may go
broker 2 fenced
t-0 [1,2] isr=[1] leader=1 epoch=0/1
)");
}

TEST_CASE(
    "Directory story: a failed directory takes its replicas out of the ISR, the others stay "
    "(KIP-858, 5.35)") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1 dirs=2
$ broker 2
broker 2 serves
$ topic t 1,2 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
t-1 [1,2] isr=[1,2] leader=1 epoch=0/0
$ where t-0 1 1a
t-0 [1,2] isr=[1,2] leader=1 epoch=0/1
$ where t-1 1 1b
t-1 [1,2] isr=[1,2] leader=1 epoch=0/1
$ heartbeat 1 failed=1a
broker 1 serves failed=1a
t-0 [1,2] isr=[2] leader=2 epoch=1/2
# It may not come back into the ISR from there.
$ isr t-0 2,1
refused: replicas that may not join: 1 (its log directory is offline)
$ elect preferred t-0
refused: The preferred leader was not available.
)");
}

TEST_CASE(
    "Directory story: a wiped replica is in sync again once its broker said where it is now") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic t 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ restart 2 wiped session=none
broker 2 fenced
t-0 [1,2] isr=[1] leader=1 epoch=0/1
$ heartbeat 2
broker 2 serves
$ isr t-0 1,2
refused: replicas that may not join: 2 (its log directory is offline)
$ where t-0 2 2x
t-0 [1,2] isr=[1] leader=1 epoch=0/2
$ isr t-0 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/3
)");
}

TEST_CASE("Directory story: a damaged replica that is given up leads no more and is not eligible") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic t 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ min t 2
$ where t-0 1 lost
t-0 [1,2] isr=[2] leader=2 epoch=1/1
# It has nothing any more; the other one is all there is.
$ isr t-0 2,1
refused: replicas that may not join: 1 (its log directory is offline)
$ where t-0 2 lost
refused: no other replica is in sync: what this one has is all there is
$ where t-0 1 1a
t-0 [1,2] isr=[2] leader=2 epoch=1/2
$ isr t-0 2,1
t-0 [1,2] isr=[2,1] leader=2 epoch=1/3
# What the leader knows of the log of a follower that gives its own up is void: a new epoch says so.
$ where t-0 1 lost
t-0 [1,2] isr=[2] leader=2 epoch=2/4
)");
}

TEST_CASE(
    "Directory story: a damaged replica is kept while producers would be refused without it") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ topic t 1,2,3
t-0 [1,2,3] isr=[1,2,3] leader=1 epoch=0/0
$ min t 2
$ fence 3
broker 3 fenced
t-0 [1,2,3] isr=[1,2] leader=1 epoch=0/1
$ where t-0 2 lost
refused: fewer than min.insync.replicas would be in sync, and another may come back
$ where t-0 1 lost
refused: fewer than min.insync.replicas would be in sync, and another may come back
$ heartbeat 3
broker 3 serves
# That may need the very records that cannot be read at the leader.
$ where t-0 1 lost
t-0 [1,2,3] isr=[2] leader=2 epoch=1/2
)");
}

TEST_CASE("Directory story: a wiped replica that was the last in sync does not lead, empty") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic t 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ fence 2
broker 2 fenced
t-0 [1,2] isr=[1] leader=1 epoch=0/1
$ restart 1 wiped session=none
broker 1 fenced
t-0 [1,2] isr=[] leader=-1 epoch=1/2 last=[1]
$ heartbeat 1
broker 1 serves
$ where t-0 1 1x
refused: the replica lost what nobody else is known to have; elect another leader
$ heartbeat 2
broker 2 serves
$ elect unclean t-0
t-0 [1,2] isr=[2] leader=2 epoch=2/3 recovering
$ where t-0 1 1x
t-0 [1,2] isr=[2] leader=2 epoch=2/4 recovering
)");
}

TEST_CASE("Unregister story: what is forgotten is nowhere eligible") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic t min=2 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ fence 1
broker 1 fenced
t-0 [1,2] isr=[2] leader=2 epoch=1/1 elr=[1]
$ unregister 1
broker 1 gone
t-0 [1,2] isr=[2] leader=2 epoch=1/2
$ unregister 2
broker 2 gone
t-0 [1,2] isr=[] leader=-1 epoch=2/3 last=[2]
)");
}

}  // namespace millrace
