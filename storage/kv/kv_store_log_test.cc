#include "storage/kv/kv_store_log.h"

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"

namespace millrace {
namespace {

constexpr KvSpace kSpace = KvSpace::kTest;

LogKvStore::Options SmallStore() {
  LogKvStore::Options options;
  options.compact_bytes_min = 4096;  // Compacts often.
  return options;
}

struct Machine {
  explicit Machine(uint64_t seed) : world(seed), node(world.AddNode("n1")), env(&node.Boot()) {}
  ~Machine() {
    if (store != nullptr) Close();
  }
  absl::Status Open() {
    auto opened = world.Run(*env, LogKvStore::Open(*env, "/kv", SmallStore()));
    if (!opened.ok()) return opened.status();
    store = *std::move(opened);
    return absl::OkStatus();
  }
  void Close() {
    world.Run(*env, store->Close()).IgnoreError();
    store = nullptr;
  }
  absl::Status Put(const std::string& key, const std::string& value, bool sync) {
    KvBatch batch;
    batch.Put(kSpace, key, value);
    return world.Run(*env, store->Write(std::move(batch), {.sync = sync}));
  }
  std::map<std::string, std::string> All() {
    auto entries = world.Run(*env, store->ScanAll({kSpace, "", std::nullopt}));
    REQUIRE(entries.ok());
    std::map<std::string, std::string> all;
    for (KvEntry& entry : *entries) all.emplace(std::move(entry.key), std::move(entry.value));
    return all;
  }
  void Reboot() {
    if (store != nullptr) Close();
    env = &node.Boot();
  }
  std::string OnlyFile() {
    std::string found;
    for (const std::string& path : node.disk().Files()) {
      if (path.find("kv-") == std::string::npos) continue;
      REQUIRE(found.empty());
      found = path;
    }
    return found;
  }

  SimWorld world;
  SimNode& node;
  Env* env;
  std::unique_ptr<LogKvStore> store;
};

// Batch `number` of a stream: it writes its number, so that a prefix can be told from anything
// else.
KvBatch NumberedBatch(uint64_t seed, uint64_t number) {
  SimRandom random(MixBits(seed) ^ number);
  KvBatch batch;
  batch.Put(kSpace, "number", std::to_string(number));
  for (uint64_t i = random.Below(4); i > 0; --i) {
    const std::string key = "k" + std::to_string(random.Below(20));
    if (random.Below(5) == 0) {
      batch.DeleteRange(kSpace, key, "k9");
    } else {
      batch.Put(kSpace, key, std::string(random.Below(300), static_cast<char>('a' + number % 26)));
    }
  }
  return batch;
}

std::map<std::string, std::string> AfterBatches(uint64_t seed, uint64_t count) {
  std::map<std::string, std::string> all;
  for (uint64_t number = 1; number <= count; ++number) {
    for (const KvBatch::Change& change : NumberedBatch(seed, number).changes()) {
      if (change.op == KvBatch::Op::kPut) {
        all[change.key.substr(1)] = change.value;
      } else {
        all.erase(all.lower_bound(change.key.substr(1)), all.lower_bound(change.value.substr(1)));
      }
    }
  }
  return all;
}

struct Writer {
  // Writes until the store fails; every third batch on average with sync.
  Task<void> Run(LogKvStore* store, uint64_t seed) {
    SimRandom random(seed);
    while ((co_await WriteNext(store, seed, random.Below(3) == 0)).ok()) {
    }
  }
  Task<absl::Status> WriteNext(LogKvStore* store, uint64_t seed, bool sync) {
    ++given;
    const uint64_t mine = given;
    absl::Status status =
        co_await store->Write(NumberedBatch(seed, mine), KvWriteOptions{.sync = sync});
    if (status.ok() && sync) synced = mine;
    co_return status;
  }
  uint64_t given = 0;
  uint64_t synced = 0;
};

TEST_CASE("LogKvStore: power loss at any moment keeps a prefix with everything synced") {
  uint64_t lost_something = 0;
  uint64_t compactions = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    INFO("seed " << seed);
    Machine m(seed);
    SimRandom random = SimRandom::Derived(seed, "crash");
    bool opened = false;
    for (int attempt = 0; !opened && attempt < 100; ++attempt) {
      opened = m.Open().ok();
    }
    REQUIRE(opened);
    Writer writer;
    TaskScope scope(m.env->reactor);
    scope.Spawn(writer.Run(m.store.get(), seed), SchedClass::kHousekeeping);
    m.world.RunFor(microseconds(random.Below(300'000)));
    compactions += m.store->compactions();
    const uint64_t given = writer.given;
    const uint64_t synced = writer.synced;
    m.node.PowerLoss();
    m.world.Run(*m.env, scope.Join());
    m.Reboot();
    const absl::Status status = m.Open();
    INFO(status.ToString());
    REQUIRE(status.ok());
    const auto all = m.All();
    const uint64_t kept = all.contains("number") ? std::stoull(all.at("number")) : 0;
    REQUIRE(kept >= synced);
    REQUIRE(kept <= given);
    REQUIRE(all == AfterBatches(seed, kept));
    lost_something += kept + 1 < given ? 1 : 0;
    // What was read after the first crash stays, whatever the second does.
    m.node.PowerLoss();
    m.Reboot();
    REQUIRE(m.Open().ok());
    REQUIRE(m.All() == all);
  }
  CHECK(lost_something > 10);
  CHECK(compactions > 300);
}

TEST_CASE("LogKvStore: a kill loses nothing that was written, synced or not") {
  Machine m(1);
  REQUIRE(m.Open().ok());
  REQUIRE(m.Put("a", "1", false).ok());
  m.node.Kill();
  m.Reboot();
  REQUIRE(m.Open().ok());
  CHECK(m.All().at("a") == "1");
}

TEST_CASE("LogKvStore: opening survives power loss while it opens or compacts") {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    INFO("seed " << seed);
    Machine m(seed);
    SimRandom random = SimRandom::Derived(seed, "open");
    struct Opening {
      static Task<void> Run(Env* env) {
        auto opened = co_await LogKvStore::Open(*env, "/kv", SmallStore());
        if (opened.ok()) (co_await (*opened)->Close()).IgnoreError();
      }
    };
    for (int crash = 0; crash < 4; ++crash) {
      TaskScope scope(m.env->reactor);
      scope.Spawn(Opening::Run(m.env), SchedClass::kHousekeeping);
      m.world.RunFor(microseconds(random.Below(8000)));
      m.node.PowerLoss();
      m.world.Run(*m.env, scope.Join());
      m.Reboot();
    }
    REQUIRE(m.Open().ok());
    CHECK(m.All().empty());
  }
}

TEST_CASE("LogKvStore: a kill while it opens for the first time costs nothing later") {
  int files_were_there = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    INFO("seed " << seed);
    Machine m(seed);
    struct Opening {
      static Task<void> Run(Env* env) {
        auto opened = co_await LogKvStore::Open(*env, "/kv", SmallStore());
        if (opened.ok()) (co_await (*opened)->Close()).IgnoreError();
      }
    };
    {
      TaskScope scope(m.env->reactor);
      scope.Spawn(Opening::Run(m.env), SchedClass::kHousekeeping);
      m.world.RunFor(microseconds(50 * seed));
      m.node.Kill();
      m.world.Run(*m.env, scope.Join());
    }
    m.Reboot();
    files_were_there += m.node.disk().Files().empty() ? 0 : 1;
    REQUIRE(m.Open().ok());
    REQUIRE(m.Put("a", "1", true).ok());
    m.node.PowerLoss();
    m.Reboot();
    REQUIRE(m.Open().ok());
    REQUIRE(m.All() == std::map<std::string, std::string>{{"a", "1"}});
  }
  CHECK(files_were_there > 20);
}

TEST_CASE("LogKvStore: rot in what was synced is found, a torn end is cut") {
  Machine m(2);
  REQUIRE(m.Open().ok());
  REQUIRE(m.Put("a", "first", true).ok());
  REQUIRE(m.Put("b", "second", true).ok());
  REQUIRE(m.Put("c", "third", true).ok());
  m.node.Kill();
  m.Reboot();
  SimFileData& file = *m.node.disk().Find(m.OnlyFile());
  SECTION("the snapshot") {
    file.FlipBit(5, 1);
    CHECK(absl::IsDataLoss(m.Open()));
  }
  SECTION("a record that a later one knows to be synced") {
    file.FlipBit(32 + 33, 1);
    CHECK(absl::IsDataLoss(m.Open()));
  }
  SECTION("the last record") {
    file.FlipBit(file.size() - 1, 1);
    REQUIRE(m.Open().ok());
    CHECK(m.All().size() == 2);
    REQUIRE(m.Put("d", "again", true).ok());
    m.Close();
    REQUIRE(m.Open().ok());
    CHECK(m.All().size() == 3);
  }
}

TEST_CASE("LogKvStore: what was cut off does not come back behind new batches of the same length") {
  Machine m(5);
  REQUIRE(m.Open().ok());
  REQUIRE(m.Put("a", "first", false).ok());
  const uint64_t damaged = m.node.disk().Find(m.OnlyFile())->size();
  REQUIRE(m.Put("b", "second", false).ok());
  REQUIRE(m.Put("c", "third", false).ok());
  m.node.Kill();
  m.Reboot();
  m.node.disk().Find(m.OnlyFile())->FlipBit(damaged + 40, 1);
  REQUIRE(m.Open().ok());
  CHECK(m.All() == std::map<std::string, std::string>{{"a", "first"}});
  REQUIRE(m.Put("d", "newest", false).ok());  // As long as what it takes the place of.
  m.Close();
  REQUIRE(m.Open().ok());
  CHECK(m.All() == std::map<std::string, std::string>{{"a", "first"}, {"d", "newest"}});
}

TEST_CASE("LogKvStore: the first failure is final for writing and not for reading") {
  Machine m(3);
  REQUIRE(m.Open().ok());
  REQUIRE(m.Put("a", "1", true).ok());
  m.node.disk().FailNextSync();
  CHECK(absl::IsUnavailable(m.Put("b", "2", true)));
  CHECK(absl::IsUnavailable(m.Put("c", "3", true)));
  CHECK(m.All().at("a") == "1");
}

TEST_CASE("LogKvStore: what a failed sync left in the page cache is durable after the next start") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    INFO("seed " << seed);
    Machine m(seed);
    REQUIRE(m.Open().ok());
    REQUIRE(m.Put("a", "1", true).ok());
    m.node.disk().FailNextSync();
    CHECK(absl::IsUnavailable(m.Put("b", std::string(2000, 'b'), true)));
    m.node
        .Kill();  // The process ends, the machine runs on: the kernel shows what it did not write.
    m.Reboot();
    REQUIRE(m.Open().ok());
    const std::map<std::string, std::string> seen = m.All();
    REQUIRE(m.Put("c", "3", true).ok());
    m.node.PowerLoss();
    m.Reboot();
    REQUIRE(m.Open().ok());
    std::map<std::string, std::string> expected = seen;
    expected["c"] = "3";
    CHECK(m.All() == expected);
  }
}

TEST_CASE("LogKvStore: hostile files get a status") {
  Machine m(4);
  REQUIRE(m.Open().ok());
  for (int i = 0; i < 20; ++i) REQUIRE(m.Put("k" + std::to_string(i), "value", true).ok());
  m.node.Kill();
  m.Reboot();
  const std::string path = m.OnlyFile();
  std::vector<uint8_t> original(m.node.disk().Find(path)->size());
  m.node.disk().Find(path)->Read(0, original);
  int refused = 0;
  for (uint64_t round = 0; round < 200; ++round) {
    SimRandom random(round);
    std::vector<uint8_t> bytes = original;
    for (uint64_t i = random.Between(uint64_t{1}, uint64_t{4}); i > 0; --i) {
      bytes[random.Below(bytes.size())] = static_cast<uint8_t>(random.Next());
    }
    if (random.Below(4) == 0) bytes.resize(random.Below(bytes.size() + 1));
    SimFileData& file = *m.node.disk().Find(path);
    file.Resize(0);
    file.Write(0, bytes);
    const absl::Status status = m.Open();
    if (status.ok()) {
      for (const auto& [key, value] : m.All()) CHECK(value == "value");
      m.Close();
    } else {
      CHECK(absl::IsDataLoss(status));
      ++refused;
    }
  }
  CHECK(refused > 50);
}

}  // namespace
}  // namespace millrace
