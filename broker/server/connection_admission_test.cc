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

  CHECK(world.Run(first, local.Admit({"a"})) == Verdict::kAdmitted);
  CHECK(world.Run(second, remote.Admit({"a"})) == Verdict::kAdmitted);
  CHECK(world.Run(second, remote.Admit({"a"})) == Verdict::kTooManyFromAddress);
  CHECK(world.Run(first, local.Admit({"a"})) == Verdict::kTooManyFromAddress);
  CHECK(world.Run(second, remote.Admit({"b"})) == Verdict::kAdmitted);
  CHECK(world.Run(first, local.Admit({"c"})) == Verdict::kTooManyInTotal);
  world.Run(second, remote.Leave("a"));
  CHECK(local.total() == 2);
  CHECK(world.Run(first, local.Admit({"c"})) == Verdict::kAdmitted);
}

TEST_CASE("ConnectionQuota: over the total an operator on the machine itself gets in") {
  ConnectionQuotaOptions options;
  options.total_max = 1;
  ConnectionQuota quota(options);
  const ConnectionOrigin operating{"127.0.0.1", /*own_machine=*/true};
  CHECK(quota.TryAdmit({"a"}) == Verdict::kAdmitted);
  CHECK(quota.TryAdmit({"b"}) == Verdict::kTooManyInTotal);
  for (int64_t i = 0; i < ConnectionQuota::kOperatorMax; ++i) {
    CHECK(quota.TryAdmit(operating) == Verdict::kAdmitted);
  }
  CHECK(quota.TryAdmit(operating) == Verdict::kTooManyInTotal);
  // When they have gone, nobody else has their place.
  for (int64_t i = 0; i < ConnectionQuota::kOperatorMax; ++i) quota.Leave("127.0.0.1");
  CHECK(quota.TryAdmit({"b"}) == Verdict::kTooManyInTotal);
}

TEST_CASE("IsOwnMachine: loopback, or the address that was dialed") {
  CHECK(IsOwnMachine("127.0.0.1", "10.0.0.7"));
  CHECK(IsOwnMachine("127.8.9.1", "127.0.0.1"));
  CHECK(IsOwnMachine("::1", "::1"));
  CHECK(IsOwnMachine("::ffff:127.0.0.1", "::ffff:127.0.0.1"));
  CHECK(IsOwnMachine("10.0.0.7", "10.0.0.7"));
  CHECK_FALSE(IsOwnMachine("10.0.0.8", "10.0.0.7"));
  CHECK_FALSE(IsOwnMachine("1127.0.0.1", "10.0.0.7"));
}

}  // namespace
}  // namespace millrace
