// Story: one seed's life of a small cluster: brokers, clients, and everything that breaks.
//
//   1. Swarm: every parameter is drawn from the seed (sizes, rates, delays, which faults occur).
//   2. Safety: producers and consumers work while brokers are killed, lose power, are paused, and
//      the network is cut and reset. Anything may fail; nothing may be untrue.
//   3. Liveness: everything is healed; what was sent must be acknowledged, and come to every
//      consumer (P28), within kPatience.
//   4. The whole log is read, the brokers are restarted (gracefully, then by power loss), and it is
//      read again: the same.
//
// A seed is 20 to 40 virtual seconds of phase 2.
//
// Shard: the thread that runs it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "test/sim/history.h"
#include "test/sim/outcome.h"
#include "test/sim/workload.h"

namespace millrace::simtest {

struct StoryOptions {
  // Builds a broker's program on port kBrokerPort; called anew for each process.
  std::function<std::unique_ptr<SimProgram>(SimProcess&)> broker;
  int brokers = 1;
  // Each process of a broker has so many shards, drawn anew from this range.
  uint64_t shards_min = 1;
  uint64_t shards_max = 1;
  // A folder that was there, durably, long before: an administrator made it.
  std::string folder;
  Promises promises;
  bool kills = true;
  bool power_losses = true;
  bool blackouts = false;  // Now and then all brokers lose power in the same moment.
  bool network_faults = true;
  bool disk_faults = true;
  // A folder that has no room for a while, now and then; empty: none has.
  std::string fills_up;
  // A folder that is slow for a while, now and then, as `folder` is; empty: none is.
  std::string slows;
  // Whether `node` leads what others in sync could lead. With `slows`: the one whose disk is slow
  // does not for long.
  std::function<bool(const std::vector<SimNode*>& brokers, SimNode& node)> leads_beside_others;
  bool bad_disk = false;  // Of one broker: story_disks.cc.
  bool epochs = false;    // Producers begin new ones, and go on in the old ones.
  bool moves = false;     // Partitions are moved from broker to broker.
  std::map<std::string, std::string> topic_configs;
  bool groups = false;  // Members of a consumer group come and go, too.
  // The brokers that have a partition, its leader first; empty: nobody knows. Faults are aimed at
  // them then. With groups it is the group's, and members that were thought dead go on.
  std::function<std::vector<SimNode*>(const std::vector<SimNode*>& brokers)> hunted;
  int16_t produce_version_max = 12;
  int16_t fetch_version_max = 12;
  std::function<void(std::string)> trace;  // Every decision as a line; for finding a divergence.
  Logger* logger = nullptr;
};

// A part of a file.
struct SimExtent {
  std::string path;
  uint64_t begin;
  uint64_t end;
};

inline constexpr uint16_t kBrokerPort = 9092;

class Story {
 public:
  Story(uint64_t seed, const StoryOptions& options);
  ~Story();
  Outcome Run();

 private:
  class Clients;

  SimOptions DrawWorld();
  void DrawPlan();
  void StartBroker(SimNode& node);
  // Starts what is down, and starts again what failed to start.
  bool KeepBrokersUp();
  void BreakSomething();
  void BreakNode(SimNode& node);
  void BlackOut();
  void BreakNetwork();
  void BreakDisk(SimNode& node);
  void FillDisk(SimNode& node);
  void SlowDisk(SimNode& node);
  void SetSlow(SimNode& node, Duration more);  // All of its folders.
  void RestartAfter(SimNode& node, Duration delay);
  // Faults of the one bad disk (story_disks.cc).
  void HarmDisk();
  bool Rot(SimNode& node, const std::vector<SimExtent>& extents);
  void ReplaceDiskThatIsRefused(SimNode& node);
  void MakeFolder(SimNode& node);
  void VerifyRotIsRepaired();
  // A node whose disk is slow gives its leaderships away, and the cluster goes on.
  void VerifySlowDiskLeadsNothing();
  // Faults for whoever leads what is hunted (story_hunt.cc).
  void Hunt();
  void EndSuddenly(SimNode& node);
  void LetOneLagAndEndItsLeaders(const std::vector<SimNode*>& replicas);
  void CutOff(SimNode& node);
  void Heal();
  bool AllRunning();
  // Whoever is not heard of any more loses its partitions to who is.
  void VerifySilentMembersAreReplaced();
  bool VerifyPositions(Env& env);
  // Reads all and tells the history; says whether that was possible.
  bool Verify(int replica);
  Outcome Finish();

  const StoryOptions& options_;
  SimRandom swarm_;
  SimRandom shard_dice_;
  SimRandom blackout_dice_;
  WorkloadPlan plan_;
  WorkloadPlan watching_;  // The same, with less patience.
  History history_;
  std::unique_ptr<SimWorld> world_;
  std::vector<SimNode*> brokers_;
  SimNode* client_node_ = nullptr;
  Clients* clients_ = nullptr;  // Owned by its node.
  size_t bad_disk_ = 0;         // Whose it is.
  bool journal_rots_ = false;   // And it was not replaced since.
  uint64_t rotted_ = 0;         // Bits of segments.
  uint64_t refused_ = 0;        // Starts on a journal that had rotted.
  bool breaking_ = false;
  std::string start_failure_;  // The last broker that did not start, and why.
  uint64_t faults_ = 0;
  // Weights of the faults in this seed.
  uint64_t kill_weight_ = 0;
  uint64_t power_weight_ = 0;
  uint64_t pause_weight_ = 0;
  uint64_t network_weight_ = 0;
  uint64_t disk_weight_ = 0;
  uint64_t full_weight_ = 0;
  uint64_t slow_weight_ = 0;
  Duration fault_gap_max_{};
};

}  // namespace millrace::simtest
