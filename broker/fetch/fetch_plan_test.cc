#include "broker/fetch/fetch_plan.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"

namespace millrace {
namespace {

constexpr int16_t kVersion = 12;  // The last one that names topics.

struct Bench {
  FetchPlan Plan(const kafka::FetchRequest& request, int16_t version = kVersion) {
    return PlanFetch(sessions, request, version, Instant(0), env.random);
  }
  SimWorld world{1};
  Env& env = world.AddNode("n").Boot();
  FetchSessionCache sessions{FetchSessionOptions()};
};

kafka::FetchRequest Request(std::vector<std::pair<std::string, std::vector<int32_t>>> topics) {
  kafka::FetchRequest request;
  request.session_epoch = -1;
  int64_t offset = 0;
  for (const auto& [name, partitions] : topics) {
    request.topics.push_back({.topic = name});
    for (int32_t partition : partitions) {
      request.topics.back().partitions.push_back(
          {.partition = partition, .fetch_offset = ++offset});
    }
  }
  return request;
}

std::vector<std::string> Said(const FetchPlan& plan) {
  std::vector<std::string> said;
  for (const FetchTarget& target : plan.targets) {
    said.push_back(fmt::format("{}-{}@{}", target.key.topic.text(), target.key.partition,
                               target.fetch_offset));
  }
  return said;
}

TEST_CASE("FetchPlan: a partition named twice is asked for once, as said last, where named first") {
  Bench bench;
  const FetchPlan plan =
      bench.Plan(Request({{"a", {0, 1, 0}}, {"b", {0}}, {"a", {1, 2}}, {"b", {0}}}));
  CHECK(Said(plan) == std::vector<std::string>{"a-0@3", "a-1@5", "b-0@7", "a-2@6"});
}

TEST_CASE(
    "FetchPlan: many mentions of one partition cost no more than one while it is waited for") {
  Bench bench;
  const FetchPlan once = bench.Plan(Request({{"a", {0}}}));
  const FetchPlan often = bench.Plan(Request({{"a", std::vector<int32_t>(10'000, 0)}}));
  CHECK(once.waiting_bytes() == often.waiting_bytes());
  const FetchPlan many = bench.Plan(Request({{"a", {0, 1, 2, 3}}}));
  CHECK(many.waiting_bytes() == 4 * once.waiting_bytes() - 3);  // The topic's name once.
}

TEST_CASE(
    "FetchPlan: the partitions of a topic share its name, however often and long it is said") {
  Bench bench;
  std::vector<int32_t> all(6000);
  std::iota(all.begin(), all.end(), 0);
  const std::string name(32767, 'n');
  const kafka::FetchRequest request = Request({{name, all}});
  const FetchPlan plan = bench.Plan(request);
  REQUIRE(plan.targets.size() == 6000);
  for (const FetchTarget& target : plan.targets) {
    CHECK(&target.key.topic.text() == &plan.targets[0].key.topic.text());
  }
  CHECK(plan.waiting_bytes() < name.size() + 6000 * 300);
  // What is charged before the plan is made is enough for it.
  CHECK(PlanBytes(bench.sessions, request, kVersion) >= plan.waiting_bytes());
}

TEST_CASE("FetchPlan: what an incremental request may take is known with its session") {
  Bench bench;
  kafka::FetchRequest request = Request({{"a", {0, 1, 2}}});
  request.session_epoch = 0;
  const int32_t id = bench.Plan(request).session_id();
  REQUIRE(id != 0);
  request = Request({{"b", {0}}});
  request.session_id = id;
  request.session_epoch = 1;
  const size_t before = PlanBytes(bench.sessions, request, kVersion);
  const FetchPlan plan = bench.Plan(request);
  CHECK(plan.targets.size() == 4);
  CHECK(before + 10 >= plan.waiting_bytes());  // But for the names the session has.
}

}  // namespace
}  // namespace millrace
