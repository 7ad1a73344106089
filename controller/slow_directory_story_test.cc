// Stories of slow log directories: who leads then, who does not, and how it ends.
// cluster_story.h says what the commands do.
#include <catch2/catch.hpp>

#include "controller/cluster_story.h"

namespace millrace {
namespace {

void CheckStory(const std::string& story) { CHECK(RunClusterStory(story) == story); }

}  // namespace

TEST_CASE("Slow story: another ISR member leads, and the slow replica stays in the ISR") {
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
$ heartbeat 1 slow=1a
t-0 [1,2,3] isr=[1,2,3] leader=2 epoch=1/1
$ heartbeat 1 slow=1a
# While it is slow it does not lead again; it may leave the ISR for its lag, and come back.
$ balance
$ elect preferred t-0
refused: The preferred leader's log directory is slow.
$ isr t-0 2,3
t-0 [1,2,3] isr=[2,3] leader=2 epoch=1/2
$ isr t-0 2,3,1
t-0 [1,2,3] isr=[2,3,1] leader=2 epoch=1/3
# Its broker has waited before it says so.
$ heartbeat 1
$ balance
t-0 [1,2,3] isr=[2,3,1] leader=1 epoch=2/4
)");
}

TEST_CASE("Slow story: where all ISR members are slow, or full, or unknown, nothing moves") {
  CheckStory(
      R"($ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ topic alone 1
alone-0 [1] isr=[1] leader=1 epoch=0/0
$ topic t unclean 1,2,3
t-0 [1,2,3] isr=[1,2,3] leader=1 epoch=0/0
$ heartbeat 2 slow=2a
$ isr t-0 1,2
t-0 [1,2,3] isr=[1,2] leader=1 epoch=0/1
# 3 is well, but not in sync.
$ heartbeat 1 slow=1a
$ heartbeat 1 slow=1a
$ heartbeat 2 slow=2a
# The preferred one leads as badly as another.
$ elect preferred t-0
refused: Leader election not needed for topic partition.
$ isr t-0 1,2,3
t-0 [1,2,3] isr=[1,2,3] leader=1 epoch=0/2
$ controller
$ heartbeat 1 slow=1a
$ heartbeat 2 slow=2a
$ heartbeat 1 slow=1a
$ heartbeat 3 slow=3a
$ heartbeat 1 slow=1a
$ heartbeat 3
$ heartbeat 1 slow=1a
t-0 [1,2,3] isr=[1,2,3] leader=3 epoch=1/3
)");
}

TEST_CASE("Slow story: from a full directory even a slow one takes over, and a good one rather") {
  CheckStory(
      R"($ broker 1
$ broker 2
broker 2 serves
$ broker 3
broker 3 serves
$ topic two 1,2
two-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ topic three 1,2,3
three-0 [1,2,3] isr=[1,2,3] leader=1 epoch=0/0
$ heartbeat 2 slow=2a
$ heartbeat 1 full=1a
three-0 [1,2,3] isr=[2,3] leader=3 epoch=1/1
two-0 [1,2] isr=[2] leader=2 epoch=1/1
# Slow is better than full.
$ heartbeat 2 slow=2a
$ isr two-0 2,1
refused: replicas that may not join: 1 (its log directory is full)
# Both at once.
$ heartbeat 3 slow=3a full=3a
three-0 [1,2,3] isr=[2] leader=2 epoch=2/2
)");
}

TEST_CASE(
    "Slow story: who is elected for another reason is not slow, while somebody else is there") {
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
$ heartbeat 1 slow=1a
t-0 [1,2,3] isr=[1,2,3] leader=2 epoch=1/1
$ fence 2
broker 2 fenced
t-0 [1,2,3] isr=[1,3] leader=3 epoch=2/2
$ fence 3
broker 3 fenced
t-0 [1,2,3] isr=[1] leader=1 epoch=3/3
$ unfence 2
broker 2 serves
$ isr t-0 1,2
t-0 [1,2,3] isr=[1,2] leader=1 epoch=3/4
$ heartbeat 1 slow=1a
t-0 [1,2,3] isr=[1,2] leader=2 epoch=4/5
)");
}

TEST_CASE(
    "Slow story: two disks that are slow in turn move a leadership with each turn, not more") {
  CheckStory(
      R"($ broker 1
$ broker 2
broker 2 serves
$ topic t 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ heartbeat 1 slow=1a
t-0 [1,2] isr=[1,2] leader=2 epoch=1/1
$ heartbeat 2 slow=2a
$ heartbeat 1 slow=1a
$ heartbeat 2 slow=2a
$ heartbeat 1
$ heartbeat 2 slow=2a
t-0 [1,2] isr=[1,2] leader=1 epoch=2/2
$ heartbeat 1
$ heartbeat 2
$ balance
)");
}

TEST_CASE(
    "Slow story: a new active controller hears it anew, and of who does not say it, nothing") {
  CheckStory(
      R"($ broker 1
$ broker 2
broker 2 serves
$ topic t 1,2
t-0 [1,2] isr=[1,2] leader=1 epoch=0/0
$ heartbeat 1 slow=1a
t-0 [1,2] isr=[1,2] leader=2 epoch=1/1
$ controller
# It gives nothing back to whom it has not heard.
$ balance
$ heartbeat 2
$ heartbeat 1 slow=1a
$ balance
# A broker of an older version never says it.
$ heartbeat 1
$ balance
t-0 [1,2] isr=[1,2] leader=1 epoch=2/2
)");
}

TEST_CASE("Slow story: of a broker's directories only the slow one's replicas are concerned") {
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
$ heartbeat 1 slow=1a
t-0 [1,2] isr=[1,2] leader=2 epoch=1/2
# Where t-2 is it has not said: in either.
$ heartbeat 1 slow=1a,1b
t-1 [1,2] isr=[1,2] leader=2 epoch=1/2
t-2 [1,2] isr=[1,2] leader=2 epoch=1/1
)");
}

TEST_CASE("Slow story: a heartbeat moves so many partitions, and the next ones the rest") {
  ClusterTable table;
  (void)table.Do("broker 1");
  (void)table.Do("broker 2");
  std::string topic = "topic t";
  for (size_t i = 0; i < kMovesOffSlowMax + 10; ++i) topic += " 1,2";
  (void)table.Do(topic);
  const auto moved = [&table](const std::string& line) {
    const std::string text = table.Do(line);
    return std::ranges::count(text, '\n');
  };
  CHECK(moved("heartbeat 1 slow=1a") == kMovesOffSlowMax);
  CHECK(moved("heartbeat 1 slow=1a") == 10);
  CHECK(moved("heartbeat 1 slow=1a") == 0);
}

}  // namespace millrace
