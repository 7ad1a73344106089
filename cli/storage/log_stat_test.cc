#include "cli/storage/log_stat.h"

#include <catch2/catch.hpp>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/record/batch_builder.h"

namespace millrace {
namespace {

Task<absl::Status> Put(Disk* disk, std::string path, Slice bytes) {
  auto file = co_await disk->Open(path, OpenOptions{.create = true});
  if (!file.ok()) co_return file.status();
  absl::Status status = co_await (*file)->WriteAt(0, Chain(std::move(bytes)), WriteFlags{});
  status.Update(co_await (*file)->Close());
  co_return status;
}

Slice Batch(Offset base) {
  BatchBuilder builder({});
  builder.Append(Timestamp(1000), std::nullopt, {});
  builder.Append(Timestamp(2500), std::nullopt, {});
  BatchView batch = *builder.Build();
  batch.SetBaseOffset(base);
  return batch.bytes();
}

TEST_CASE("log stat: partitions, segments, bytes and offsets, as they lie there") {
  SimWorld world(1);
  Env& env = world.AddNode("n1").Boot();
  const size_t batch_bytes = Batch(Offset(0)).size();
  auto put = [&](const std::string& path, Slice bytes) {
    REQUIRE(world.Run(env, Put(&env.disk, path, std::move(bytes))).ok());
  };
  for (const char* folder :
       {"/d/t-0", "/d/t-1", "/d/t-2.00000000000000000000000000000000-delete"}) {
    REQUIRE(world.Run(env, env.disk.CreateDirectories(folder)).ok());
  }
  put("/d/t-0/00000000000000000005.log", Batch(Offset(5)));
  put("/d/t-0/00000000000000000007.log", Batch(Offset(7)));
  put("/d/t-0/00000000000000000007.index", Slice::Copy("12345678"));
  put("/d/t-1/00000000000000000000.log", Slice::Copy("torn"));
  auto stats = world.Run(env, StatPath(env.disk, "/d/"));
  REQUIRE(stats.ok());
  REQUIRE(stats->size() == 2);
  const PartitionStat& first = (*stats)[0];
  CHECK(first.folder == "/d/t-0");
  CHECK(first.segments == 2);
  CHECK(first.log_bytes == 2 * batch_bytes);
  CHECK(first.index_bytes == 8);
  CHECK(first.begin == Offset(5));
  CHECK(first.end == Offset(9));
  CHECK(first.newest == Timestamp(2500));
  CHECK(first.defect.empty());
  CHECK((*stats)[1].end == Offset(0));
  CHECK_FALSE((*stats)[1].defect.empty());
  CHECK(StatJson({first}) ==
        fmt::format("{{\"folder\":\"/d/t-0\",\"segments\":2,\"log_bytes\":{},\"index_bytes\":8,"
                    "\"begin\":5,\"end\":9,\"newest_ms\":2500}}\n",
                    2 * batch_bytes));
  auto one = world.Run(env, StatPath(env.disk, "/d/t-0"));
  REQUIRE(one.ok());
  CHECK(one->size() == 1);
  CHECK(absl::IsNotFound(world.Run(env, StatPath(env.disk, "/")).status()));
}

}  // namespace
}  // namespace millrace
