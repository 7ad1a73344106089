// What is removed later, and how large files go.
#include "storage/deferred_removals.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"

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
  DeferredRemovals removals(env);
  removals.Start();
  removals.Add(path.ends_with(".deleted") ? path : "/d/t-0.1-delete", 5000);
  world.RunFor(seconds(4));
  REQUIRE(node.disk().Find(path) != nullptr);
  CHECK(node.disk().Find(path)->size() == 20 * kMegabyte);
  CHECK(WatchItGo(world, node, path) ==
        std::vector<uint64_t>{20 * kMegabyte, 12 * kMegabyte, 4 * kMegabyte});
  world.Run(env, removals.Stop());
}

}  // namespace millrace
