// QuorumStory: one seed's life of a quorum of controllers: whole simulated machines with their
// disks and streams, each with RaftQuorum and MetadataState, and everything that breaks.
//
//   1. Swarm: sizes, patience, delays and rates are drawn from the seed.
//   2. Safety: controllers are killed, lose power, lose their disks, find their logs damaged, are
//      paused; connections break, the network is cut. Whoever is active creates and deletes topics.
//      In a quorum that is joined some of them begin it, and the others make themselves voters, as
//      does who has lost its disk or its log (controller.quorum.auto.join.enable).
//   3. Liveness: everything is healed; soon one is active, all know the same, what was acknowledged
//      is there, and something new commits (P33).
//
// A planted bug is a store, a state or an identity that does what a careless driver would.
//
// Shard: the thread that runs it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_world.h"
#include "test/sim/outcome.h"
#include "test/sim/quorum_program.h"

namespace millrace::simtest {

enum class QuorumBug {
  kNone,
  kWritesWithoutSync,       // Reports a write as durable that is not.
  kWipedKeepsIdentity,      // An empty disk under the old directory id.
  kTrustsDamage,            // A log that lost its tail is taken for whole.
  kSnapshotsOlderState,     // A snapshot is of the state before the last entry.
  kSnapshotsWithoutVoters,  // A snapshot's configuration is this replica alone.
};

inline constexpr QuorumBug kQuorumBugs[] = {
    QuorumBug::kWritesWithoutSync,   QuorumBug::kWipedKeepsIdentity,     QuorumBug::kTrustsDamage,
    QuorumBug::kSnapshotsOlderState, QuorumBug::kSnapshotsWithoutVoters,
};

const char* QuorumBugName(QuorumBug bug);

// What must hold (RELIABILITY P29 to P31), and what was seen.
class QuorumChecker {
 public:
  // P29: one leader in a term.
  void Active(int id, RaftTerm term);
  // P30: committed prefixes are equal; each process applies every index once, in order.
  void Committed(int id, RaftIndex before, RaftIndex index, const MetadataEntry& entry,
                 std::shared_ptr<const MetadataImage> image);
  // P30: a snapshot is what the replay gave.
  void Restored(int id, RaftIndex index, const MetadataImage& image);
  // P31: what was acknowledged is so.
  void Created(const TopicId& id, RaftIndex index);
  void Deleted(const TopicId& id) { deleted_.insert(id); }
  void Final(const MetadataImage& image);
  // KIP-853: who has committed a change of the voters goes by the same ones; and a majority of any
  // set is a majority of the last: while one replica is replaced one is missing, never two.
  void Voters(int id, RaftIndex index, const raft::VoterSet& voters);

  void Wrong(std::string what) {
    if (violations_.size() < 10) violations_.push_back(std::move(what));
  }
  const std::vector<std::string>& violations() const { return violations_; }
  size_t committed() const { return entries_.size(); }
  size_t terms() const { return leaders_.size(); }
  size_t acknowledged() const { return created_.size() + deleted_.size(); }
  size_t restored() const { return restored_; }
  size_t voter_sets() const { return voters_.size(); }

 private:
  std::map<RaftTerm, int> leaders_;
  std::map<RaftIndex, uint64_t> entries_;
  std::map<RaftIndex, std::shared_ptr<const MetadataImage>> images_;
  std::map<TopicId, RaftIndex> created_;
  std::set<TopicId> deleted_;
  std::set<TopicId> ever_deleted_;  // By a committed record.
  size_t restored_ = 0;
  std::map<RaftIndex, raft::VoterSet> voters_;  // By the index of the entry that made them so.
  size_t voters_max_ = 0;
  std::vector<std::string> violations_;
};

// How a quorum comes by its voters.
enum class QuorumKind {
  kStatic,  // All are named.
  kJoined,  // Some are formatted as its voters, and the others join them.
};

class QuorumStory {
 public:
  QuorumStory(uint64_t seed, QuorumKind kind, QuorumBug bug, std::function<void(std::string)> trace,
              Logger* logger);
  ~QuorumStory();
  Outcome Run();

 private:
  class Watched;
  class Observer;

  struct Machine {
    int id = 0;
    SimNode* node = nullptr;
    DirectoryId directory{0, 0};
    bool founder = false;      // Formatted as one of the first voters of a quorum that is joined.
    bool damage_next = false;  // Its log is damaged before it starts again.
    std::unique_ptr<Observer> observer;
  };

  static Task<void> Work(QuorumStory* story, QuorumProgram* program);
  static Task<void> Once(QuorumStory* story, QuorumProgram* program);
  SimOptions DrawWorld();
  void Start(Machine& machine);
  void KeepUp();
  void BreakSomething();
  void BreakMachine(Machine& machine);
  void BreakNetwork();
  // All are up, vote, and go by the same set: one of them may lose its disk, whoever has what.
  bool Whole();
  void SetQuorum(const Machine& machine, RaftQuorumOptions& options) const;
  void LookAtVoters();
  QuorumProgram* Running(Machine& machine);
  QuorumProgram* Active();
  bool Converged();
  std::string Describe();
  Outcome Finish();

  const QuorumKind kind_;
  const QuorumBug bug_;
  SimRandom swarm_;
  RaftQuorumOptions tuning_;
  std::vector<std::unique_ptr<Machine>> machines_;
  raft::VoterSet founders_;
  QuorumChecker checker_;
  bool breaking_ = false;
  uint64_t faults_ = 0;
  uint64_t kill_weight_, power_weight_, wipe_weight_, damage_weight_, pause_weight_,
      network_weight_;
  Duration fault_gap_max_{};
  Duration think_max_{};
  std::unique_ptr<SimWorld> world_;  // The last: its processes use the others to their end.
};

}  // namespace millrace::simtest
