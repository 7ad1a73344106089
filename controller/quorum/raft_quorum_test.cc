#include "controller/quorum/raft_quorum.h"

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "common/error_kind.h"
#include "test/sim/quorum_cluster.h"

using namespace millrace;
using namespace millrace::simtest;

TEST_CASE("RaftQuorum: a quorum of one leads at once, in a term of its own at every start (P29)") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    QuorumCluster cluster(1, 0, seed);
    RaftTerm last(0);
    size_t topics = 0;
    for (int run = 1; run <= 4; ++run) {
      cluster.Start(1);
      REQUIRE(cluster.Until([&] { return cluster.Active() == 1; }, milliseconds(500)));
      CHECK(*cluster.quorum(1).leading_term() > last);
      last = *cluster.quorum(1).leading_term();
      CHECK(cluster.program(1).state().image()->topics().size() == topics);
      for (const char* name : {"a", "b"}) {
        const RaftIndex next = cluster.quorum(1).next_index();
        const auto index = cluster.Propose(1, fmt::format("{}{}", name, run));
        REQUIRE(index.ok());
        CHECK(*index == next);
        CHECK(cluster.program(1).state().image()->topics().size() == ++topics);
      }
      if (run % 2 == 0) {
        cluster.node(1).StopGracefully();
      } else {
        cluster.node(1).PowerLoss();
      }
    }
  }
}

TEST_CASE("RaftQuorum: whoever removes the active controller is told that it was removed") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    QuorumCluster cluster(3, 0, seed);
    cluster.StartAll();
    const int active = cluster.WaitForActive();
    // A dynamic quorum knows all directories; a static one learns them in its first term.
    REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
    REQUIRE(cluster.Propose(active, "a").ok());
    const raft::ReplicaKey self = cluster.quorum(active).self();
    const absl::Status removed = cluster.world().Run(
        cluster.program(active).env(),
        cluster.quorum(active).RemoveVoter(self, cluster.world().Now() + seconds(5)));
    CHECK(removed == absl::OkStatus());
    REQUIRE(cluster.Until([&] {
      const std::optional<int> next = cluster.Active();
      return next.has_value() && next != active;
    }));
    CHECK_FALSE(cluster.quorum(*cluster.Active()).core().voters().Contains(self));
  }
}

TEST_CASE("RaftQuorum: controllers of two clusters do not become one (P32)") {
  QuorumCluster cluster(2);
  cluster.tune = [](RaftQuorumOptions& options) {
    if (options.node_id == BrokerId(2)) options.cluster_id = "another";
  };
  cluster.StartAll();
  cluster.world().RunFor(seconds(20));
  CHECK(cluster.Runs(1));
  CHECK(cluster.Runs(2));
  CHECK(!cluster.Active().has_value());
}

TEST_CASE("RaftQuorum: what it was formatted with must be good, but for an empty store only") {
  QuorumCluster cluster(1);
  const auto spoil = [](RaftQuorumOptions& options) {
    options.first_start = absl::FailedPreconditionError("bootstrap.properties: line 3");
  };
  cluster.tune = spoil;
  cluster.Start(1);
  REQUIRE(cluster.Until([&] { return cluster.node(1).state() == SimNode::State::kFailed; }));
  CHECK(cluster.node(1).start_status().message() == "bootstrap.properties: line 3");
  cluster.node(1).Kill();
  cluster.tune = nullptr;
  cluster.Start(1);
  REQUIRE(cluster.WaitForActive() == 1);
  cluster.node(1).StopGracefully();
  cluster.tune = spoil;
  cluster.Start(1);
  CHECK(cluster.WaitForActive() == 1);
}

TEST_CASE("RaftQuorum: voters that were formatted elect without being named again") {
  QuorumCluster cluster(3);
  raft::VoterSet formatted = StaticVoters(3);
  for (int id = 1; id <= 3; ++id) {
    raft::Voter voter = *formatted.Find(BrokerId(id));
    voter.directory = DirectoryId(1, static_cast<uint64_t>(id));
    formatted = formatted.With(BrokerId(id), voter);
  }
  bool first = true;
  cluster.tune = [&](RaftQuorumOptions& options) {
    options.static_voters = raft::VoterSet();
    options.initial_voters = formatted;
    // History, once the log names them.
    if (!first) options.bootstrap = {{QuorumHost(1), kQuorumPort}};
    if (!first) options.initial_voters = raft::VoterSet();
  };
  cluster.StartAll();
  REQUIRE(cluster.Propose(cluster.WaitForActive(), "a").ok());
  REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
  for (int id = 1; id <= 3; ++id) cluster.node(id).PowerLoss();
  first = false;
  cluster.StartAll();
  REQUIRE(cluster.Propose(cluster.WaitForActive(), "b").ok());
  REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
  CHECK(cluster.quorum(1).core().voters().size() == 3);
}

TEST_CASE("RaftQuorum: an entry that does not fit ends everything, and is told") {
  QuorumCluster cluster(1);
  cluster.Start(1);
  REQUIRE(cluster.WaitForActive() == 1);
  REQUIRE(cluster.Propose(1, "a").ok());
  CHECK(absl::IsDataLoss(cluster.Propose(1, "a").status()));
  CHECK(!cluster.quorum(1).leading_term().has_value());
  CHECK(absl::IsDataLoss(cluster.program(1).failure()));
}

TEST_CASE("RaftQuorum: three commit together; followers refuse proposals") {
  QuorumCluster cluster(3);
  cluster.StartAll();
  const int active = cluster.WaitForActive();
  REQUIRE(cluster.Propose(active, "a").ok());
  const int other = active % 3 + 1;
  CHECK(KindOf(cluster.Propose(other, "b").status()) == ErrorKind::kNotController);
  REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
  CHECK(cluster.quorum(other).leader() == BrokerId(active));
  CHECK(cluster.quorum(other).EndpointsOf(BrokerId(active)).front().host == QuorumHost(active));
  cluster.world().RunFor(seconds(2));
  const QuorumStatus status = cluster.quorum(active).Describe();
  CHECK(status.leader == BrokerId(active));
  REQUIRE(status.replicas.size() == 3);
  for (const QuorumReplica& replica : status.replicas) {
    CHECK(replica.log_end == status.high_watermark);
    CHECK(replica.last_fetch.has_value());
    CHECK(replica.last_caught_up.has_value());
  }
}

TEST_CASE("RaftQuorum: the loss of the active controller costs less than half a second") {
  std::vector<Duration> times;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    QuorumCluster cluster(3, 0, seed);
    cluster.StartAll();
    const int active = cluster.WaitForActive();
    REQUIRE(cluster.Propose(active, "a").ok());
    REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
    cluster.node(active).Kill();
    const Instant killed = cluster.world().Now();
    const int next = cluster.WaitForActive();
    times.push_back(cluster.world().Now() - killed);
    CHECK(next != active);
    CHECK(cluster.program(next).state().image()->FindTopic("a") != nullptr);
    REQUIRE(cluster.Propose(next, "b").ok());
    cluster.Start(active);
    REQUIRE(cluster.Until([&] { return cluster.Runs(active) && cluster.Converged(); }));
  }
  std::ranges::sort(times);
  const auto median = std::chrono::duration_cast<milliseconds>(times[times.size() / 2]);
  INFO("median " << median.count() << " ms, longest "
                 << std::chrono::duration_cast<milliseconds>(times.back()).count() << " ms");
  CHECK(median < milliseconds(250));
  CHECK(times.back() < milliseconds(2500));
}

TEST_CASE("RaftQuorum: a leader that stops hands over first") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    QuorumCluster cluster(3, 0, seed);
    cluster.StartAll();
    const int active = cluster.WaitForActive();
    REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
    const RaftTerm term = *cluster.quorum(active).leading_term();
    cluster.node(active).StopGracefully();
    // The successor was there before the process had ended, or is within a moment.
    REQUIRE(cluster.Until([&] { return cluster.Active().has_value(); }, milliseconds(100)));
    CHECK(*cluster.quorum(*cluster.Active()).leading_term() == RaftTerm(term.value() + 1));
  }
}

TEST_CASE("RaftQuorum: who comes late is given a snapshot, and snapshots hold up nobody") {
  QuorumCluster cluster(3);
  cluster.tune = [](RaftQuorumOptions& options) {
    options.snapshot_bytes = 500;
    options.entries_kept = 2;
  };
  cluster.StartAll();
  const int active = cluster.WaitForActive();
  const int late = active % 3 + 1;
  cluster.node(late).Kill();
  for (int i = 0; i < 60; ++i) REQUIRE(cluster.Propose(active, fmt::format("t{}", i)).ok());
  REQUIRE(cluster.Until(
      [&] { return cluster.quorum(active).core().log().start_index() > RaftIndex(20); }));
  cluster.Start(late);
  REQUIRE(cluster.Until([&] { return cluster.Runs(late) && cluster.Converged(); }));
  CHECK(cluster.program(late).state().image()->topics().size() == 60);
  // And all of them start from their snapshots.
  for (int id = 1; id <= 3; ++id) cluster.node(id).PowerLoss();
  cluster.StartAll();
  REQUIRE(cluster.Until([&] {
    return cluster.Runs(1) && cluster.Runs(2) && cluster.Runs(3) && cluster.Converged();
  }));
  CHECK(cluster.program(late).state().image()->topics().size() == 60);
}

TEST_CASE("RaftQuorum: a snapshot takes its time, and changes do not wait for it") {
  QuorumCluster cluster(1);
  cluster.tune = [](RaftQuorumOptions& options) {
    options.snapshot_bytes = 1;
    options.snapshot_bytes_per_second = 10;
  };
  cluster.Start(1);
  REQUIRE(cluster.WaitForActive() == 1);
  const auto snapshot = [&] { return cluster.quorum(1).core().log().snapshot().index; };
  const Instant began = cluster.world().Now();
  for (int i = 0; i < 20; ++i) REQUIRE(cluster.Propose(1, fmt::format("t{}", i)).ok());
  CHECK(cluster.world().Now() - began < seconds(1));
  CHECK(snapshot() == RaftIndex(0));
  // One topic is more than ten bytes.
  REQUIRE(cluster.Until([&] { return snapshot() > RaftIndex(0); }, seconds(60)));
  CHECK(cluster.world().Now() - began > seconds(1));
  CHECK(cluster.Propose(1, "last").ok());
}

TEST_CASE("RaftQuorum: an observer is added, leads, and is removed") {
  QuorumCluster cluster(2, 1);
  cluster.StartAll();
  const int active = cluster.WaitForActive();
  REQUIRE(cluster.Propose(active, "a").ok());
  REQUIRE(cluster.Until([&] { return cluster.Runs(3) && cluster.Converged(); }));
  RaftQuorum& quorum = cluster.quorum(active);
  Env& env = cluster.program(active).env();
  const Instant deadline = cluster.world().Now() + seconds(20);
  const raft::ReplicaKey observer = cluster.quorum(3).self();
  CHECK(absl::IsNotFound(cluster.world().Run(env, quorum.RemoveVoter(observer, deadline))));
  REQUIRE(cluster.world()
              .Run(env, quorum.AddVoter(observer, {{"CONTROLLER", QuorumHost(3), kQuorumPort}},
                                        deadline))
              .ok());
  CHECK(absl::IsAlreadyExists(cluster.world().Run(env, quorum.AddVoter(observer, {}, deadline))));
  REQUIRE(quorum.TransferLeadership(BrokerId(3)).ok());
  REQUIRE(cluster.Until([&] { return cluster.Active() == 3; }));
  const raft::ReplicaKey former = cluster.quorum(active).self();
  REQUIRE(cluster.world()
              .Run(cluster.program(3).env(), cluster.quorum(3).RemoveVoter(former, deadline))
              .ok());
  REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
  CHECK(cluster.quorum(3).core().voters().size() == 2);
}

TEST_CASE("RaftQuorum: a controller that is to join votes by itself, again when it was removed") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    QuorumCluster cluster(2, 1, seed);
    cluster.tune = [](RaftQuorumOptions& options) {
      const auto at = QuorumHost(options.node_id.value());
      options.endpoints = {{"CONTROLLER", at, kQuorumPort}};
      options.auto_join = true;  // Of voters it changes nothing.
    };
    cluster.StartAll();
    const auto votes = [&](const raft::ReplicaKey& key) {
      const std::optional<int> active = cluster.Active();
      if (!active.has_value()) return false;
      const raft::VoterSet& voters = cluster.quorum(*active).core().voters();
      return voters.size() == 3 && voters.Contains(key) && cluster.Converged();
    };
    REQUIRE(cluster.Until([&] { return cluster.Runs(3) && votes(cluster.quorum(3).self()); }));
    const raft::ReplicaKey first = cluster.quorum(3).self();
    int active = *cluster.Active();
    CHECK(cluster.quorum(active).EndpointsOf(BrokerId(3)).front().host == QuorumHost(3));

    // An operator removes it while it runs.
    const int leader = cluster.WaitForActive();
    REQUIRE(cluster.world()
                .Run(cluster.program(leader).env(),
                     cluster.quorum(leader).RemoveVoter(first, cluster.world().Now() + seconds(5)))
                .ok());
    CHECK(cluster.quorum(leader).core().voters().size() == 2);
    REQUIRE(cluster.Until([&] { return votes(first); }));

    // It loses its log: its former self goes, then it comes.
    active = cluster.WaitForActive();
    if (active == 3) {
      REQUIRE(cluster.quorum(3).TransferLeadership(BrokerId(1)).ok());
      REQUIRE(cluster.Until([&] { return cluster.Active() == 1 && cluster.Converged(); }));
      active = 1;
    }
    REQUIRE(cluster.Propose(active, "a").ok());
    REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
    REQUIRE(
        cluster.world().Run(cluster.program(3).env(), Damage(&cluster.program(3).kv(), 2)).ok());
    cluster.node(3).PowerLoss();
    const Instant lost = cluster.world().Now();
    cluster.Start(3);
    // A voter that may live is not removed: it was heard until now.
    REQUIRE(cluster.Until([&] {
      const std::optional<int> leads = cluster.Active();
      return leads.has_value() && !cluster.quorum(*leads).core().voters().Contains(first);
    }));
    CHECK(cluster.world().Now() - lost > milliseconds(1700));
    REQUIRE(cluster.Until([&] { return cluster.Runs(3) && votes(cluster.quorum(3).self()); }));
    CHECK(cluster.quorum(3).self().directory != first.directory);
    // What it was is forgotten; it leads like any other.
    REQUIRE(cluster.quorum(cluster.WaitForActive()).TransferLeadership(BrokerId(3)).ok());
    REQUIRE(cluster.Until([&] { return cluster.Active() == 3; }));
    REQUIRE(cluster.Propose(3, "b").ok());
  }
}

TEST_CASE(
    "RaftQuorum: a controller that is not to join stays an observer, and so does one nowhere") {
  const bool wants = GENERATE(true, false);
  CAPTURE(wants);
  QuorumCluster cluster(2, 1);
  cluster.tune = [&](RaftQuorumOptions& options) {
    options.auto_join = wants;  // Without endpoints it could not be reached.
    if (!wants) options.endpoints = {{"CONTROLLER", "somewhere", kQuorumPort}};
  };
  cluster.StartAll();
  (void)cluster.WaitForActive();
  REQUIRE(cluster.Until([&] { return cluster.Runs(3) && cluster.Converged(); }));
  cluster.world().RunFor(seconds(30));
  CHECK(cluster.quorum(cluster.WaitForActive()).core().voters().size() == 2);
}

TEST_CASE("RaftQuorum: the leader tells of observers: controllers without a vote, and who is fed") {
  QuorumCluster cluster(2, 1);
  cluster.StartAll();
  const int active = cluster.WaitForActive();
  REQUIRE(cluster.Until([&] { return cluster.Runs(3) && cluster.Converged(); }));
  for (int id : {1, 2, 3}) {
    const raft::ReplicaKey broker{BrokerId(7), DirectoryId(7, 7)};
    const raft::ReplicaKey double_told{BrokerId(3), DirectoryId(3, 3)};
    cluster.quorum(id).AlsoDescribe([=] {
      return std::vector<QuorumReplica>{{double_told, RaftIndex(1), std::nullopt, std::nullopt},
                                        {broker, RaftIndex(1), Timestamp(5), std::nullopt}};
    });
  }
  const QuorumStatus status = cluster.quorum(active).Describe();
  std::vector<raft::ReplicaKey> observers;
  for (const QuorumReplica& replica : status.replicas) {
    if (!status.voters.Contains(replica.key)) observers.push_back(replica.key);
  }
  CHECK(status.replicas.size() == 4);
  CHECK(observers ==
        std::vector<raft::ReplicaKey>{cluster.quorum(3).self(), {BrokerId(7), DirectoryId(7, 7)}});
  // Others do not know.
  CHECK(cluster.quorum(active % 2 + 1).Describe().replicas.empty());
}

TEST_CASE("RaftQuorum: proposals of a leader that is cut off fail, and so do those at a stop") {
  QuorumCluster cluster(3);
  cluster.StartAll();
  const int active = cluster.WaitForActive();
  REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
  for (int id = 1; id <= 3; ++id) {
    if (id != active) cluster.world().network().Cut(cluster.node(active), cluster.node(id));
  }
  const auto lost = cluster.Propose(active, "a");
  CHECK(KindOf(lost.status()) == ErrorKind::kNotController);
  REQUIRE(cluster.Until([&] {
    const auto next = cluster.Active();
    return next.has_value() && *next != active;
  }));
  cluster.world().network().HealAll();
  REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
  CHECK(cluster.program(active).state().image()->FindTopic("a") == nullptr);
}

TEST_CASE("RaftQuorumOptions: what does not fit together is refused") {
  const RaftQuorumOptions good = QuorumOptions(1, 3, DirectoryId(1, 1));
  CHECK(good.Validate().ok());
  const auto refused = [&](auto change) {
    RaftQuorumOptions options = good;
    change(options);
    return absl::IsInvalidArgument(options.Validate());
  };
  CHECK(refused([](auto& o) { o.cluster_id.clear(); }));
  CHECK(refused([](auto& o) { o.directory = DirectoryId(0, 0); }));
  CHECK(refused([](auto& o) { o.static_voters = {}; }));
  CHECK(refused([](auto& o) { o.initial_voters = o.static_voters; }));
  CHECK(refused([](auto& o) { o.heartbeat = milliseconds(1); }));
  CHECK(refused([](auto& o) { o.election_timeout = milliseconds(100); }));
  CHECK(refused([](auto& o) { o.entry_bytes_max = kControlMessageBytesMax; }));
}

TEST_CASE("RaftQuorum: tells when the connection with a replica broke, and when it is back") {
  std::vector<std::string> told;  // Until after the cluster's end.
  QuorumCluster cluster(3);
  cluster.StartAll();
  const int active = cluster.WaitForActive();
  REQUIRE(cluster.Until([&] { return cluster.Converged(); }));
  const int other = active % 3 + 1;
  const int third = other % 3 + 1;
  cluster.quorum(other).ObservePeers([&told](BrokerId peer, bool connected) {
    told.push_back(std::to_string(peer.value()) + (connected ? " back" : " lost"));
  });
  cluster.node(active).Kill();
  const Instant killed = cluster.world().Now();
  REQUIRE(cluster.Until([&] { return !told.empty(); }));
  CHECK(told == std::vector{std::to_string(active) + " lost"});
  CHECK(cluster.world().Now() - killed < milliseconds(100));
  cluster.Start(active);
  REQUIRE(cluster.Until([&] { return told.size() > 1; }));
  CHECK(told.back() == std::to_string(active) + " back");
  CHECK(std::ranges::find(told, std::to_string(third) + " lost") == told.end());
}
