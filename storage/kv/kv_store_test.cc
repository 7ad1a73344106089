// The contract of KvStore, on each implementation of it.
#include "storage/kv/kv_store.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/kv/kv_store_log.h"
#include "storage/kv/kv_store_rocksdb.h"
#include "storage/kv/kv_store_rocksdb_test_folder.h"
#include "storage/kv/remote_kv_store.h"

namespace millrace {
namespace {

enum class Kind { kLog, kRocksDb, kRemote };

constexpr KvSpace kSpace = KvSpace::kTest;

class Fixture {
 public:
  explicit Fixture(Kind kind, uint64_t seed = 1)
      : kind_(kind), world(seed), node(world.AddNode("n1")), env(&node.Boot(/*shards=*/2)) {
    if (kind_ == Kind::kRemote) {
      // The store is shard 0's; everything here is of shard 1.
      owner_ = env;
      env = &node.process().env(1);
      shards_ = std::make_unique<Shards>(std::vector<Reactor*>{&owner_->reactor, &env->reactor});
    }
    Open();
  }
  ~Fixture() {
    if (store != nullptr) Close().IgnoreError();
    if (owned_ != nullptr) world.Run(*owner_, owned_->Close()).IgnoreError();
  }
  void Open() {
    absl::StatusOr<std::unique_ptr<KvStore>> opened = TryOpen();
    INFO(opened.status().ToString());
    REQUIRE(opened.ok());
    store = *std::move(opened);
  }
  absl::StatusOr<std::unique_ptr<KvStore>> TryOpen() {
    if (kind_ == Kind::kRocksDb) {
      return world.Run(*env, OpenRocksDb(*env, folder_.store(), RocksDbOptions()));
    }
    Env& owner = kind_ == Kind::kRemote ? *owner_ : *env;
    auto opened = world.Run(owner, LogKvStore::Open(owner, "/kv", LogKvStore::Options()));
    if (!opened.ok()) return opened.status();
    if (kind_ != Kind::kRemote) return std::unique_ptr<KvStore>(*std::move(opened));
    owned_ = *std::move(opened);
    return std::make_unique<RemoteKvStore>(*shards_, ShardId(1), ShardId(0), *owned_);
  }
  absl::Status Close() {
    absl::Status status = world.Run(*env, store->Close());
    store = nullptr;
    if (owned_ != nullptr) status.Update(world.Run(*owner_, owned_->Close()));
    owned_ = nullptr;
    return status;
  }
  void Reopen() {
    REQUIRE(Close().ok());
    Open();
  }
  absl::Status Write(KvBatch batch, bool sync = true) {
    return world.Run(*env, store->Write(std::move(batch), {.sync = sync}));
  }
  void Put(std::string_view key, std::string_view value) {
    KvBatch batch;
    batch.Put(kSpace, key, value);
    REQUIRE(Write(std::move(batch)).ok());
  }
  std::optional<std::string> Get(std::string key, KvSpace space = kSpace) {
    auto value = world.Run(*env, store->Get(space, std::move(key)));
    REQUIRE(value.ok());
    return *value;
  }
  std::string folder() const { return folder_.store(); }
  std::string Keys(KvRange range) {
    auto entries = world.Run(*env, store->ScanAll(std::move(range)));
    REQUIRE(entries.ok());
    std::string keys;
    for (const KvEntry& entry : *entries) keys += (keys.empty() ? "" : " ") + entry.key;
    return keys;
  }

 private:
  Kind kind_;
  RocksDbTestFolder folder_;

 public:
  SimWorld world;
  SimNode& node;
  Env* env;
  std::unique_ptr<KvStore> store;

 private:
  // Of Kind::kRemote.
  Env* owner_ = nullptr;
  std::unique_ptr<Shards> shards_;
  std::unique_ptr<KvStore> owned_;
};

Task<void> SpawnedWrite(KvStore* store, KvBatch batch, bool sync, int number,
                        std::vector<int>* order) {
  if ((co_await store->Write(std::move(batch), {.sync = sync})).ok()) order->push_back(number);
}

TEST_CASE("KvStore: what was written is read, also after opening it again") {
  Fixture f(GENERATE(Kind::kLog, Kind::kRocksDb, Kind::kRemote));
  f.Put("a", "1");
  f.Put("empty", "");
  f.Put(std::string("zero\0inside", 11), std::string("\0\xff", 2));
  f.Put("a", "2");
  CHECK_FALSE(f.Get("b").has_value());
  CHECK_FALSE(f.Get("a", KvSpace::kNode).has_value());
  for (int round = 0; round < 2; ++round) {
    CHECK(f.Get("a") == "2");
    CHECK(f.Get("empty") == "");
    CHECK(f.Get(std::string("zero\0inside", 11)) == std::string("\0\xff", 2));
    f.Reopen();
  }
}

TEST_CASE("KvStore: a batch happens in its order, and deleting what is absent is fine") {
  Fixture f(GENERATE(Kind::kLog, Kind::kRocksDb, Kind::kRemote));
  f.Put("c", "old");
  KvBatch batch;
  batch.Put(kSpace, "a", "1");
  batch.Delete(kSpace, "a");
  batch.Put(kSpace, "b", "1");
  batch.Put(kSpace, "b", "2");
  batch.Delete(kSpace, "absent");
  batch.DeleteRange(kSpace, "c", "d");
  batch.Put(kSpace, "cc", "after");
  REQUIRE(f.Write(std::move(batch)).ok());
  CHECK(f.Keys({kSpace, "", std::nullopt}) == "b cc");
  CHECK(f.Get("b") == "2");
}

TEST_CASE("KvStore: ranges are half open, ordered by unsigned bytes, and stay in their space") {
  Fixture f(GENERATE(Kind::kLog, Kind::kRocksDb, Kind::kRemote));
  KvBatch batch;
  for (const char* key : {"a", "ab", "b", "\x7f", "\x80", "\xff", "\xff\xff"}) {
    batch.Put(kSpace, key, "v");
  }
  batch.Put(KvSpace::kNode, "other", "v");
  batch.Put(KvSpace::kRaftState, "z", "v");
  REQUIRE(f.Write(std::move(batch)).ok());
  CHECK(f.Keys({kSpace, "", std::nullopt}) == "a ab b \x7f \x80 \xff \xff\xff");
  CHECK(f.Keys({kSpace, "ab", "\x7f"}) == "ab b");
  CHECK(f.Keys({kSpace, "b", "a"}).empty());
  CHECK(f.Keys(KvRange::Prefix(kSpace, "a")) == "a ab");
  CHECK(f.Keys(KvRange::Prefix(kSpace, "\xff")) == "\xff \xff\xff");
  CHECK(f.Keys(KvRange::Prefix(kSpace, "")) == "a ab b \x7f \x80 \xff \xff\xff");
  CHECK(f.Keys({KvSpace::kNode, "", std::nullopt}) == "other");
  CHECK(f.Keys({KvSpace::kRaftLog, "", std::nullopt}).empty());

  KvBatch erase;
  erase.DeleteRange(kSpace, "b", "a");  // Empty.
  erase.DeleteRange(kSpace, "ab", "\x80");
  erase.DeleteRange(KvSpace::kNode, "", std::nullopt);
  REQUIRE(f.Write(std::move(erase)).ok());
  CHECK(f.Keys({kSpace, "", std::nullopt}) == "a \x80 \xff \xff\xff");
  CHECK(f.Keys({KvSpace::kNode, "", std::nullopt}).empty());
  CHECK(f.Keys({KvSpace::kRaftState, "", std::nullopt}) == "z");
  KvBatch all;
  all.DeleteRange(kSpace, "", std::nullopt);
  REQUIRE(f.Write(std::move(all)).ok());
  CHECK(f.Keys({kSpace, "", std::nullopt}).empty());
}

TEST_CASE("KvStore: a scan comes in pieces within its bounds") {
  Fixture f(GENERATE(Kind::kLog, Kind::kRocksDb, Kind::kRemote));
  KvBatch batch;
  for (char c = 'a'; c <= 'j'; ++c) batch.Put(kSpace, std::string(1, c), std::string(99, c));
  REQUIRE(f.Write(std::move(batch)).ok());
  const auto scan = [&](std::string begin, size_t entries, size_t bytes) {
    auto page = f.world.Run(
        *f.env, f.store->Scan({kSpace, std::move(begin), std::nullopt}, entries, bytes));
    REQUIRE(page.ok());
    return *std::move(page);
  };
  KvPage page = scan("", 3, 10'000);
  CHECK(page.entries.size() == 3);
  CHECK(page.next_key == "d");
  page = scan("d", 100, 450);
  CHECK(page.entries.size() == 4);
  CHECK(page.next_key == "h");
  page = scan("h", 100, 1);  // One at least.
  CHECK(page.entries.size() == 1);
  page = scan("i", 100, 10'000);
  CHECK(page.entries.size() == 2);
  CHECK_FALSE(page.next_key.has_value());
}

TEST_CASE("KvStore: writes take effect in the order they were given") {
  Fixture f(GENERATE(Kind::kLog, Kind::kRocksDb, Kind::kRemote));
  std::vector<int> order;
  TaskScope scope(f.env->reactor);
  for (int i = 0; i < 40; ++i) {
    KvBatch batch;
    batch.Put(kSpace, "last", std::to_string(i));
    batch.Put(kSpace, "k" + std::to_string(i), "v");
    scope.Spawn(SpawnedWrite(f.store.get(), std::move(batch), i % 3 == 0, i, &order),
                SchedClass::kHousekeeping);
  }
  f.world.Run(*f.env, scope.Join());
  CHECK(order.size() == 40);
  CHECK(f.Get("last") == "39");
  f.Reopen();
  CHECK(f.Get("last") == "39");
  CHECK(f.Get("k17") == "v");
}

TEST_CASE("KvStore: large values and many keys survive") {
  Fixture f(GENERATE(Kind::kLog, Kind::kRocksDb, Kind::kRemote));
  std::map<std::string, std::string> model;
  SimRandom random(77);
  for (int i = 0; i < 300; ++i) {
    KvBatch batch;
    for (int j = 0; j < 5; ++j) {
      const std::string key = "k" + std::to_string(random.Below(200));
      if (random.Below(4) == 0) {
        batch.Delete(kSpace, key);
        model.erase(key);
      } else {
        const std::string value(random.Below(5000), static_cast<char>('a' + random.Below(26)));
        batch.Put(kSpace, key, value);
        model[key] = value;
      }
    }
    REQUIRE(f.Write(std::move(batch), i % 10 == 0).ok());
  }
  f.Put("big", std::string(5 << 20, 'x'));
  model["big"] = std::string(5 << 20, 'x');
  for (int round = 0; round < 2; ++round) {
    auto entries = f.world.Run(*f.env, f.store->ScanAll({kSpace, "", std::nullopt}));
    REQUIRE(entries.ok());
    REQUIRE(entries->size() == model.size());
    size_t i = 0;
    for (const auto& [key, value] : model) {
      REQUIRE((*entries)[i].key == key);
      REQUIRE((*entries)[i].value == value);
      ++i;
    }
    f.Reopen();
  }
}

TEST_CASE("KvStore: a closed store refuses") {
  Fixture f(GENERATE(Kind::kLog, Kind::kRocksDb, Kind::kRemote));
  f.Put("a", "1");
  REQUIRE(f.world.Run(*f.env, f.store->Close()).ok());
  KvBatch batch;
  batch.Put(kSpace, "b", "1");
  CHECK(absl::IsUnavailable(f.Write(std::move(batch))));
  CHECK(absl::IsUnavailable(f.world.Run(*f.env, f.store->Get(kSpace, "a")).status()));
  CHECK(absl::IsUnavailable(f.world.Run(*f.env, f.store->Flush())));
  f.store = nullptr;
}

// Whether it was synced in the old log nobody knows (a killed process; a sync that failed).
TEST_CASE("RocksDbKvStore: what was replayed is in a table when the store is open") {
  const auto tables = [](const Fixture& f) {
    std::vector<std::string> names;
    REQUIRE(rocksdb::Env::Default()->GetChildren(f.folder(), &names).ok());
    return std::ranges::count_if(names, [](const auto& name) { return name.ends_with(".sst"); });
  };
  Fixture f(Kind::kRocksDb);
  f.Put("a", "1");
  CHECK(tables(f) == 0);
  f.Reopen();
  CHECK(tables(f) == 1);
}

TEST_CASE("RocksDbKvStore: a directory that is in use is refused with a reason") {
  Fixture f(Kind::kRocksDb);
  auto second = f.TryOpen();
  REQUIRE_FALSE(second.ok());
  CHECK(absl::IsFailedPrecondition(second.status()));
}

}  // namespace
}  // namespace millrace
