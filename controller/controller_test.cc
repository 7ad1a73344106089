#include "controller/controller.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/error_kind.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "common/runtime/task_scope.h"

namespace millrace {
namespace {

// Commits after two milliseconds, or not at all.
class SlowLog final : public MetadataLog {
 public:
  SlowLog(Env& env, MetadataState& state) : env_(env), state_(state) {}

  Task<absl::StatusOr<RaftIndex>> Propose(std::vector<MetadataRecord> records) override {
    co_await Sleep(env_.reactor, milliseconds(2));
    if (entries.size() >= entries_max) term.reset();
    if (!term.has_value()) {
      co_return MakeError(ErrorKind::kNotController, "no longer the active controller");
    }
    entries.push_back(records.size());
    MetadataEntry entry{*term, Timestamp(0), std::move(records)};
    absl::Status applied = state_.OnCommitted(next_index(), entry);
    if (!applied.ok()) co_return applied;
    co_return RaftIndex(static_cast<int64_t>(entries.size()));
  }
  std::optional<RaftTerm> leading_term() const override { return term; }
  RaftIndex next_index() const override {
    return RaftIndex(static_cast<int64_t>(entries.size()) + 1);
  }

  std::optional<RaftTerm> term = RaftTerm(1);
  std::vector<size_t> entries;    // How many records each has.
  size_t entries_max = SIZE_MAX;  // Behind these the leadership is lost.

 private:
  Env& env_;
  MetadataState& state_;
};

class CountingProber final : public BrokerProber {
 public:
  void Probe(BrokerId id) override { probed.push_back(id); }
  std::vector<BrokerId> probed;
};

BrokerRegistration Registration(int32_t id, uint64_t incarnation, bool caught_up = true) {
  BrokerRegistration request{BrokerId(id),
                             IncarnationId(1, incarnation),
                             "cluster",
                             {{"PLAINTEXT", "host", 9092, "PLAINTEXT"}}};
  request.log_directories = {
      {DirectoryId(1000, static_cast<uint64_t>(id)), /*online=*/true, /*replayed=*/true}};
  request.features = AnnouncedFeatures();
  request.caught_up = caught_up;
  return request;
}

std::vector<CreateTopicRequest> Topic(std::string name, int32_t partitions, int32_t factor) {
  CreateTopicRequest request;
  request.name = std::move(name);
  request.partitions = partitions;
  request.replication_factor = factor;
  return {request};
}

ControllerOptions Options() {
  ControllerOptions options;
  options.cluster_id = "cluster";
  options.balance_leaders = false;
  return options;
}

struct Active {
  explicit Active(ControllerOptions options = Options())
      : node(world.AddNode("n1")),
        env(node.Boot()),
        log(env, state),
        controller(env, std::move(options), log, state) {
    controller.Attach(prober);
    controller.Start();
    controller.OnLeadership(log.term);
    Run(Pause(milliseconds(10))).IgnoreError();  // It finalises features first.
  }
  ~Active() { world.Run(env, StopTask(this)).IgnoreError(); }

  static Task<absl::Status> StopTask(Active* self) {
    co_await self->controller.Stop();
    co_return absl::OkStatus();
  }
  Task<absl::Status> Pause(Duration duration) {
    co_await Sleep(env.reactor, duration);
    co_return absl::OkStatus();
  }
  absl::Status Run(Task<absl::Status> task) { return world.Run(env, std::move(task)); }
  template <typename T>
  absl::StatusOr<T> Ask(Task<absl::StatusOr<T>> task) {
    return world.Run(env, std::move(task));
  }
  void Register(int32_t id, uint64_t incarnation = 1) {
    REQUIRE(Ask(controller.RegisterBroker(Registration(id, incarnation))).ok());
  }
  void Kill(int32_t id) {
    controller.OnBrokerStreamBroke(BrokerId(id), Broker(id).epoch);
    controller.OnEvidence({EvidenceKind::kDialRefused, BrokerId(id)});
    REQUIRE(Run(Pause(milliseconds(60))).ok());
  }
  void Beat(int32_t id, bool full = false) {
    BrokerHeartbeat beat{BrokerId(id), Broker(id).epoch, RaftIndex(100)};
    if (full) beat.full_directories = {DirectoryId(1000, static_cast<uint64_t>(id))};
    REQUIRE(Ask(controller.Heartbeat(beat)).ok());
  }
  const BrokerImage& Broker(int32_t id) { return *state.image()->FindBroker(BrokerId(id)); }
  const PartitionImage& Partition(const std::string& topic, int32_t id) {
    return *state.image()->FindTopic(topic)->Find(PartitionId(id));
  }

  static Task<void> Create(Active* self, std::string name, std::vector<absl::Status>* statuses) {
    auto replies = co_await self->controller.CreateTopics(Topic(std::move(name), 1, 1), false);
    statuses->push_back(replies.ok() ? replies->front().status : replies.status());
  }
  static Task<absl::Status> CreateAll(Active* self, std::vector<std::string> names,
                                      std::vector<absl::Status>* statuses) {
    TaskScope scope(self->env.reactor);
    for (std::string& name : names) scope.Spawn(Create(self, std::move(name), statuses));
    co_await scope.Join();
    co_return absl::OkStatus();
  }

  SimWorld world{1};
  SimNode& node;
  Env& env;
  MetadataState state;
  SlowLog log;
  CountingProber prober;
  Controller controller;
};

}  // namespace

TEST_CASE("Controller: a new cluster finalises its features once, before anything else") {
  Active active;
  CHECK(active.state.image()->feature_level(kMetadataVersion) == kMetadataVersionLatest);
  CHECK(active.state.image()->feature_level(kElrVersion) == 1);
  CHECK(active.state.image()->broker_defaults().at("min.insync.replicas") == "1");
  const size_t entries = active.log.entries.size();
  active.controller.OnLeadership(std::nullopt);
  active.controller.OnLeadership(RaftTerm(2));
  CHECK(active.Run(active.Pause(milliseconds(10))).ok());
  CHECK(active.log.entries.size() == entries);
}

TEST_CASE("Controller: who waits together is decided in one turn and committed as one entry") {
  Active active;
  active.Register(1);
  const size_t before = active.log.entries.size();
  std::vector<std::string> names;
  for (int i = 0; i < 500; ++i) names.push_back(fmt::format("topic{}", i));
  names.emplace_back("topic7");  // Of two that ask for one name the second sees the first.
  std::vector<absl::Status> statuses;
  REQUIRE(active.Run(Active::CreateAll(&active, names, &statuses)).ok());
  CHECK(statuses.size() == names.size());
  CHECK(std::ranges::count_if(statuses, [](const absl::Status& s) { return s.ok(); }) == 500);
  CHECK(std::ranges::count_if(statuses, [](const absl::Status& s) {
          return KindOf(s) == ErrorKind::kTopicAlreadyExists;
        }) == 1);
  CHECK(active.log.entries.size() - before <= 3);
  CHECK(active.state.image()->topics().size() == 500);
}

TEST_CASE("Controller: registrations that wait together have epochs of their own") {
  Active active;
  active.Register(1);
  active.Register(2);
  const BrokerEpoch first = active.Broker(1).epoch;
  active.controller.OnBrokerStreamBroke(BrokerId(1), first);
  active.Register(1, 2);
  CHECK(active.Broker(1).epoch > active.Broker(2).epoch);
  CHECK(active.Broker(2).epoch > first);
  // The same incarnation again: nothing changes.
  const size_t entries = active.log.entries.size();
  auto again = active.Ask(active.controller.RegisterBroker(Registration(1, 2)));
  REQUIRE(again.ok());
  CHECK(again->epoch == active.Broker(1).epoch);
  CHECK(active.log.entries.size() == entries);
  auto other = active.Ask(active.controller.RegisterBroker(Registration(1, 3)));
  CHECK(KindOf(other.status()) == ErrorKind::kDuplicateBrokerRegistration);
}

TEST_CASE("Controller: what is decided on another node, or lost on the way, is kNotController") {
  Active active;
  active.Register(1);
  std::vector<absl::Status> statuses;
  active.world.After(milliseconds(1), [&] { active.log.term.reset(); });
  REQUIRE(active.Run(Active::CreateAll(&active, {"a", "b"}, &statuses)).ok());
  REQUIRE(active.Run(Active::CreateAll(&active, {"c"}, &statuses)).ok());
  for (const absl::Status& status : statuses) {
    CHECK(KindOf(status) == ErrorKind::kNotController);
  }
  CHECK(active.state.image()->topics().empty());
}

TEST_CASE("Controller: a broker that is killed is fenced, its leaders move, all within 60 ms") {
  Active active;
  active.Register(1);
  active.Register(2);
  REQUIRE(active.Ask(active.controller.CreateTopics(Topic("t", 10, 2), false)).ok());
  active.Kill(1);
  CHECK(active.prober.probed == std::vector<BrokerId>{BrokerId(1)});
  CHECK(active.Broker(1).fenced);
  for (const PartitionImage& partition : active.state.image()->FindTopic("t")->partitions) {
    CHECK(partition.leader == BrokerId(2));
  }
}

TEST_CASE("Controller: a silent broker is fenced after its session time-out, a beating one never") {
  Active active;
  active.Register(1);
  active.Register(2);
  for (int i = 0; i < 8; ++i) {
    REQUIRE(active.Run(active.Pause(milliseconds(500))).ok());
    BrokerHeartbeat beat{BrokerId(2), active.Broker(2).epoch, RaftIndex(100)};
    REQUIRE(active.Ask(active.controller.Heartbeat(beat)).ok());
    if (i < 5) CHECK_FALSE(active.Broker(1).fenced);
  }
  CHECK(active.Broker(1).fenced);
  CHECK_FALSE(active.Broker(2).fenced);
}

TEST_CASE("Controller: a fenced broker serves when it has caught up, and leads what it may") {
  Active active;
  auto registered =
      active.Ask(active.controller.RegisterBroker(Registration(1, 1, /*caught_up=*/false)));
  REQUIRE(registered.ok());
  CHECK(registered->fenced);
  BrokerHeartbeat beat{BrokerId(1), registered->epoch, RaftIndex(0)};
  auto behind = active.Ask(active.controller.Heartbeat(beat));
  REQUIRE(behind.ok());
  CHECK(behind->fenced);
  beat.metadata_index = *active.state.image()->index();
  auto caught_up = active.Ask(active.controller.Heartbeat(beat));
  REQUIRE(caught_up.ok());
  CHECK_FALSE(caught_up->fenced);
  CHECK_FALSE(active.Broker(1).fenced);
  beat.epoch = BrokerEpoch(beat.epoch.value() - 1);
  CHECK(KindOf(active.Ask(active.controller.Heartbeat(beat)).status()) ==
        ErrorKind::kStaleBrokerEpoch);
}

TEST_CASE(
    "Controller: leaderships leave a full directory once, and what is full is heard anew in a "
    "term") {
  Active active;
  active.Register(1);
  active.Register(2);
  REQUIRE(active.Ask(active.controller.CreateTopics(Topic("t", 2, 2), false)).ok());
  active.Beat(2);
  active.Beat(1, /*full=*/true);
  for (int32_t p = 0; p < 2; ++p) {
    CHECK(active.Partition("t", p).leader == BrokerId(2));
    CHECK(active.Partition("t", p).isr.size() == 1);
  }
  const size_t entries = active.log.entries.size();
  for (int i = 0; i < 3; ++i) {
    active.Beat(1, /*full=*/true);
    active.Beat(2);
  }
  active.Beat(1);
  CHECK(active.log.entries.size() == entries);

  // That 1 was full is not known in another term: it may join at once.
  active.controller.OnLeadership(std::nullopt);
  active.log.term = RaftTerm(2);
  active.controller.OnLeadership(active.log.term);
  active.Beat(1);
  const PartitionImage& partition = active.Partition("t", 0);
  IsrChange change{{active.state.image()->FindTopic("t")->topic_id, PartitionId(0)},
                   partition.leader_epoch,
                   partition.partition_epoch,
                   {{BrokerId(1), std::nullopt}, {BrokerId(2), std::nullopt}}};
  auto joined = active.Ask(
      active.controller.AlterPartition({BrokerId(2), active.Broker(2).epoch, {std::move(change)}}));
  REQUIRE(joined.ok());
  CHECK(joined->front().status.ok());
}

TEST_CASE(
    "Heartbeat: what full directories ask for is looked for again when something has changed") {
  Active active;
  active.Register(1);
  active.Register(2);
  REQUIRE(active.Ask(active.controller.CreateTopics(Topic("t", 1, 2), false)).ok());
  const std::shared_ptr<const MetadataImage> image = active.state.image();
  const BrokerId leader = *active.Partition("t", 0).leader;
  const BrokerId other(3 - leader.value());
  BrokerHeartbeat beat{leader, active.Broker(leader.value()).epoch, RaftIndex(100)};
  beat.full_directories = {DirectoryId(1000, static_cast<uint64_t>(leader.value()))};
  DirectoryGrades grades;
  (void)grades.Hear(other, {}, {}, Instant(0));
  (void)grades.Hear(leader, beat.full_directories, {}, Instant(0));
  const auto found = [&](const MetadataImage& in) {
    return DecideHeartbeat(in, {}, grades, beat, std::nullopt, std::nullopt).records.size();
  };
  CHECK(found(*image) == 1);
  grades.Settle(leader, *image->index());
  CHECK(found(*image) == 0);
  (void)grades.Hear(leader, beat.full_directories, {}, Instant(1));  // No news.
  CHECK(found(*image) == 0);
  REQUIRE(active.Ask(active.controller.CreateTopics(Topic("u", 1, 1), false)).ok());
  CHECK(found(*active.state.image()) > 0);
  const std::vector slow = {DirectoryId(1000, static_cast<uint64_t>(other.value()))};
  (void)grades.Hear(other, {}, slow, Instant(2));
  CHECK(found(*image) == 1);
}

TEST_CASE("Controller: leaderships go back to preferred leaders by themselves") {
  ControllerOptions options = Options();
  options.balance_leaders = true;
  options.balance_interval = seconds(1);
  Active active(options);
  active.Register(1);
  active.Register(2);
  REQUIRE(active.Ask(active.controller.CreateTopics(Topic("t", 2, 2), false)).ok());
  active.Kill(1);
  active.Register(1, 2);
  for (int32_t p = 0; p < 2; ++p) {
    const PartitionImage& partition = active.Partition("t", p);
    REQUIRE(partition.leader == BrokerId(2));
    IsrChange change{{active.state.image()->FindTopic("t")->topic_id, PartitionId(p)},
                     partition.leader_epoch,
                     partition.partition_epoch,
                     {{BrokerId(1), std::nullopt}, {BrokerId(2), std::nullopt}}};
    REQUIRE(active
                .Ask(active.controller.AlterPartition(
                    {BrokerId(2), active.Broker(2).epoch, {std::move(change)}}))
                .ok());
  }
  active.Beat(1);
  REQUIRE(active.Run(active.Pause(milliseconds(1100))).ok());
  for (int32_t p = 0; p < 2; ++p) {
    CHECK(active.Partition("t", p).leader == active.Partition("t", p).replicas.front());
  }
}

TEST_CASE("Controller: a partition is led uncleanly soon after its topic allows it") {
  ControllerOptions options = Options();
  options.unclean_interval = seconds(1);
  Active active(options);
  active.Register(1);
  active.Register(2);
  REQUIRE(active.Ask(active.controller.CreateTopics(Topic("t", 1, 2), false)).ok());
  const BrokerId first = *active.Partition("t", 0).leader;
  const BrokerId second(first == BrokerId(1) ? 2 : 1);
  active.Kill(second.value());
  active.Kill(first.value());
  active.Register(second.value(), 2);
  REQUIRE(active.Run(active.Pause(milliseconds(1100))).ok());
  CHECK_FALSE(active.Partition("t", 0).leader.has_value());
  REQUIRE(active
              .Run(active.controller.Commit([](const MetadataImage&) {
                MetadataRecords records;
                records.emplace_back(ConfigRecord{ConfigResource::kTopic, "t",
                                                  "unclean.leader.election.enable", "true"});
                return records;
              }))
              .ok());
  REQUIRE(active.Run(active.Pause(milliseconds(1100))).ok());
  CHECK(active.Partition("t", 0).leader == second);
}

TEST_CASE("Controller: blocks of producer ids never overlap") {
  Active active;
  active.Register(1);
  const auto ask = [&] {
    return active.Ask(active.controller.AllocateProducerIds(BrokerId(1), active.Broker(1).epoch));
  };
  auto first = ask();
  auto second = ask();
  REQUIRE(first.ok());
  REQUIRE(second.ok());
  CHECK(second->first == first->first + first->size);
}

TEST_CASE("Controller: only the incarnation that is registered gets producer ids") {
  Active active;
  active.Register(1);
  const BrokerEpoch former = active.Broker(1).epoch;
  active.controller.OnBrokerStreamBroke(BrokerId(1), former);
  active.Register(1, 2);
  const int64_t next = active.state.image()->next_producer_id();
  const auto refusal = [&](int32_t id, BrokerEpoch epoch) {
    return KindOf(active.Ask(active.controller.AllocateProducerIds(BrokerId(id), epoch)).status());
  };
  CHECK(refusal(1, former) == ErrorKind::kStaleBrokerEpoch);
  CHECK(refusal(1, BrokerEpoch(-1)) == ErrorKind::kStaleBrokerEpoch);
  CHECK(refusal(2, former) == ErrorKind::kStaleBrokerEpoch);
  CHECK(active.state.image()->next_producer_id() == next);
}

namespace {

ConfigRecord LargeConfig(size_t bytes) {
  return {ConfigResource::kTopic, "a", "k", std::string(bytes, 'v')};
}

Task<void> CommitLarge(Active* active, size_t bytes, absl::Status* status) {
  // `bytes` lives in this frame until the decision was made.
  *status = co_await active->controller.Commit([&bytes](const MetadataImage&) {
    MetadataRecords records;
    records.emplace_back(LargeConfig(bytes));
    return records;
  });
}

Task<absl::Status> LargeAmongOthers(Active* active, size_t bytes, absl::Status* large,
                                    std::vector<absl::Status>* others) {
  TaskScope scope(active->env.reactor);
  scope.Spawn(Active::Create(active, "a", others));
  co_await Sleep(active->env.reactor, milliseconds(1));
  scope.Spawn(Active::Create(active, "b", others));  // While the entry of "a" is being committed.
  scope.Spawn(CommitLarge(active, bytes, large));
  scope.Spawn(Active::Create(active, "c", others));
  co_await scope.Join();
  co_return absl::OkStatus();
}

}  // namespace

TEST_CASE("Controller: a decision that fits into no entry is refused, and nobody else's") {
  ControllerOptions options = Options();
  options.entry_bytes_max = 100'000;
  Active active(options);
  active.Register(1);
  absl::Status large;
  std::vector<absl::Status> others;
  REQUIRE(active.Run(LargeAmongOthers(&active, 100'000, &large, &others)).ok());
  CHECK(KindOf(large) == ErrorKind::kPolicyViolation);
  REQUIRE(others.size() == 3);
  for (const absl::Status& status : others) CHECK(status.ok());
  CHECK(active.state.image()->topics().size() == 3);
  CHECK(active.state.image()->FindTopic("a")->configs.empty());
}

TEST_CASE("Controller: a turn that is larger than an entry is committed in several") {
  ControllerOptions options = Options();
  options.entry_bytes_max = 100'000;
  Active active(options);
  active.Register(1);
  const size_t before = active.log.entries.size();
  absl::Status large;
  std::vector<absl::Status> others;
  REQUIRE(active.Run(LargeAmongOthers(&active, 99'900, &large, &others)).ok());
  CHECK(large.ok());
  for (const absl::Status& status : others) CHECK(status.ok());
  CHECK(active.state.image()->FindTopic("a")->configs.at("k").size() == 99'900);
  // "a"; "b"; what is large alone, which ends that turn; "c".
  CHECK(active.log.entries.size() - before == 4);
}

TEST_CASE(
    "Controller: an answer is about the entries behind one's decision, not about later ones") {
  ControllerOptions options = Options();
  options.entry_bytes_max = 100'000;
  Active active(options);
  active.Register(1);
  active.log.entries_max = active.log.entries.size() + 2;  // "a", then "b"; not what is large.
  absl::Status large;
  std::vector<absl::Status> others;
  REQUIRE(active.Run(LargeAmongOthers(&active, 99'900, &large, &others)).ok());
  CHECK(KindOf(large) == ErrorKind::kNotController);
  CHECK(active.state.image()->topics().size() == 2);
  REQUIRE(others.size() == 3);
  CHECK(std::ranges::count_if(others, [](const absl::Status& one) { return one.ok(); }) == 2);
}

namespace {

Task<void> RegisterSecond(Active* active, absl::StatusOr<RegisteredBroker>* registered) {
  *registered = co_await active->controller.RegisterBroker(Registration(2, 1));
}

Task<absl::Status> RegisterBehindOthers(Active* active, std::vector<absl::Status>* others,
                                        absl::StatusOr<RegisteredBroker>* registered) {
  TaskScope scope(active->env.reactor);
  scope.Spawn(Active::Create(active, "a", others));
  co_await Sleep(active->env.reactor, milliseconds(1));
  scope.Spawn(Active::Create(active, "b", others));
  scope.Spawn(RegisterSecond(active, registered));
  co_await scope.Join();
  co_return absl::OkStatus();
}

}  // namespace

TEST_CASE("Controller: a broker's epoch is the index of the entry that registers it") {
  Active active;
  active.Register(1);
  std::vector<absl::Status> others;
  absl::StatusOr<RegisteredBroker> registered = absl::UnknownError("");
  REQUIRE(active.Run(RegisterBehindOthers(&active, &others, &registered)).ok());
  REQUIRE(registered.ok());
  const RaftIndex last(static_cast<int64_t>(active.log.entries.size()));
  CHECK(registered->epoch.value() == last.value());
  CHECK(active.Broker(2).epoch == registered->epoch);
}

}  // namespace millrace
