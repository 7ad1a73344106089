// Stories of what is asked of partitions: ISR changes, moves, elections, features. cluster_story.h
// says what the commands do.
#include <catch2/catch.hpp>

#include "controller/cluster_story.h"

namespace millrace {
namespace {

void CheckStory(const std::string& story) { CHECK(RunClusterStory(story) == story); }

}  // namespace

TEST_CASE(
    "AlterPartition story: proposals that do not fit are refused, each for its reason (5.10, "
    "KIP-497, KIP-841, KIP-903)") {
  CheckStory(
      R"($ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ broker 4
broker 4 serves
$ topic t 1,2,3
t-0 [1,2,3] isr=[1,2,3] leader=1 epoch=0/0
$ isr t-0 1,2
t-0 [1,2,3] isr=[1,2] leader=1 epoch=0/1
$ isr t-0 1,2,3 leader-epoch=1
refused: epochs 1 and 1 are ahead of the controller's 0 and 1
$ isr t-0 1,2,3 partition-epoch=0
refused: the partition epoch is 1 by now, not 0
$ isr t-0 1,2,3 from=2
refused: broker 2 does not lead the partition
$ isr t-0 2,3
refused: the proposed ISR lacks the leader, broker 1
$ isr t-0 1,4
refused: broker 4 is in the proposed ISR twice, or no replica
$ isr t-0 1,2,2
refused: broker 2 is in the proposed ISR twice, or no replica
$ isr t-0 1,2,3 stale=3
refused: replicas that may not join: 3 (of another epoch)
$ fence 3
broker 3 fenced
$ isr t-0 1,2,3
refused: replicas that may not join: 3 (fenced)
$ isr t-0 1 recovering
refused: a leader that has recovered does not begin to recover
$ fence 1
broker 1 fenced
t-0 [1,2,3] isr=[2] leader=2 epoch=1/2
$ isr t-0 2,1 leader-epoch=0
refused: the leader epoch is 1 by now, not 0
)");
}

TEST_CASE(
    "Reassignment story: targets are added, then the others go, and the leader with them "
    "(KIP-455)") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ broker 4
broker 4 serves
$ topic t 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ move t-0 3,4
t-0 [3,4,1,2] isr=[1,2] leader=1 epoch=0/1 adding=[3,4] removing=[1,2]
$ isr t-0 1,2,3
t-0 [3,4,1,2] isr=[1,2,3] leader=1 epoch=0/2 adding=[3,4] removing=[1,2]
$ isr t-0 1,2,3,4
refused: the change completes a reassignment, and another broker leads
t-0 [3,4] isr=[3,4] leader=3 epoch=1/3
)");
}

TEST_CASE(
    "Reassignment story: one under way is replaced, what was added and is not wanted goes at "
    "once, and cancelled") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ broker 4
broker 4 serves
$ topic t 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ move t-0 1,3
t-0 [1,3,2] isr=[1,2] leader=1 epoch=0/1 adding=[3] removing=[2]
$ move t-0 1,4
t-0 [1,4,2] isr=[1,2] leader=1 epoch=1/2 adding=[4] removing=[2]
$ move t-0 cancel
t-0 [1,2] isr=[1,2] leader=1 epoch=2/3
$ move t-0 cancel
refused: No partition reassignment is in progress.
# An order alone is no movement; the preferred leader changes at once, the leader does not.
$ move t-0 2,1
t-0 [2,1] isr=[1,2] leader=1 epoch=2/4
$ move t-0 2
t-0 [2] isr=[2] leader=2 epoch=3/5
$ move t-0 2,1 same-factor
refused: The replication factor is changed from 1 to 2
$ move t-0 2,9
refused: The manual partition assignment includes broker 9, but no such broker is registered.
$ move t-0 2,2
refused: The manual partition assignment includes the broker 2 more than once.
$ move x-0 1
refused: Unable to find a topic named ?.
)");
}

TEST_CASE("Reassignment story: a cancel that would lose data is refused") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ topic t 1
t-0 [1] isr=[1] leader=1 epoch=0/0
$ move t-0 2,3
t-0 [2,3,1] isr=[1] leader=1 epoch=0/1 adding=[2,3] removing=[1]
$ isr t-0 1,2
t-0 [2,3,1] isr=[1,2] leader=1 epoch=0/2 adding=[2,3] removing=[1]
$ fence 1
broker 1 fenced
t-0 [2,3,1] isr=[2] leader=2 epoch=1/3 adding=[2,3] removing=[1]
$ move t-0 cancel
refused: Unable to revert partition assignment for t:0 because it would require an unclean leader election.
$ isr t-0 2,3
t-0 [2,3] isr=[2,3] leader=2 epoch=2/4
)");
}

TEST_CASE(
    "Reassignment story: while nobody leads, the eligible replicas are not lost by a cancel, nor "
    "by another target (KIP-966)") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ broker 4
broker 4 serves
$ topic t 1
t-0 [1] isr=[1] leader=1 epoch=0/0
$ move t-0 2,3
t-0 [2,3,1] isr=[1] leader=1 epoch=0/1 adding=[2,3] removing=[1]
$ isr t-0 1,2
t-0 [2,3,1] isr=[1,2] leader=1 epoch=0/2 adding=[2,3] removing=[1]
$ fence 1
broker 1 fenced
t-0 [2,3,1] isr=[2] leader=2 epoch=1/3 adding=[2,3] removing=[1]
$ fence 2
broker 2 fenced
t-0 [2,3,1] isr=[] leader=-1 epoch=2/4 elr=[2] last=[2] adding=[2,3] removing=[1]
# Broker 1 has not what broker 2 acknowledged alone.
$ move t-0 cancel
refused: Unable to revert partition assignment for t:0 because it would require an unclean leader election.
$ move t-0 4,3
t-0 [4,3,2,1] isr=[] leader=-1 epoch=2/5 elr=[2] last=[2] adding=[3,4] removing=[1,2]
$ unfence 2
broker 2 serves
t-0 [4,3,2,1] isr=[2] leader=2 epoch=3/6 adding=[3,4] removing=[1,2]
$ isr t-0 2,3
t-0 [4,3,2,1] isr=[2,3] leader=2 epoch=3/7 adding=[3,4] removing=[1,2]
$ isr t-0 2,3,4
refused: the change completes a reassignment, and another broker leads
t-0 [4,3] isr=[3,4] leader=4 epoch=4/8
)");
}

TEST_CASE("Reassignment story: while nobody is eligible, nor is who led last (KIP-966)") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ topic t page-cache 1
t-0 [1] isr=[1] leader=1 epoch=0/0
$ move t-0 2,3
t-0 [2,3,1] isr=[1] leader=1 epoch=0/1 adding=[2,3] removing=[1]
$ isr t-0 1,2
t-0 [2,3,1] isr=[1,2] leader=1 epoch=0/2 adding=[2,3] removing=[1]
$ fence 1
broker 1 fenced
t-0 [2,3,1] isr=[2] leader=2 epoch=1/3 adding=[2,3] removing=[1]
$ fence 2
broker 2 fenced
t-0 [2,3,1] isr=[] leader=-1 epoch=2/4 elr=[2] last=[2] adding=[2,3] removing=[1]
$ unregister 2
broker 2 gone
t-0 [2,3,1] isr=[] leader=-1 epoch=2/5 last=[2] adding=[2,3] removing=[1]
$ move t-0 cancel
refused: Unable to revert partition assignment for t:0 because it would require an unclean leader election.
$ move t-0 3
t-0 [3,2,1] isr=[] leader=-1 epoch=2/6 last=[2] adding=[3] removing=[1,2]
)");
}

TEST_CASE(
    "Reassignment story: where unclean elections are allowed a cancel goes through, and nobody is "
    "remembered who is no replica") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic t unclean 1
t-0 [1] isr=[1] leader=1 epoch=0/0
$ broker 3
broker 3 serves
$ move t-0 2,3
t-0 [2,3,1] isr=[1] leader=1 epoch=0/1 adding=[2,3] removing=[1]
$ isr t-0 1,2
t-0 [2,3,1] isr=[1,2] leader=1 epoch=0/2 adding=[2,3] removing=[1]
$ fence 1
broker 1 fenced
t-0 [2,3,1] isr=[2] leader=2 epoch=1/3 adding=[2,3] removing=[1]
$ fence 3
broker 3 fenced
$ fence 2
broker 2 fenced
t-0 [2,3,1] isr=[] leader=-1 epoch=2/4 elr=[2] last=[2] adding=[2,3] removing=[1]
$ move t-0 cancel
t-0 [1] isr=[] leader=-1 epoch=3/5
$ unfence 1
broker 1 serves
t-0 [1] isr=[1] leader=1 epoch=4/6 recovering
)");
}

TEST_CASE("Drain story: replicas move away, keep their place in the order, and no new ones come") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1 rack=a
$ broker 2 rack=b
broker 2 serves
$ broker 3 rack=c
broker 3 serves
$ broker 4 rack=a
broker 4 serves
$ topic t 1,2 2,1 2,3
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
t-1 [2,1] isr=[2,1] leader=2 epoch=0/0
t-2 [2,3] isr=[2,3] leader=2 epoch=0/0
$ drain 1
broker 1 serves draining
t-0 [4,2,1] isr=[1,2] leader=1 epoch=0/1 adding=[4] removing=[1]
t-1 [2,3,1] isr=[2,1] leader=2 epoch=0/1 adding=[3] removing=[1]
$ drain 1
$ isr t-0 1,2,4
refused: the change completes a reassignment, and another broker leads
t-0 [4,2] isr=[2,4] leader=4 epoch=1/2
$ isr t-1 2,1,4
refused: broker 4 is in the proposed ISR twice, or no replica
$ undrain 1
broker 1 serves
$ drain 9
refused: broker 9 is not registered
$ drain 2
broker 2 serves draining
t-0 [4,3,2] isr=[2,4] leader=4 epoch=1/3 adding=[3] removing=[2]
t-1 [1,3,2] isr=[2,1] leader=2 epoch=0/2 adding=[3] removing=[2]
t-2 [4,3,2] isr=[2,3] leader=2 epoch=0/1 adding=[4] removing=[2]
)");
}

TEST_CASE(
    "Factor story: replicas are added where fewest are, and taken from the end, the slow ones"
    " first") {
  CheckStory(
      R"($ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ topic t 1,2 2,1
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
t-1 [2,1] isr=[2,1] leader=2 epoch=0/0
$ factor t 3
t-0 [1,2,3] isr=[1,2] leader=1 epoch=0/1 adding=[3]
t-1 [2,1,3] isr=[2,1] leader=2 epoch=0/1 adding=[3]
$ isr t-0 1,2,3
t-0 [1,2,3] isr=[1,2,3] leader=1 epoch=0/2
$ isr t-1 2,1,3
t-1 [2,1,3] isr=[2,1,3] leader=2 epoch=0/2
$ fence 1
broker 1 fenced
t-0 [1,2,3] isr=[2,3] leader=2 epoch=1/3
t-1 [2,1,3] isr=[2,3] leader=2 epoch=0/3
$ factor t 2
t-0 [2,3] isr=[2,3] leader=2 epoch=2/4
t-1 [2,3] isr=[2,3] leader=2 epoch=1/4
$ factor t 4
refused: The target replication factor of 4 cannot be reached because only 2 broker(s) can take replicas of partition 0.
$ factor x 1
refused: This server does not host this topic-partition.
)");
}

TEST_CASE("Elections story: what is not needed, not possible, not known (5.24)") {
  CheckStory(
      R"($ broker 1
$ broker 2
broker 2 serves
$ topic t 1,2 2,1
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
t-1 [2,1] isr=[2,1] leader=2 epoch=0/0
$ fence 1
broker 1 fenced
t-0 [1,2] isr=[2] leader=2 epoch=1/1
t-1 [2,1] isr=[2] leader=2 epoch=0/1
$ elect preferred t-1
refused: Leader election not needed for topic partition.
$ elect preferred t-0
refused: The preferred leader was not available.
$ elect unclean t-0
refused: Leader election not needed for topic partition.
$ elect preferred t-9
refused: No such partition as t-9
$ fence 2
broker 2 fenced
t-0 [1,2] isr=[2] leader=-1 epoch=2/2
t-1 [2,1] isr=[2] leader=-1 epoch=1/2
$ elect unclean t-0
refused: Eligible topic partition leaders are not available.
$ elect preferred
refused: The preferred leader was not available.
refused: The preferred leader was not available.
)");
}

TEST_CASE("Balance story: preferred leaders come back when they are in sync again") {
  CheckStory(
      R"($ broker 1
$ broker 2
broker 2 serves
$ topic t 1,2 1,2 2,1
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
t-1 [1,2] isr=[1,2] leader=1 epoch=0/0
t-2 [2,1] isr=[2,1] leader=2 epoch=0/0
$ fence 1
broker 1 fenced
t-0 [1,2] isr=[2] leader=2 epoch=1/1
t-1 [1,2] isr=[2] leader=2 epoch=1/1
t-2 [2,1] isr=[2] leader=2 epoch=0/1
$ unfence 1
broker 1 serves
$ isr t-0 2,1
t-0 [1,2] isr=[2,1] leader=2 epoch=1/2
$ balance
t-0 [1,2] isr=[2,1] leader=1 epoch=2/3
$ isr t-1 2,1
t-1 [1,2] isr=[2,1] leader=2 epoch=1/2
$ balance
t-1 [1,2] isr=[2,1] leader=1 epoch=2/3
)");
}

TEST_CASE(
    "Features story: levels go up, come down where no records are lost, and together "
    "(KIP-584, KIP-778)") {
  CheckStory(
      R"($ feature metadata.version 34
refused: The update failed for all features since the following feature had an error: Invalid update version 34 for feature metadata.version. Local controller only supports versions 7-33
$ feature metadata.version 25
$ broker 1
$ feature metadata.version 22
refused: The update failed for all features since the following feature had an error: Invalid update version 22 for feature metadata.version. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.
$ feature metadata.version 24 safe
$ feature metadata.version 22 safe
refused: The update failed for all features since the following feature had an error: Invalid update version 22 for feature metadata.version. Refusing to perform the requested downgrade because it might delete metadata information.
$ feature metadata.version 22 unsafe
refused: The update failed for all features since the following feature had an error: Invalid update version 22 for feature metadata.version. Unsafe metadata downgrade is not supported in this version.
$ feature transaction.version 2
refused: The update failed for all features since the following feature had an error: Invalid update version 2 for feature transaction.version. Local controller does not support this feature.
$ feature nonsense 1
refused: The update failed for all features since the following feature had an error: Invalid update version 1 for feature nonsense. Local controller does not support this feature.
$ feature kraft.version 1
$ feature kraft.version 0 unsafe
refused: The update failed for all features since the following feature had an error: Invalid update version 0 for feature kraft.version. kraft.version cannot be downgraded.
$ feature metadata.version 33 safe
refused: The update failed for all features since the following feature had an error: Invalid update version 33 for feature metadata.version. Can't upgrade the version of this feature with a downgrade type.
)");
}

TEST_CASE(
    "Features story: eligible leader replicas switched off become the ISR where there is none") {
  CheckStory(
      R"($ feature metadata.version 22
$ feature eligible.leader.replicas.version 1
refused: The update failed for all features since the following feature had an error: Invalid update version 1 for feature eligible.leader.replicas.version. eligible.leader.replicas.version needs metadata.version 23 or later.
$ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic t min=2 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ fence 2
broker 2 fenced
t-0 [1,2] isr=[1] leader=1 epoch=0/1 elr=[2]
$ fence 1
broker 1 fenced
t-0 [1,2] isr=[] leader=-1 epoch=1/2 elr=[1,2] last=[1]
$ feature eligible.leader.replicas.version 0 safe
t-0 [1,2] isr=[1,2] leader=-1 epoch=1/3
$ unfence 2
broker 2 serves
t-0 [1,2] isr=[1,2] leader=2 epoch=2/4
)");
}

TEST_CASE("DecideFeatures: a level is committed behind the partitions that have to fit it") {
  ClusterTable table;
  for (const char* line :
       {"feature metadata.version 33", "feature eligible.leader.replicas.version 1", "broker 1",
        "broker 2", "topic t min=2 1,2", "fence 2", "fence 1"}) {
    table.Do(line);
  }
  const Verdict off = DecideFeatures(
      table.image(), {}, {{"eligible.leader.replicas.version", 0, FeatureUpgrade::kSafeDowngrade}},
      false);
  REQUIRE(off.records.size() == 2);
  CHECK(std::holds_alternative<PartitionRecord>(off.records.front()));
  CHECK(std::holds_alternative<FeatureLevelRecord>(off.records.back()));
}

TEST_CASE("Min ISR story: a lower minimum ends eligibility") {
  CheckStory(
      R"($ feature metadata.version 33
$ feature eligible.leader.replicas.version 1
$ broker 1
$ broker 2
broker 2 serves
$ topic t min=2 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ fence 2
broker 2 fenced
t-0 [1,2] isr=[1] leader=1 epoch=0/1 elr=[2]
$ min t 1
t-0 [1,2] isr=[1] leader=1 epoch=0/2
)");
}

}  // namespace millrace
