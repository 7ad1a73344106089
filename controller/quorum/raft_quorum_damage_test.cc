// RaftQuorum on stores and disks that fail it (RELIABILITY C 32).
#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/error_kind.h"
#include "controller/quorum/raft_quorum.h"
#include "storage/kv/rotten_kv_store_test_tools.h"
#include "test/sim/quorum_cluster.h"

using namespace millrace;
using namespace millrace::simtest;

namespace {

Task<absl::Status> Note(bool* noted, bool what = true) {
  *noted = what;
  co_return absl::OkStatus();
}

}  // namespace

TEST_CASE("RaftQuorum: a quorum of one with a damaged log does not start (RELIABILITY C 32)") {
  QuorumCluster cluster(1);
  cluster.Start(1);
  REQUIRE(cluster.WaitForActive() == 1);
  REQUIRE(cluster.Propose(1, "a").ok());
  REQUIRE(cluster.world().Run(cluster.program(1).env(), Damage(&cluster.program(1).kv(), 2)).ok());
  cluster.node(1).StopGracefully();
  cluster.Start(1);
  REQUIRE(cluster.Until([&] { return cluster.node(1).state() == SimNode::State::kFailed; }));
  CHECK(absl::IsDataLoss(cluster.node(1).start_status()));
}

TEST_CASE("RaftQuorum: that it is its own bootstrap server makes nobody who could restore it") {
  QuorumCluster cluster(1);
  cluster.connected = true;
  const bool formatted = GENERATE(true, false);
  cluster.tune = [&](RaftQuorumOptions& options) {
    options.endpoints = {{"CONTROLLER", QuorumHost(1), kQuorumPort}};
    options.bootstrap = {{QuorumHost(1), kQuorumPort}};
    raft::Voter self{std::nullopt, options.endpoints};
    if (formatted) self.directory = options.directory;
    const raft::VoterSet alone = raft::VoterSet().With(BrokerId(1), self);
    options.initial_voters = formatted ? alone : raft::VoterSet();
    options.static_voters = formatted ? raft::VoterSet() : alone;
  };
  cluster.Start(1);
  REQUIRE(cluster.WaitForActive() == 1);
  REQUIRE(cluster.Propose(1, "a").ok());
  REQUIRE(cluster.world().Run(cluster.program(1).env(), Damage(&cluster.program(1).kv(), 1)).ok());
  cluster.node(1).StopGracefully();
  cluster.Start(1);
  REQUIRE(cluster.Until([&] { return cluster.node(1).state() == SimNode::State::kFailed; }));
  CHECK(absl::IsDataLoss(cluster.node(1).start_status()));
}

TEST_CASE("RaftQuorum: who was the only voter knows so, whatever name it was configured with") {
  QuorumCluster cluster(1);
  cluster.connected = true;
  std::optional<bool> alone;
  cluster.tune = [&](RaftQuorumOptions& options) {
    options.endpoints = {{"CONTROLLER", QuorumHost(1), kQuorumPort}};
    options.bootstrap = {{"another-name-of-it", kQuorumPort}};
    options.static_voters = raft::VoterSet();
    options.initial_voters =
        raft::VoterSet().With(BrokerId(1), raft::Voter{options.directory, options.endpoints});
    options.alone = alone.value_or(false);
    options.remember_alone = [&](bool now) -> Task<absl::Status> {
      return Note(&alone.emplace(), now);
    };
  };
  cluster.Start(1);
  REQUIRE(cluster.WaitForActive() == 1);
  CHECK(alone == true);
  REQUIRE(cluster.Propose(1, "a").ok());
  REQUIRE(cluster.world().Run(cluster.program(1).env(), Damage(&cluster.program(1).kv(), 1)).ok());
  cluster.node(1).StopGracefully();
  cluster.Start(1);
  REQUIRE(cluster.Until([&] { return cluster.node(1).state() == SimNode::State::kFailed; }));
  CHECK(absl::IsDataLoss(cluster.node(1).start_status()));
}

TEST_CASE("RaftQuorum: a voter with a damaged log comes back as another replica and votes again") {
  QuorumCluster cluster(3);
  cluster.StartAll();
  const int active = cluster.WaitForActive();
  for (const char* name : {"a", "b", "c"}) REQUIRE(cluster.Propose(active, name).ok());
  REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
  const int victim = active % 3 + 1;
  const raft::ReplicaKey before = cluster.quorum(victim).self();
  REQUIRE(cluster.world()
              .Run(cluster.program(victim).env(), Damage(&cluster.program(victim).kv(), 2))
              .ok());
  cluster.node(victim).PowerLoss();
  cluster.Start(victim);
  REQUIRE(cluster.Until([&] { return cluster.Runs(victim); }));
  const raft::ReplicaKey after = cluster.quorum(victim).self();
  CHECK(after.directory != before.directory);
  REQUIRE(cluster.Until([&] {
    const auto leads = cluster.Active();
    return leads.has_value() && cluster.quorum(*leads).core().voters().Contains(after) &&
           cluster.quorum(*leads).core().voters().size() == 3 && cluster.Converged();
  }));
  // It keeps its new identity.
  cluster.node(victim).PowerLoss();
  cluster.Start(victim);
  REQUIRE(cluster.Until([&] { return cluster.Runs(victim) && cluster.Converged(); }));
  CHECK(cluster.quorum(victim).self() == after);
}

TEST_CASE("RaftQuorum: a controller whose store was removed does not come back as who it was") {
  QuorumCluster cluster(3);
  cluster.StartAll();
  const int active = cluster.WaitForActive();
  REQUIRE(cluster.Propose(active, "a").ok());
  REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
  const int victim = active % 3 + 1;
  const raft::ReplicaKey before = cluster.quorum(victim).self();
  cluster.node(victim).PowerLoss();
  cluster.node(victim).disk().Wipe();
  cluster.tune = [&](RaftQuorumOptions& options) {
    options.had_store = options.node_id == BrokerId(victim);
  };
  cluster.Start(victim);
  REQUIRE(cluster.Until([&] { return cluster.Runs(victim) && cluster.Converged(); }));
  const raft::ReplicaKey after = cluster.quorum(victim).self();
  CHECK(after.directory != before.directory);
  REQUIRE(cluster.Until([&] {
    const auto leads = cluster.Active();
    return leads.has_value() && cluster.quorum(*leads).core().voters().Contains(after);
  }));
}

TEST_CASE("RaftQuorum: a lone controller whose store was removed does not begin anew") {
  QuorumCluster cluster(1);
  cluster.tune = [](RaftQuorumOptions& options) { options.had_store = true; };
  cluster.Start(1);
  REQUIRE(cluster.Until([&] { return cluster.node(1).state() == SimNode::State::kFailed; }));
  CHECK(absl::IsDataLoss(cluster.node(1).start_status()));
}

TEST_CASE("RaftQuorum: damaged stores stay as they are until a leader was heard") {
  QuorumCluster cluster(3);
  cluster.StartAll();
  const int active = cluster.WaitForActive();
  REQUIRE(cluster.Propose(active, "a").ok());
  REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
  std::map<int, std::vector<KvEntry>> before;
  const auto log_of = [&](int id) {
    auto all = cluster.world().Run(
        cluster.program(id).env(),
        cluster.program(id).kv().ScanAll({KvSpace::kRaftLog, "", std::nullopt}));
    REQUIRE(all.ok());
    return *all;
  };
  for (int id = 1; id <= 3; ++id) {
    REQUIRE(
        cluster.world().Run(cluster.program(id).env(), Damage(&cluster.program(id).kv(), 1)).ok());
    before[id] = log_of(id);
    cluster.node(id).PowerLoss();
  }
  cluster.StartAll();
  cluster.world().RunFor(seconds(60));
  CHECK(!cluster.Active().has_value());
  for (int id = 1; id <= 3; ++id) {
    REQUIRE(cluster.Runs(id));
    const std::vector<KvEntry> now = log_of(id);
    REQUIRE(now.size() == before[id].size());
    for (size_t i = 0; i < now.size(); ++i) CHECK(now[i].value == before[id][i].value);
  }
}

TEST_CASE("RaftQuorum: the leader's disk hangs, and another leads") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    QuorumCluster cluster(3, 0, seed);
    cluster.StartAll();
    const int active = cluster.WaitForActive();
    REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
    SimDiskOptions& disk = cluster.node(active).disk().options();
    const SimDiskOptions healthy = disk;
    disk.latency_min = disk.latency_max = disk.sync_latency_max = seconds(30);
    const auto outcome = cluster.Propose(active, "a");
    CHECK(KindOf(outcome.status()) == ErrorKind::kNotController);
    REQUIRE(cluster.Until(
        [&] { return cluster.Active().has_value() && *cluster.Active() != active; }, seconds(1)));
    REQUIRE(cluster.Propose(*cluster.Active(), "b").ok());
    disk = healthy;
    REQUIRE(cluster.Until([&] { return cluster.Converged(); }, seconds(60)));
    CHECK(cluster.program(active).state().image()->topics().size() == 2);
  }
}

TEST_CASE("RaftQuorum: a store that turns out to be damaged is remembered for the next start") {
  QuorumCluster cluster(1);
  bool rotten = false;
  bool remembered = false;
  cluster.tune = [&](RaftQuorumOptions& options) {
    options.remember_damage = [&]() -> Task<absl::Status> { return Note(&remembered); };
  };
  cluster.wrap_store = [&](std::unique_ptr<KvStore> kv) -> std::unique_ptr<KvStore> {
    return std::make_unique<RottenKvStore>(std::move(kv), &rotten);
  };
  cluster.Start(1);
  REQUIRE(cluster.WaitForActive() == 1);
  rotten = true;
  CHECK(absl::IsDataLoss(cluster.Propose(1, "a").status()));
  CHECK(remembered);
}
