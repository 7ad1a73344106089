// RaftCluster: one seed's life of a few Raft cores without machines: messages are lost, repeated
// and late, the network is cut, processes end with what they had not synced, disks are lost, voters
// come and go. Much smaller and faster than a simulated node, so that thousands of schedules are
// tried.
//
//   1. Swarm: sizes, rates and delays are drawn from the seed.
//   2. Safety: anything may fail; RaftInvariants look at every step.
//   3. Liveness: everything is healed; there is a leader soon, a new entry commits, and all
//   replicas
//      hold the same state.
//
// A planted bug changes what the harness does with a core's outputs, as a careless driver would.
//
// Shard: the thread that runs it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_random.h"
#include "controller/raft/raft_core.h"
#include "test/sim/outcome.h"
#include "test/sim/raft_invariants.h"

namespace millrace::simtest {

enum class RaftBug {
  kNone,
  kSpeaksBeforeSync,         // Reports a write as durable when it is given to the disk.
  kForgetsTerm,              // The stored term is that of the last entry.
  kForgetsVote,              // The stored hard state has no vote.
  kCommitsOlderTerms,        // Counts copies of entries of earlier terms (Figure 8).
  kSnapshotsWithoutVoters,   // A snapshot's configuration is the first one.
  kWipedVoterKeepsIdentity,  // An empty disk under the old directory id.
  kKeepsTruncatedTail,       // Entries that were replaced stay in the store.
};

inline constexpr RaftBug kRaftBugs[] = {
    RaftBug::kSpeaksBeforeSync,
    RaftBug::kForgetsTerm,
    RaftBug::kForgetsVote,
    RaftBug::kCommitsOlderTerms,
    RaftBug::kSnapshotsWithoutVoters,
    RaftBug::kWipedVoterKeepsIdentity,
    RaftBug::kKeepsTruncatedTail,
};

const char* RaftBugName(RaftBug bug);

class RaftCluster {
 public:
  RaftCluster(uint64_t seed, RaftBug bug, std::function<void(std::string)> trace);
  Outcome Run();

 private:
  using Time = uint64_t;  // A tick of a replica is kTick.

  struct Disk {
    raft::HardState hard_state;
    raft::Snapshot snapshot;
    std::map<RaftIndex, raft::LogEntry> entries;
  };
  // One machine: its disk outlives its processes.
  struct Machine {
    explicit Machine(const raft::ReplicaKey& key) : key(key) {}
    raft::ReplicaKey key;
    Disk disk;
    std::unique_ptr<raft::RaftCore> core;  // Null: down.
    uint64_t process = 0;                  // Events of an ended process find another number.
    std::deque<raft::Write> writing;  // Given to the disk; one, but for the bug that does not wait.
    bool snapshotting = false;
    uint64_t state = 0;  // The state machine: a hash of all it applied.
    RaftIndex applied{0};
  };

  void DrawFigureEight();
  void At(Time delay, std::function<void()> what);
  void RunUntil(Time end);
  void Trace(const std::string& line);

  void Boot(Machine& machine);
  void Crash(Machine& machine, bool write_survives);
  bool StaticVotersStand() const;
  void BreakConnections(const Machine& machine);
  void CrashSoon(Machine& machine);
  void CrashVoter(Machine& machine);
  void Wipe(Machine& machine);
  bool MayWipe(const Machine& machine) const;
  void TickLater(Machine& machine);
  void After(Machine& machine);  // Something went into its core.
  void StartWrite(Machine& machine, raft::Write write);
  void Store(Machine& machine, const raft::Write& write);
  void SnapshotMaybe(Machine& machine);
  void Send(Machine& machine, raft::Message message);
  void Arrive(raft::Message message);
  void Apply(Machine& machine, const raft::LogEntry& entry);
  void CountOlderTerms(const Machine& machine);

  void BreakSomething();
  void Operate();
  void ReplaceWiped(Machine& leader);
  void ChangeVoters(Machine& leader);
  Machine* Leader();
  Machine* Find(BrokerId id);
  bool Converged();

  // Constant after construction.
  const RaftBug bug_;
  const std::function<void(std::string)> trace_;
  // State.
  SimRandom swarm_;
  SimRandom dice_;
  RaftInvariants invariants_;
  std::map<std::pair<Time, uint64_t>, std::function<void()>> events_;
  Time now_ = 0;
  uint64_t event_number_ = 0;
  uint64_t hash_ = 0;
  bool breaking_ = true;
  bool ids_changed_ = false;  // By an operator, for good.
  std::vector<std::unique_ptr<Machine>> machines_;
  raft::VoterSet static_voters_;
  std::set<std::pair<BrokerId, BrokerId>> cut_;
  uint64_t proposals_ = 0;
  raft::RaftOptions options_;
  PerMillion loss_, duplication_, crashes_, wipes_, cuts_, changes_, write_survives_,
      brief_leaders_, brief_voters_;
  Time delay_max_ = 1;
  Time write_max_ = 1;
  int64_t snapshot_every_ = 20;
};

}  // namespace millrace::simtest
