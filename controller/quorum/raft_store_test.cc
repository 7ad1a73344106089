#include "controller/quorum/raft_store.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_random.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/kv/kv_store_log.h"

using namespace millrace;

namespace {

const DirectoryId kDirectory(1, 7);

raft::LogEntry Entry(int64_t index, int64_t term, std::string data) {
  return {RaftIndex(index), RaftTerm(term), std::make_shared<const std::string>(std::move(data))};
}

raft::Write NewWrite(int64_t term, std::vector<raft::LogEntry> entries) {
  raft::Write write{raft::WriteId(1), {}, {}, {}, std::move(entries), {}};
  write.hard_state.term = RaftTerm(term);
  write.hard_state.vote = raft::ReplicaKey{BrokerId(2), DirectoryId(2, 2)};
  return write;
}

// A store and the key-value store under it.
struct Bench {
  Bench() : world(1), env(world.AddNode("n").Boot()) {
    auto opened = world.Run(env, LogKvStore::Open(env, "/meta", {}));
    REQUIRE(opened.ok());
    kv = *std::move(opened);
    Again();
  }
  ~Bench() { CHECK(world.Run(env, kv->Close()).ok()); }
  void Again() { store = std::make_unique<RaftStore>(*kv); }
  absl::StatusOr<std::optional<RaftStore::Contents>> Load() {
    Again();
    return world.Run(env, store->Load());
  }
  void Format(raft::VoterSet voters = {}) {
    REQUIRE(world.Run(env, store->Format(kDirectory, std::move(voters))).ok());
  }
  void Write(raft::Write write) { REQUIRE(world.Run(env, store->Write(std::move(write))).ok()); }
  void Snapshot(int64_t index, std::vector<std::string> pieces) {
    uint32_t number = 0;
    for (std::string& piece : pieces) {
      REQUIRE(
          world.Run(env, store->WriteSnapshotPiece(RaftIndex(index), number++, std::move(piece)))
              .ok());
    }
    auto counts =
        world.Run(env, store->FinishSnapshot({RaftIndex(index), RaftTerm(1), {}}, number));
    REQUIRE(counts.ok());
    CHECK(*counts);
  }
  std::vector<KvEntry> All(KvSpace space) {
    auto all = world.Run(env, kv->ScanAll({space, "", std::nullopt}));
    REQUIRE(all.ok());
    return *all;
  }
  void Change(KvBatch batch) {
    REQUIRE(world.Run(env, kv->Write(std::move(batch), KvWriteOptions{.sync = true})).ok());
  }

  SimWorld world;
  Env& env;
  std::unique_ptr<LogKvStore> kv;
  std::unique_ptr<RaftStore> store;
};

}  // namespace

TEST_CASE("RaftStore: an empty store is nobody's, a formatted one has promised nothing") {
  Bench bench;
  auto loaded = bench.Load();
  REQUIRE(loaded.ok());
  CHECK(!loaded->has_value());
  raft::VoterSet voters;
  voters = voters.With(BrokerId(1), {kDirectory, {{"CONTROLLER", "h", 9093}}});
  bench.Format(voters);
  loaded = bench.Load();
  REQUIRE(loaded.ok());
  REQUIRE(loaded->has_value());
  CHECK((*loaded)->directory == kDirectory);
  CHECK((*loaded)->hard_state == raft::HardState());
  CHECK((*loaded)->snapshot.meta.voters == voters);
  CHECK((*loaded)->snapshot.data == nullptr);
  CHECK((*loaded)->entries.empty());
}

TEST_CASE("RaftStore: what was written is read back; a truncated tail is gone") {
  Bench bench;
  bench.Format();
  bench.Write(NewWrite(1, {Entry(1, 1, "a"), Entry(2, 1, "b"), Entry(3, 1, "c")}));
  raft::Write write = NewWrite(2, {Entry(2, 2, "B")});
  write.truncate_from = RaftIndex(2);
  bench.Write(std::move(write));
  auto loaded = bench.Load();
  REQUIRE(loaded.ok());
  const RaftStore::Contents& contents = **loaded;
  REQUIRE(contents.entries.size() == 2);
  CHECK(*std::get<raft::Data>(contents.entries[1].payload) == "B");
  CHECK(contents.entries[1].term == RaftTerm(2));
  CHECK(contents.hard_state.term == RaftTerm(2));
  CHECK(contents.hard_state.vote == raft::ReplicaKey{BrokerId(2), DirectoryId(2, 2)});
}

TEST_CASE("RaftStore: what a later version wrote is not damage, and is left alone") {
  Bench bench;
  bench.Format();
  bench.Write(NewWrite(1, {Entry(1, 1, "a")}));
  KvEntry later = bench.All(KvSpace::kRaftLog).front();
  later.value[0] = 2;
  KvBatch batch;
  batch.Put(KvSpace::kRaftLog, later.key, later.value);
  bench.Change(std::move(batch));
  CHECK(absl::IsFailedPrecondition(bench.Load().status()));
  CHECK(bench.All(KvSpace::kRaftLog).front().value == later.value);
}

TEST_CASE("RaftStore: a snapshot counts when it is finished, and replaces the one before") {
  Bench bench;
  bench.Format();
  bench.Write(NewWrite(1, {Entry(1, 1, "a"), Entry(2, 1, "b"), Entry(3, 1, "c")}));
  REQUIRE(
      bench.world.Run(bench.env, bench.store->WriteSnapshotPiece(RaftIndex(1), 0, "half")).ok());
  auto loaded = bench.Load();
  REQUIRE(loaded.ok());
  CHECK((*loaded)->snapshot.data == nullptr);
  CHECK((*loaded)->entries.size() == 3);
  CHECK(bench.All(KvSpace::kRaftSnapshot).empty());

  bench.Snapshot(2, {"x", "y"});
  bench.Snapshot(3, {"z"});
  auto stale =
      bench.world.Run(bench.env, bench.store->FinishSnapshot({RaftIndex(2), RaftTerm(1), {}}, 0));
  REQUIRE(stale.ok());
  CHECK(!*stale);
  CHECK(bench.All(KvSpace::kRaftSnapshot).size() == 1);
  loaded = bench.Load();
  REQUIRE(loaded.ok());
  REQUIRE((*loaded)->snapshot.data != nullptr);
  CHECK(*(*loaded)->snapshot.data == std::vector<std::string>{"z"});
  CHECK((*loaded)->entries.empty());
  // Covered entries stay for followers until the core lets them go.
  CHECK(bench.All(KvSpace::kRaftLog).size() == 3);
  raft::Write write = NewWrite(1, {Entry(4, 1, "d")});
  write.drop_through = RaftIndex(3);
  bench.Write(std::move(write));
  CHECK(bench.All(KvSpace::kRaftLog).size() == 1);
  loaded = bench.Load();
  REQUIRE(loaded.ok());
  CHECK((*loaded)->entries.size() == 1);
}

TEST_CASE("RaftStore: a snapshot from the leader replaces log and snapshot at once") {
  Bench bench;
  bench.Format();
  bench.Write(NewWrite(1, {Entry(1, 1, "a"), Entry(2, 1, "b")}));
  bench.Snapshot(1, {"old", "old", "old"});
  raft::Write write = NewWrite(3, {Entry(10, 3, "j")});
  write.install = raft::Snapshot{
      {RaftIndex(9), RaftTerm(2), {}},
      std::make_shared<const std::vector<std::string>>(std::vector<std::string>{"new"})};
  bench.Write(std::move(write));
  auto loaded = bench.Load();
  REQUIRE(loaded.ok());
  CHECK((*loaded)->snapshot.meta.index == RaftIndex(9));
  CHECK(*(*loaded)->snapshot.data == std::vector<std::string>{"new"});
  REQUIRE((*loaded)->entries.size() == 1);
  CHECK((*loaded)->entries.front().index == RaftIndex(10));
  CHECK(bench.All(KvSpace::kRaftSnapshot).size() == 1);
}

TEST_CASE("RaftStore: whatever is missing or flipped is data loss (RELIABILITY C 32)") {
  SimRandom random(5);
  const auto fill = [](Bench& bench) {
    bench.Format();
    bench.Write(NewWrite(1, {Entry(1, 1, "a"), Entry(2, 1, "b"), Entry(3, 1, "c")}));
    bench.Snapshot(1, {"x", "y"});
    bench.Write(NewWrite(2, {Entry(4, 2, "d")}));
  };
  for (KvSpace space : {KvSpace::kRaftState, KvSpace::kRaftLog, KvSpace::kRaftSnapshot}) {
    Bench whole;
    fill(whole);
    REQUIRE(whole.Load().ok());
    const std::vector<KvEntry> all = whole.All(space);
    REQUIRE(all.size() >= 2);
    for (size_t i = 0; i < all.size(); ++i) {
      // Entry 1 is covered by the snapshot: nobody reads it.
      if (space == KvSpace::kRaftLog && i == 0) continue;
      CAPTURE(static_cast<int>(space), i);
      {
        Bench bench;
        fill(bench);
        KvBatch batch;
        batch.Delete(space, all[i].key);
        bench.Change(std::move(batch));
        CHECK(absl::IsDataLoss(bench.Load().status()));
      }
      for (int flip = 0; flip < 20; ++flip) {
        Bench bench;
        fill(bench);
        std::string value = all[i].value;
        value[random.Below(value.size())] ^= static_cast<char>(1 << random.Below(8));
        KvBatch batch;
        batch.Put(space, all[i].key, value);
        bench.Change(std::move(batch));
        CHECK(absl::IsDataLoss(bench.Load().status()));
      }
      {
        // A value under another's key.
        Bench bench;
        fill(bench);
        KvBatch batch;
        batch.Put(space, all[i].key, all[(i + 1) % all.size()].value);
        bench.Change(std::move(batch));
        CHECK(absl::IsDataLoss(bench.Load().status()));
      }
    }
  }
}

TEST_CASE("RaftCodec: every message reads back as it was sent, and noise is refused") {
  raft::VoterSet voters;
  voters = voters.With(BrokerId(1), {DirectoryId(1, 1), {{"CONTROLLER", "h", 9093}}});
  voters = voters.With(BrokerId(2), {});
  const raft::ReplicaKey self{BrokerId(1), DirectoryId(1, 1)};
  std::vector<raft::Message> messages;
  const auto add = [&](auto body) {
    messages.push_back({self, BrokerId(2), DirectoryId(2, 2), RaftTerm(7), std::move(body)});
  };
  add(raft::VoteRequest{true, false, RaftIndex(4), RaftTerm(3)});
  add(raft::VoteReply{false, true, RaftTerm(8)});
  add(raft::AppendRequest{RaftIndex(3),
                          RaftTerm(2),
                          {Entry(4, 7, std::string("\0bytes", 6)),
                           {RaftIndex(5), RaftTerm(7), raft::LeaderChange{BrokerId(1)}},
                           {RaftIndex(6), RaftTerm(7), voters}},
                          RaftIndex(3)});
  add(raft::AppendRequest{RaftIndex(3), RaftTerm(2), {}, RaftIndex(3), /*unanswered=*/true});
  add(raft::AppendAccepted{RaftIndex(9)});
  add(raft::AppendRejected{RaftIndex(9), RaftIndex(5), RaftTerm(2)});
  add(raft::InstallSnapshot{{{RaftIndex(5), RaftTerm(2), voters}, nullptr}});
  add(raft::TimeoutNow{});
  add(raft::Observe{});
  messages.back().to_directory.reset();
  for (const raft::Message& message : messages) {
    const std::string bytes = EncodeRaftFrame(message);
    absl::StatusOr<RaftFrame> frame = DecodeRaftFrame(bytes);
    REQUIRE(frame.ok());
    const auto& read = std::get<raft::Message>(*frame);
    CHECK(read.from == message.from);
    CHECK(read.to_directory == message.to_directory);
    CHECK(read.body.index() == message.body.index());
    CHECK(EncodeRaftFrame(read) == bytes);
    // Any cut or flip is refused, or is a frame again: never a crash.
    SimRandom random(bytes.size());
    for (int i = 0; i < 200; ++i) {
      std::string noise = bytes;
      noise[random.Below(noise.size())] ^= static_cast<char>(1 << random.Below(8));
      if (random.Coin()) noise.resize(random.Below(noise.size()));
      if (auto other = DecodeRaftFrame(noise); other.ok()) (void)EncodeRaftFrame(*other);
    }
  }
  SnapshotPiece piece{messages[6], 0, 3, "data"};
  auto frame = DecodeRaftFrame(EncodeRaftFrame(piece));
  REQUIRE(frame.ok());
  CHECK(std::get<SnapshotPiece>(*frame).install.has_value());
  CHECK(std::get<SnapshotPiece>(*frame).data == "data");
  const raft::ReplicaKey replica{BrokerId(4), DirectoryId(4, 2)};
  const std::string request =
      EncodeRaftFrame(JoinRequest{replica, DirectoryId(4, 1), {{"CONTROLLER", "h", 9093}}});
  frame = DecodeRaftFrame(request);
  REQUIRE(frame.ok());
  CHECK(std::get<JoinRequest>(*frame).replica == replica);
  CHECK(std::get<JoinRequest>(*frame).former == DirectoryId(4, 1));
  CHECK(std::get<JoinRequest>(*frame).endpoints.front().port == 9093);
  CHECK(EncodeRaftFrame(*frame) == request);
  frame = DecodeRaftFrame(EncodeRaftFrame(JoinAnswer{replica, std::nullopt, "why"}));
  REQUIRE(frame.ok());
  CHECK(std::get<JoinAnswer>(*frame).replica == replica);
  CHECK_FALSE(std::get<JoinAnswer>(*frame).former.has_value());
  CHECK(std::get<JoinAnswer>(*frame).refusal == "why");
  messages[0].term = RaftTerm(-1);
  CHECK(absl::IsInvalidArgument(DecodeRaftFrame(EncodeRaftFrame(messages[0])).status()));
}
