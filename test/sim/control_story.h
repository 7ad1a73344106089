// ControlStory: one seed's life of a cluster's control plane: several nodes elect controllers,
// register, and create and delete topics for whoever asks any of them, while nodes are killed, lose
// power, are paused, and the network between them is cut.
//
//   1. Swarm: roles, rates and delays are drawn from the seed.
//   2. Safety: anything may fail. At most one controller is active in a term (P29); what one node's
//      image says at an index, every node's says (P30); topic ids are never used twice, and what is
//      deleted stays deleted (P31).
//   3. Liveness: everything is healed; all brokers are registered and unfenced, all nodes know the
//      same topics, and those are the ones that were acknowledged.
//   In a story without faults no broker is ever fenced.
//
// Shard: the thread that runs it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_random.h"
#include "common/runtime/sim/sim_world.h"
#include "test/sim/node_program.h"
#include "test/sim/outcome.h"

namespace millrace::simtest {

struct ControlStoryOptions {
  int combined = 3;     // Nodes with both roles; or else
  int controllers = 0;  // so many that are controllers alone
  int brokers = 0;      // and so many that are brokers alone.
  bool joins = false;   // The first controller begins the quorum, and the others join it.
  bool faults = true;
  std::function<void(std::string)> trace;
  Logger* logger = nullptr;
};

class ControlStory {
 public:
  ControlStory(uint64_t seed, const ControlStoryOptions& options);
  ~ControlStory();
  Outcome Run();

 private:
  class Clients;
  struct Member {
    SimNode* node;
    NodePlan plan;
  };

  void AddMembers();
  void FormatFounder(Member& member);
  void Start(Member& member);
  void BreakSomething();
  void BreakNode(Member& member);
  void Heal();
  void Look();  // At every node, every few milliseconds.
  void LookAt(const Member& member, Node& node);
  bool Converged();
  void CheckTopics();
  Node* NodeOf(const Member& member) const;
  void Wrong(std::string what);
  Outcome Finish();

  const ControlStoryOptions& options_;
  SimRandom swarm_;
  std::unique_ptr<SimWorld> world_;
  std::vector<Member> members_;
  SimNode* client_node_ = nullptr;
  Clients* clients_ = nullptr;  // Owned by its node.
  std::vector<std::string> violations_;
  std::map<RaftTerm, BrokerId> active_;      // By term.
  std::map<RaftIndex, std::string> states_;  // What images said, by index.
  std::map<TopicId, std::string> ids_;       // Every topic id ever seen.
  bool all_unfenced_ = false;                // Once they were.
  bool breaking_ = false;
  bool looking_ = true;
  uint64_t faults_ = 0;
  Duration fault_gap_max_{};
};

}  // namespace millrace::simtest
