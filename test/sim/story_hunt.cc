// Faults that are aimed at whoever leads one partition: the story's first, or the one of its group.
// Those that hit anybody find it too seldom at the moments that matter.
#include "common/runtime/sim/sim_fabric.h"
#include "test/sim/story.h"

namespace millrace::simtest {

void Story::Hunt() {
  const std::vector<SimNode*> replicas = options_.hunted(brokers_);
  if (replicas.empty()) return;
  ++faults_;
  switch (world_->dice().Below(3)) {
    case 0:
      EndSuddenly(*replicas.front());
      break;
    case 1:
      LetOneLagAndEndItsLeaders(replicas);
      break;
    default:
      CutOff(*replicas.front());
  }
}

void Story::EndSuddenly(SimNode& node) {
  if (!breaking_ || !node.up()) return;
  SimRandom& dice = world_->dice();
  if (options_.power_losses && (!options_.kills || dice.Coin())) {
    node.PowerLoss();
  } else {
    node.Kill();
  }
  RestartAfter(node, dice.Between(milliseconds(1), milliseconds(3000)));
}

// One replica stands still and stays in sync, as far as anybody knows: nothing is committed. The
// leader dies, and the one after it, who may have what the first one had not committed; then it is
// the turn of the one that stood still, who has not.
void Story::LetOneLagAndEndItsLeaders(const std::vector<SimNode*>& replicas) {
  if (replicas.size() < 2) return;
  SimRandom& dice = world_->dice();
  SimNode& lagging = *replicas[1 + dice.Below(replicas.size() - 1)];
  if (!lagging.up()) return;
  lagging.Pause();
  const Duration first = dice.Between(milliseconds(20), milliseconds(500));
  const Duration second = first + dice.Between(milliseconds(300), milliseconds(1500));
  for (const Duration when : {first, second}) {
    world_->After(when, [this, &lagging] {
      const std::vector<SimNode*> now = options_.hunted(brokers_);
      if (!now.empty() && now.front() != &lagging) EndSuddenly(*now.front());
    });
  }
  world_->After(second + milliseconds(1), [&lagging] { lagging.Resume(); });
}

// From the other brokers alone: clients still reach it, and others come to lead what it led.
void Story::CutOff(SimNode& node) {
  SimFabric& network = world_->network();
  for (SimNode* other : brokers_) {
    if (other != &node) network.Cut(node, *other);
  }
  const Duration healed = world_->dice().Between(milliseconds(10), milliseconds(20'000));
  world_->After(healed, [this, &node] {
    if (!breaking_) return;
    for (SimNode* other : brokers_) {
      if (other != &node) world_->network().Heal(node, *other);
    }
  });
}

}  // namespace millrace::simtest
