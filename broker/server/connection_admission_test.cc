#include "broker/server/connection_admission.h"

#include <catch2/catch.hpp>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"

namespace millrace {
namespace {

using Verdict = ConnectionQuota::Verdict;

TEST_CASE("ConnectionAdmission: connections of all shards count together") {
  SimWorld world(1);
  SimNode& node = world.AddNode("n1");
  Env& first = node.Boot(/*shards=*/2);
  Env& second = node.process().env(1);
  Shards shards({&first.reactor, &second.reactor});
  ConnectionQuotaOptions options;
  options.total_max = 3;
  options.per_address_max = 2;
  LocalAdmission local(options);
  RemoteAdmission remote(shards, ShardId(1), local);

  CHECK(world.Run(first, local.Admit("a")) == Verdict::kAdmitted);
  CHECK(world.Run(second, remote.Admit("a")) == Verdict::kAdmitted);
  CHECK(world.Run(second, remote.Admit("a")) == Verdict::kTooManyFromAddress);
  CHECK(world.Run(first, local.Admit("a")) == Verdict::kTooManyFromAddress);
  CHECK(world.Run(second, remote.Admit("b")) == Verdict::kAdmitted);
  CHECK(world.Run(first, local.Admit("c")) == Verdict::kTooManyInTotal);
  world.Run(second, remote.Leave("a"));
  CHECK(local.total() == 2);
  CHECK(world.Run(first, local.Admit("c")) == Verdict::kAdmitted);
}

}  // namespace
}  // namespace millrace
