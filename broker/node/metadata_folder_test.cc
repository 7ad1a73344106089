#include "broker/node/metadata_folder.h"

#include <catch2/catch.hpp>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/log_files.h"

namespace millrace {

TEST_CASE("MetadataFolder: that there was a store is known after power loss") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  Env* env = &node.Boot();
  REQUIRE(world.Run(*env, CreateDirectoriesDurably(env->disk, "/data")).ok());
  MetadataFolder before(env->disk, "/data");
  before.SetIdentity(DirectoryId(1, 1));
  CHECK_FALSE(*world.Run(*env, before.HadStore()));
  REQUIRE(world.Run(*env, before.RememberStore()).ok());
  node.PowerLoss();
  env = &node.Boot();
  MetadataFolder after(env->disk, "/data");
  after.SetIdentity(DirectoryId(1, 1));
  CHECK(*world.Run(*env, after.HadStore()));
  // Of a life before the directory was formatted anew it says nothing.
  after.SetIdentity(DirectoryId(1, 2));
  CHECK_FALSE(*world.Run(*env, after.HadStore()));
  REQUIRE(world.Run(*env, after.RememberStore()).ok());
  CHECK(*world.Run(*env, after.HadStore()));
}

TEST_CASE("MetadataFolder: that a controller is the only voter is known until there are others") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  Env* env = &node.Boot();
  REQUIRE(world.Run(*env, CreateDirectoriesDurably(env->disk, "/data")).ok());
  for (bool alone : {true, true, false, false, true}) {
    MetadataFolder folder(env->disk, "/data");
    folder.SetIdentity(DirectoryId(1, 1));
    REQUIRE(world.Run(*env, folder.RememberAlone(alone)).ok());
    node.PowerLoss();
    env = &node.Boot();
    MetadataFolder after(env->disk, "/data");
    after.SetIdentity(DirectoryId(1, 1));
    CHECK(*world.Run(*env, after.IsAlone()) == alone);
    after.SetIdentity(DirectoryId(1, 2));
    CHECK_FALSE(*world.Run(*env, after.IsAlone()));
  }
}

TEST_CASE("MetadataFolder: damage is known until the store was set aside") {
  SimWorld world(1);
  Env& env = world.AddNode("n1").Boot();
  MetadataFolder folder(env.disk, "/data");
  REQUIRE(world.Run(env, CreateDirectoriesDurably(env.disk, folder.store_path())).ok());
  CHECK_FALSE(*world.Run(env, folder.HasDamage()));
  REQUIRE(world.Run(env, folder.RememberDamage()).ok());
  CHECK(*world.Run(env, folder.HasDamage()));
  REQUIRE(world.Run(env, folder.SetStoreAside()).ok());
  CHECK_FALSE(*world.Run(env, folder.HasDamage()));
}

TEST_CASE(
    "MetadataFolder: a crash anywhere in setting a damaged store aside leaves a node that starts") {
  for (bool power : {false, true}) {
    bool ended = false;
    for (uint64_t operation = 1; !ended; ++operation) {
      INFO("operation " << operation << (power ? ", power" : ", kill"));
      SimWorld world(operation);
      SimNode& node = world.AddNode("n1");
      {
        Env& env = node.Boot();
        MetadataFolder folder(env.disk, "/data");
        REQUIRE(world.Run(env, CreateDirectoriesDurably(env.disk, folder.store_path())).ok());
        const std::string file = JoinPath(folder.store_path(), "CURRENT");
        REQUIRE(world.Run(env, ReplaceFile(env.disk, file, "rotten")).ok());
        REQUIRE(world.Run(env, folder.RememberDamage()).ok());
        bool crashed = false;
        const uint64_t at = node.disk().operations() + operation;
        node.disk().set_operation_hook([&](uint64_t number) {
          if (number != at) return;
          world.After(Duration(0), [&] {
            crashed = true;
            power ? node.PowerLoss() : node.Kill();
          });
        });
        (void)world.Run(env, folder.SetStoreAside());
        node.disk().set_operation_hook(nullptr);
        ended = !crashed;
        if (ended) power ? node.PowerLoss() : node.Kill();
      }
      Env& env = node.Boot();
      MetadataFolder folder(env.disk, "/data");
      const auto damaged = world.Run(env, folder.HasDamage());
      REQUIRE(damaged.ok());
      if (*damaged) {
        const auto aside = world.Run(env, folder.SetStoreAside());
        INFO(aside.status().ToString());
        CHECK(aside.ok());
      }
      CHECK_FALSE(*world.Run(env, folder.HasDamage()));
      CHECK(node.disk().Files() ==
            std::vector<std::string>{"data/millrace-state.damaged.1/CURRENT"});
      node.Kill();
    }
  }
}

TEST_CASE("MetadataFolder: stores that are set aside do not take each other's place") {
  SimWorld world(1);
  Env& env = world.AddNode("n1").Boot();
  MetadataFolder folder(env.disk, "/data");
  for (const char* name : {"/data/millrace-state.damaged.1", "/data/millrace-state.damaged.2"}) {
    REQUIRE(world.Run(env, CreateDirectoriesDurably(env.disk, folder.store_path())).ok());
    const auto aside = world.Run(env, folder.SetStoreAside());
    REQUIRE(aside.ok());
    CHECK(**aside == name);
  }
  CHECK(*world.Run(env, folder.CountSetAside()) == 2);
  const auto left = world.Run(env, env.disk.List("/data"));
  REQUIRE(left.ok());
  CHECK(left->size() == 2);
  // In a log directory they are nobody's replica.
  for (const DirectoryEntry& entry : *left) {
    CHECK_FALSE(ParsePartitionDirectoryName(entry.name).has_value());
  }
}

}  // namespace millrace
