#include "controller/single_node_quorum.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/bytes/endian.h"
#include "common/error_kind.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "common/runtime/task_scope.h"
#include "storage/kv_store_log.h"

namespace millrace {
namespace {

// Remembers what was applied: the topics' names by index.
struct Applied final : CommittedEntries {
  absl::Status OnCommitted(RaftIndex index, const MetadataEntry& entry) override {
    if (index == refused) return absl::DataLossError("does not fit");
    for (const MetadataRecord& record : entry.records) {
      story.push_back(fmt::format("{} {}", index, std::get<TopicRecord>(record).name));
    }
    terms.push_back(entry.term);
    return absl::OkStatus();
  }
  absl::Status OnSnapshot(RaftIndex, const std::vector<std::string>&) override {
    return absl::UnimplementedError("none is taken");
  }
  std::move_only_function<std::optional<std::string>()> TakeSnapshot() const override {
    return nullptr;
  }
  std::vector<std::string> story;
  std::vector<RaftTerm> terms;
  std::optional<RaftIndex> refused;
};

std::vector<MetadataRecord> Topic(const std::string& name) {
  return {TopicRecord{name, Uuid(1, std::hash<std::string>()(name))}};
}

// One voter and its disk, which outlives processes.
struct Voter {
  explicit Voter(uint64_t seed = 1) : world(seed), node(world.AddNode("n1")), env(&node.Boot()) {}

  static Task<absl::Status> StartTask(Voter* self) {
    auto kv = co_await LogKvStore::Open(*self->env, "/meta", {});
    if (!kv.ok()) co_return kv.status();
    self->kv = *std::move(kv);
    self->quorum =
        std::make_unique<SingleNodeQuorum>(*self->env, *self->kv, BrokerId(1), self->applied);
    co_return co_await self->quorum->Start();
  }
  static Task<absl::Status> StopTask(Voter* self) {
    if (self->quorum != nullptr) co_await self->quorum->Stop();
    self->quorum.reset();
    absl::Status closed;
    if (self->kv != nullptr) closed = co_await self->kv->Close();
    self->kv.reset();
    co_return closed;
  }
  absl::Status Start() {
    applied = Applied();
    return world.Run(*env, StartTask(this));
  }
  void Stop() { CHECK(world.Run(*env, StopTask(this)).ok()); }
  absl::StatusOr<RaftIndex> Propose(const std::string& name) {
    return world.Run(*env, quorum->Propose(Topic(name)));
  }
  absl::Status Write(KvBatch batch) {
    return world.Run(*env, kv->Write(std::move(batch), KvWriteOptions{.sync = true}));
  }
  // The power fails; what the old process still holds is let go on its own, dead machine.
  void PowerLoss() {
    node.PowerLoss();
    world.Run(*env, StopTask(this)).IgnoreError();
    env = &node.Boot();
  }

  SimWorld world;
  SimNode& node;
  Env* env;
  std::unique_ptr<LogKvStore> kv;
  Applied applied;
  std::unique_ptr<SingleNodeQuorum> quorum;
};

std::string Key(int64_t index) {
  std::string key(8, '\0');
  StoreBig<int64_t>(reinterpret_cast<uint8_t*>(key.data()), index);
  return key;
}

}  // namespace

TEST_CASE("SingleNodeQuorum: every start replays all entries and leads a term of its own (P29)") {
  Voter voter;
  std::vector<std::string> story;
  for (int64_t run = 1; run <= 4; ++run) {
    REQUIRE(voter.Start().ok());
    CHECK(voter.applied.story == story);
    CHECK(voter.quorum->leading_term() == RaftTerm(run));
    CHECK(voter.quorum->next_index() == RaftIndex(2 * run - 1));
    for (const char* name : {"a", "b"}) {
      auto index = voter.Propose(fmt::format("{}{}", name, run));
      REQUIRE(index.ok());
      story.push_back(fmt::format("{} {}{}", *index, name, run));
      CHECK(voter.applied.terms.back() == RaftTerm(run));
    }
    CHECK(voter.applied.story == story);
    voter.Stop();
  }
}

TEST_CASE("SingleNodeQuorum: what was committed survives power loss, and so does the term") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Voter voter(seed);
    std::vector<std::string> story;
    for (int64_t run = 1; run <= 3; ++run) {
      REQUIRE(voter.Start().ok());
      CHECK(voter.applied.story == story);
      CHECK(voter.quorum->leading_term() == RaftTerm(run));
      auto index = voter.Propose(fmt::format("t{}", run));
      REQUIRE(index.ok());
      story.push_back(fmt::format("{} t{}", *index, run));
      voter.PowerLoss();
    }
  }
}

TEST_CASE("SingleNodeQuorum: a log with a missing or unreadable entry does not start") {
  enum class Damage { kHole, kTail, kGarbage, kHardState };
  for (Damage damage : {Damage::kHole, Damage::kTail, Damage::kGarbage, Damage::kHardState}) {
    CAPTURE(static_cast<int>(damage));
    Voter voter;
    REQUIRE(voter.Start().ok());
    for (const char* name : {"a", "b", "c"}) REQUIRE(voter.Propose(name).ok());
    voter.Stop();
    REQUIRE(voter.Start().ok());  // The commit index is noted when a term begins.
    KvBatch batch;
    switch (damage) {
      case Damage::kHole:
        batch.Delete(KvSpace::kRaftLog, Key(2));
        break;
      case Damage::kTail:
        batch.Delete(KvSpace::kRaftLog, Key(3));
        break;
      case Damage::kGarbage:
        batch.Put(KvSpace::kRaftLog, Key(2), "no entry");
        break;
      case Damage::kHardState:
        batch.Put(KvSpace::kRaftState, "hard-state", "no state");
        break;
    }
    REQUIRE(voter.Write(std::move(batch)).ok());
    voter.Stop();
    CHECK(absl::IsDataLoss(voter.Start()));
    CHECK(!voter.quorum->leading_term().has_value());
    voter.Stop();
  }
}

TEST_CASE(
    "SingleNodeQuorum: an entry that does not fit ends the leadership, and stops the next start") {
  Voter voter;
  REQUIRE(voter.Start().ok());
  REQUIRE(voter.Propose("a").ok());
  voter.applied.refused = RaftIndex(2);
  CHECK(absl::IsDataLoss(voter.Propose("b").status()));
  CHECK(!voter.quorum->leading_term().has_value());
  CHECK(KindOf(voter.Propose("c").status()) == ErrorKind::kNotController);
  voter.Stop();
}

TEST_CASE("SingleNodeQuorum: proposals wait in line, and those in line at a stop are refused") {
  Voter voter;
  REQUIRE(voter.Start().ok());
  struct Crowd {
    static Task<void> One(Voter* voter, int number, std::vector<std::string>* outcomes) {
      auto index = co_await voter->quorum->Propose(Topic(fmt::format("t{}", number)));
      outcomes->push_back(index.ok() ? fmt::format("{} t{}", *index, number) : "refused");
    }
    static Task<void> All(Voter* voter, std::vector<std::string>* outcomes, bool stop) {
      TaskScope scope(voter->env->reactor);
      for (int i = 0; i < 5; ++i) scope.Spawn(One(voter, i, outcomes));
      if (stop) {
        while (voter->quorum->next_index() == RaftIndex(6)) {
          co_await Sleep(voter->env->reactor, microseconds(10));
        }
        co_await voter->quorum->Stop();
      }
      co_await scope.Join();
    }
  };
  std::vector<std::string> outcomes;
  voter.world.Run(*voter.env, Crowd::All(&voter, &outcomes, false));
  CHECK(outcomes == voter.applied.story);
  CHECK(outcomes.size() == 5);

  outcomes.clear();
  voter.world.Run(*voter.env, Crowd::All(&voter, &outcomes, true));
  CHECK(outcomes.size() == 5);
  // Who was told of success has been applied; the others were refused, and nothing hangs.
  const auto refused = std::ranges::count(outcomes, "refused");
  CHECK(voter.applied.story.size() == 5 + outcomes.size() - static_cast<size_t>(refused));
  CHECK(refused >= 3);
  CHECK(absl::IsCancelled(voter.Propose("late").status()));
  voter.Stop();
}

}  // namespace millrace
