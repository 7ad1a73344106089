#include "storage/record/shard_validator.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <utility>
#include <vector>

#include "common/error_kind.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "common/runtime/task_scope.h"
#include "storage/record/batch_builder.h"

namespace millrace {
namespace {

constexpr Timestamp kNow(1'000'000);

BatchView Large(Compression compression) {
  BatchBuilder builder({.compression = compression});
  const std::vector<uint8_t> value(1000, 'v');
  for (int i = 0; i < 1000; ++i) builder.Append(kNow, std::nullopt, value);
  return *builder.Build();
}

ValidationJob Job(BatchView batch, AppendRules rules = {}) {
  return {std::move(batch), rules, AppendOrigin::kClient, "topic-0", kNow};
}

Task<void> ValidateInto(ShardValidator* validator, ValidationJob job, CancellationToken cancel,
                        std::vector<absl::Status>* ends) {
  absl::StatusOr<ValidationOutcome> outcome =
      co_await validator->Validate(std::move(job), std::move(cancel));
  if (!outcome.ok()) {
    ends->push_back(outcome.status());
  } else {
    ends->push_back(outcome->has_value() ? absl::OkStatus() : outcome->error().status);
  }
}

Task<void> ValidateMany(Env* env, ShardValidator* validator, int count, CancellationSource* cancel,
                        std::vector<absl::Status>* ends) {
  TaskScope scope(env->reactor);
  for (int i = 0; i < count; ++i) {
    scope.Spawn(ValidateInto(validator, Job(Large(Compression::kSnappy)), cancel->token(), ends));
  }
  // Those that wait for memory end at once; those that are with a helper end well.
  cancel->Cancel();
  co_await scope.Join();
}

}  // namespace

TEST_CASE("ShardValidator: what is too long for the shard comes out of a helper the same") {
  SimWorld world(1);
  Env& env = world.AddNode("n1").Boot();
  ShardValidator validator(env, {});
  for (Compression compression :
       {Compression::kGzip, Compression::kSnappy, Compression::kLz4, Compression::kZstd}) {
    const BatchView batch = Large(compression);
    const AppendRules rules{.compression = Compression::kNone};
    CHECK_FALSE(validator.TryValidate(batch, rules, AppendOrigin::kClient, "topic-0", kNow));
    auto outcome = world.Run(env, validator.Validate(Job(batch, rules), CancellationToken()));
    REQUIRE(outcome.ok());
    REQUIRE(outcome->has_value());
    auto expected = BatchValidator().Validate(batch, rules, AppendOrigin::kClient, "topic-0", kNow);
    REQUIRE(expected.has_value());
    CHECK((*outcome)->batch.bytes() == expected->batch.bytes());
  }
}

TEST_CASE("ShardValidator: a helper's refusal is the validator's") {
  SimWorld world(1);
  Env& env = world.AddNode("n1").Boot();
  ShardValidator validator(env, {});
  const AppendRules rules{.compacted = true};
  auto outcome = world.Run(
      env, validator.Validate(Job(Large(Compression::kGzip), rules), CancellationToken()));
  REQUIRE(outcome.ok());
  REQUIRE_FALSE(outcome->has_value());
  CHECK(KindOf(outcome->error().status) == ErrorKind::kInvalidRecord);
  CHECK(outcome->error().record_errors.size() == 1000);
}

TEST_CASE("ShardValidator: one batch above the memory goes alone, and who waits can be cancelled") {
  SimWorld world(1);
  Env& env = world.AddNode("n1").Boot();
  ShardValidator validator(env, {.memory_bytes_max = 1 << 10});
  CancellationSource cancel;
  std::vector<absl::Status> ends;
  world.Run(env, ValidateMany(&env, &validator, 3, &cancel, &ends));
  REQUIRE(ends.size() == 3);
  CHECK(std::ranges::count_if(ends, [](const absl::Status& end) { return end.ok(); }) == 1);
  CHECK(std::ranges::count_if(ends, absl::IsCancelled) == 2);
  // All memory came back.
  auto outcome =
      world.Run(env, validator.Validate(Job(Large(Compression::kGzip)), CancellationToken()));
  CHECK(outcome.ok());
}

}  // namespace millrace
