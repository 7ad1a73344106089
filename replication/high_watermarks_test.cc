#include "replication/high_watermarks.h"

#include <catch2/catch.hpp>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/kv/kv_store_log.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

struct Kept {
  std::map<TopicPartitionId, Offset> now;
  std::map<TopicPartitionId, int> asked;
};

Task<absl::Status> RunFirst(Env* env, Kept* kept) {
  auto kv = co_await LogKvStore::Open(*env, "/meta", {});
  if (!kv.ok()) co_return kv.status();
  HighWatermarks marks(
      *env, kv->get(), seconds(5), [kept](const TopicPartitionId& id) -> std::optional<Offset> {
        ++kept->asked[id];
        auto found = kept->now.find(id);
        return found == kept->now.end() ? std::nullopt : std::optional(found->second);
      });
  if (absl::Status loaded = co_await marks.Load(); !loaded.ok()) co_return loaded;
  const TopicPartitionId one = TestPartition(1);
  const TopicPartitionId two = TestPartition(2);
  kept->now = {{one, Offset(5)}, {two, Offset(6)}};
  marks.Changed(one);
  marks.Changed(two);
  co_await Sleep(env->reactor, seconds(3));
  const bool early = !kept->asked.empty();
  co_await Sleep(env->reactor, seconds(3));
  if (early || kept->asked[one] != 1) co_return absl::InternalError("not in its time");
  // One is gone; the other moves on, and is written at the stop.
  kept->now.erase(one);
  kept->now.insert_or_assign(two, Offset(9));
  marks.Changed(one);
  marks.Changed(two);
  co_await marks.Stop();
  co_return co_await (*kv)->Close();
}

Task<absl::Status> RunSecond(Env* env) {
  auto kv = co_await LogKvStore::Open(*env, "/meta", {});
  if (!kv.ok()) co_return kv.status();
  HighWatermarks marks(*env, kv->get(), seconds(5),
                       [](const TopicPartitionId&) { return std::nullopt; });
  absl::Status status = co_await marks.Load();
  if (marks.Take(TestPartition(1)) != std::nullopt) status = absl::InternalError("1 is gone");
  if (marks.Take(TestPartition(2)) != Offset(9)) status = absl::InternalError("2 was at 9");
  if (marks.Take(TestPartition(2)) != std::nullopt) status = absl::InternalError("taken twice");
  co_await marks.Stop();
  status.Update(co_await (*kv)->Close());
  co_return status;
}

}  // namespace

TEST_CASE("HighWatermarks: written some time after a change, and there at the next start") {
  SimWorld world(1);
  Env& env = world.AddNode("n1").Boot();
  Kept kept;
  absl::Status first = world.Run(env, RunFirst(&env, &kept));
  if (!first.ok()) FAIL(first.ToString());
  absl::Status second = world.Run(env, RunSecond(&env));
  if (!second.ok()) FAIL(second.ToString());
}

}  // namespace millrace
