#include <catch2/catch.hpp>
#include <string>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

Task<absl::Status> WriteFile(Disk* disk, std::string path, std::string text, bool durable) {
  MR_CO_ASSIGN_OR_RETURN(auto file, co_await disk->Open(path, {.create = true}));
  absl::Status written = co_await file->WriteAt(0, Chain(Slice::Copy(text)), {.durable = durable});
  absl::Status closed = co_await file->Close();
  co_return written.ok() ? closed : written;
}

Task<absl::Status> SyncFile(Disk* disk, std::string path) {
  MR_CO_ASSIGN_OR_RETURN(auto file, co_await disk->Open(path, {}));
  absl::Status synced = co_await file->Sync();
  absl::Status closed = co_await file->Close();
  co_return synced.ok() ? closed : synced;
}

Task<std::string> ReadFile(Disk* disk, std::string path) {
  absl::StatusOr<std::unique_ptr<File>> file = co_await disk->Open(path, {.read_only = true});
  if (!file.ok()) co_return absl::IsNotFound(file.status()) ? "absent" : file.status().ToString();
  absl::StatusOr<Slice> bytes = co_await (*file)->ReadAt(0, 1 << 20, ReadHint::kNormal);
  (void)co_await (*file)->Close();
  co_return bytes.ok() ? std::string(bytes->view()) : bytes.status().ToString();
}

// A world with one node that has an empty file "data" with a durable name.
struct OneNode {
  explicit OneNode(uint64_t seed) : world(seed), node(world.AddNode("n1")) {
    env = &node.Boot();
    REQUIRE(Write("data", "").ok());
    node.disk().SyncEverything();
  }
  absl::Status Write(std::string path, std::string text, bool durable = false) {
    return world.Run(*env, WriteFile(&env->disk, std::move(path), std::move(text), durable));
  }
  absl::Status Sync(std::string path) {
    return world.Run(*env, SyncFile(&env->disk, std::move(path)));
  }
  std::string Read(std::string path) {
    return world.Run(*env, ReadFile(&env->disk, std::move(path)));
  }
  void PowerLoss() {
    node.PowerLoss();
    env = &node.Boot();
  }
  void Kill() {
    node.Kill();
    env = &node.Boot();
  }
  SimWorld world;
  SimNode& node;
  Env* env;
};

}  // namespace

TEST_CASE("SimDisk: a kill keeps what was written without a sync") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    OneNode one(seed);
    REQUIRE(one.Write("data", "hello").ok());
    one.Kill();
    REQUIRE(one.Read("data") == "hello");
  }
}

TEST_CASE("SimDisk: a power loss may take what was not synced, and sometimes leaves it") {
  int lost = 0;
  int kept = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    OneNode one(seed);
    REQUIRE(one.Write("data", "hello").ok());
    one.PowerLoss();
    const std::string left = one.Read("data");
    if (left == "hello") ++kept;
    if (left.empty()) ++lost;
  }
  REQUIRE(lost > 5);
  REQUIRE(kept > 5);
}

TEST_CASE("SimDisk: a power loss never takes what was synced or written durably") {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    OneNode one(seed);
    const bool durable = seed % 2 == 0;
    const std::string text(5000, 'x');
    REQUIRE(one.Write("data", text, durable).ok());
    if (!durable) REQUIRE(one.Sync("data").ok());
    one.PowerLoss();
    REQUIRE(one.Read("data") == text);
  }
}

TEST_CASE("SimDisk: a torn write is torn at sectors, each old or new") {
  int torn = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    OneNode one(seed);
    REQUIRE(one.Write("data", std::string(8 * kSectorBytes, 'a'), /*durable=*/true).ok());
    REQUIRE(one.Write("data", std::string(8 * kSectorBytes, 'b')).ok());
    one.PowerLoss();
    const std::string left = one.Read("data");
    REQUIRE(left.size() == 8 * kSectorBytes);
    for (size_t sector = 0; sector < 8; ++sector) {
      const std::string part = left.substr(sector * kSectorBytes, kSectorBytes);
      REQUIRE((part == std::string(kSectorBytes, 'a') || part == std::string(kSectorBytes, 'b')));
    }
    if (left.find('a') != std::string::npos && left.find('b') != std::string::npos) ++torn;
  }
  REQUIRE(torn > 10);
}

TEST_CASE("SimDisk: a new name may be lost until its folder is synced, and never after") {
  int lost = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    OneNode one(seed);
    REQUIRE(one.Write("new", "text", /*durable=*/true).ok());
    const bool synced = seed % 2 == 0;
    if (synced) REQUIRE(one.world.Run(*one.env, one.env->disk.SyncDirectory("/")).ok());
    one.PowerLoss();
    const std::string left = one.Read("new");
    if (synced) REQUIRE(left == "text");
    if (left == "absent") ++lost;
  }
  REQUIRE(lost > 3);
}

TEST_CASE("SimDisk: a rename without a folder sync leaves the old or the new, never neither") {
  int old_left = 0;
  int new_left = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    OneNode one(seed);
    REQUIRE(one.Write("data", "old", /*durable=*/true).ok());
    REQUIRE(one.Write("data.tmp", "new", /*durable=*/true).ok());
    REQUIRE(one.world.Run(*one.env, one.env->disk.Rename("data.tmp", "data")).ok());
    const bool synced = seed % 3 == 0;
    if (synced) REQUIRE(one.world.Run(*one.env, one.env->disk.SyncDirectory("/")).ok());
    one.PowerLoss();
    const std::string left = one.Read("data");
    REQUIRE((left == "old" || left == "new"));
    if (synced) REQUIRE(left == "new");
    ++(left == "old" ? old_left : new_left);
  }
  REQUIRE(old_left > 3);
  REQUIRE(new_left > 3);
}

TEST_CASE("SimDisk: a failed sync is followed by syncs that lie") {
  OneNode one(7);
  REQUIRE(one.Write("data", "old", /*durable=*/true).ok());
  REQUIRE(one.Write("data", "new").ok());
  one.node.disk().FailNextSync();
  REQUIRE(absl::IsDataLoss(one.Sync("data")));
  REQUIRE(one.Sync("data").ok());
  REQUIRE(one.Read("data") == "new");
  one.PowerLoss();
  REQUIRE(one.Read("data") == "old");
}

TEST_CASE("SimDisk: what is written again after a failed sync becomes durable") {
  OneNode one(8);
  REQUIRE(one.Write("data", "new").ok());
  one.node.disk().FailNextSync();
  REQUIRE_FALSE(one.Sync("data").ok());
  REQUIRE(one.Write("data", "new").ok());
  REQUIRE(one.Sync("data").ok());
  one.PowerLoss();
  REQUIRE(one.Read("data") == "new");
}

TEST_CASE("SimDisk: a full disk refuses growth, and room comes back with a removal") {
  OneNode one(1);
  one.node.disk().options().capacity_bytes = 16 * 1024;
  REQUIRE(one.Write("big", std::string(12'000, 'x')).ok());
  REQUIRE(absl::IsResourceExhausted(one.Write("more", std::string(12'000, 'y'))));
  REQUIRE(one.world.Run(*one.env, one.env->disk.Remove("more")).ok());
  REQUIRE(one.world.Run(*one.env, one.env->disk.Remove("big")).ok());
  REQUIRE(one.Write("more", std::string(12'000, 'y')).ok());
}

TEST_CASE("SimDisk: rot and misdirected writes change bytes and report success") {
  OneNode one(2);
  REQUIRE(one.Write("data", std::string(64 * 1024, 'a'), /*durable=*/true).ok());
  one.node.disk().Find("data")->FlipBit(100, 0);
  REQUIRE(one.Read("data")[100] == '`');  // 'a' is 0x61; its lowest bit was set.
  one.node.disk().MisdirectNextWrite();
  REQUIRE(one.Write("data", std::string(4096, 'b'), /*durable=*/true).ok());
  REQUIRE(one.Read("data").find(std::string(4096, 'b')) != std::string::npos);
}

TEST_CASE("SimDisk: a lock is held by one process and ends with it") {
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  Env& env = node.Boot();
  auto first = world.Run(env, env.disk.Lock("lock"));
  REQUIRE(first.ok());
  REQUIRE(absl::IsFailedPrecondition(world.Run(env, env.disk.Lock("lock")).status()));
  node.Kill();
  Env& later = node.Boot();
  auto second = world.Run(later, later.disk.Lock("lock"));
  REQUIRE(second.ok());
  first->reset();  // The dead process's: must not release the new one's.
  REQUIRE_FALSE(world.Run(later, later.disk.Lock("lock")).ok());
}

TEST_CASE("SimDisk: listings are sorted, and a removed folder must be empty") {
  SimWorld world(4);
  Env& env = world.AddNode("n1").Boot();
  REQUIRE(world.Run(env, env.disk.CreateDirectories("/a/b")).ok());
  for (std::string name : {"/a/z", "/a/c", "/a/m"}) {
    REQUIRE(world.Run(env, WriteFile(&env.disk, name, "x", false)).ok());
  }
  auto entries = world.Run(env, env.disk.List("/a"));
  REQUIRE(entries.ok());
  std::string names;
  for (const DirectoryEntry& entry : *entries) names += entry.name;
  REQUIRE(names == "bcmz");
  REQUIRE(absl::IsFailedPrecondition(world.Run(env, env.disk.Remove("/a"))));
  REQUIRE(absl::IsNotFound(world.Run(env, env.disk.Remove("/a/none"))));
}

TEST_CASE("SimFileData: a sync promises what was written before it began, and no more") {
  int lost = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SimRandom dice(seed);
    SimFileData data;
    const std::string before = "before";
    const std::string after = "after!";
    data.Write(0, std::span(reinterpret_cast<const uint8_t*>(before.data()), before.size()));
    const SimFileData::SyncPoint point = data.BeginSync();
    data.Write(0, std::span(reinterpret_cast<const uint8_t*>(after.data()), after.size()));
    data.EndSync(point);
    data.LosePower(dice);
    std::string left(6, ' ');
    REQUIRE(data.size() == 6);
    data.Read(0, std::span(reinterpret_cast<uint8_t*>(left.data()), left.size()));
    REQUIRE((left == before || left == after));
    if (left == before) ++lost;
  }
  REQUIRE(lost > 5);
  REQUIRE(lost < 35);
}

TEST_CASE("SimFileData: a durable write keeps its place when a sync that began before it ends") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SimRandom dice(seed);
    SimFileData data;
    const std::string text = "text";
    const std::span bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    data.Write(0, bytes);
    const SimFileData::SyncPoint point = data.BeginSync();
    data.Write(1000, bytes);
    data.SyncRange(1000, 1004);
    data.EndSync(point);
    data.LosePower(dice);
    REQUIRE(data.size() == 1004);
  }
}

TEST_CASE("SimFileData: agrees with a dumb model of shown bytes") {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    SimRandom dice(seed);
    SimFileData data;
    std::string model;
    for (int step = 0; step < 60; ++step) {
      const uint64_t position = dice.Below(20'000);
      switch (dice.Below(4)) {
        case 0:
          data.Resize(position);
          model.resize(position, '\0');
          break;
        case 1:
          data.Sync();
          break;
        default: {
          const std::string text(dice.Below(3000) + 1, static_cast<char>('a' + dice.Below(26)));
          data.Write(position,
                     std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
          if (model.size() < position + text.size()) model.resize(position + text.size(), '\0');
          model.replace(position, text.size(), text);
        }
      }
      REQUIRE(data.size() == model.size());
    }
    std::string shown(model.size(), ' ');
    data.Read(0, std::span(reinterpret_cast<uint8_t*>(shown.data()), shown.size()));
    REQUIRE(shown == model);
    data.Sync();
    data.LosePower(dice);
    REQUIRE(data.size() == model.size());
    data.Read(0, std::span(reinterpret_cast<uint8_t*>(shown.data()), shown.size()));
    REQUIRE(shown == model);
  }
}

}  // namespace millrace
