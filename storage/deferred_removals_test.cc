// What is removed later, and how large files go.
#include "storage/deferred_removals.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/log_files.h"

namespace millrace {
namespace {

constexpr uint64_t kMegabyte = uint64_t{1} << 20;

Task<absl::Status> MakeFile(Disk* disk, std::string path, uint64_t size) {
  auto file = co_await disk->Open(std::move(path), OpenOptions{.create = true});
  if (!file.ok()) co_return file.status();
  absl::Status grown = co_await (*file)->Allocate(0, size, /*grow=*/true);
  if (!grown.ok()) co_return grown;
  co_return co_await (*file)->Close();
}

// The sizes that the file has until it is gone.
std::vector<uint64_t> WatchItGo(SimWorld& world, SimNode& node, const std::string& path) {
  std::vector<uint64_t> sizes;
  const bool gone = world.RunUntil(
      [&] {
        SimFileData* file = node.disk().Find(path);
        if (file != nullptr && (sizes.empty() || sizes.back() != file->size())) {
          sizes.push_back(file->size());
        }
        return file == nullptr;
      },
      seconds(60));
  REQUIRE(gone);
  return sizes;
}

}  // namespace

TEST_CASE("DeferredRemovals: a large file goes in parts, after its time") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  Env& env = node.Boot();
  REQUIRE(world.Run(env, env.disk.CreateDirectories("/d/t-0.1-delete")).ok());
  const std::string path =
      GENERATE("/d/00000000000000000000.log.deleted", "/d/t-0.1-delete/00000000000000000000.log");
  REQUIRE(world.Run(env, MakeFile(&env.disk, path, 20 * kMegabyte)).ok());
  DeferredRemovals removals(env, {"/d"});
  removals.Start();
  removals.Add(path.ends_with(".deleted") ? path : "/d/t-0.1-delete", 5000);
  world.RunFor(seconds(4));
  REQUIRE(node.disk().Find(path) != nullptr);
  CHECK(node.disk().Find(path)->size() == 20 * kMegabyte);
  CHECK(WatchItGo(world, node, path) ==
        std::vector<uint64_t>{20 * kMegabyte, 12 * kMegabyte, 4 * kMegabyte});
  world.Run(env, removals.Stop());
}

TEST_CASE("DeferredRemovals: a directory that hangs keeps nothing that lies in another") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  Env& env = node.Boot();
  for (const char* directory : {"/d", "/d/inner", "/other"}) {
    REQUIRE(world.Run(env, env.disk.CreateDirectories(directory)).ok());
    REQUIRE(world.Run(env, MakeFile(&env.disk, JoinPath(directory, "file"), 1)).ok());
  }
  DeferredRemovals removals(env, {"/d", "/d/inner", "/other"});
  removals.Start();
  node.disk().Slow("/d/file", seconds(3600));
  for (const char* file : {"/d/file", "/d/inner/file", "/other/file"}) removals.Add(file, 0);
  world.RunFor(seconds(1));
  CHECK(node.disk().Find("/d/inner/file") == nullptr);
  CHECK(node.disk().Find("/other/file") == nullptr);
  world.RunFor(seconds(3600));
  CHECK(node.disk().Find("/d/file") == nullptr);
  world.Run(env, removals.Stop());
}

}  // namespace millrace
