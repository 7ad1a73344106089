#include "broker/fetch/fetch_session.h"

#include <catch2/catch.hpp>

#include "broker/fetch/fetch_plan.h"

using namespace millrace;

namespace {

struct CountingRandom final : Random {
  uint64_t Next() override { return ++value; }
  uint64_t value = 0;
};

kafka::FetchRequest Ask(int32_t id, int32_t epoch, std::vector<int32_t> partitions) {
  kafka::FetchRequest request;
  request.session_id = id;
  request.session_epoch = epoch;
  if (!partitions.empty()) {
    request.topics.push_back({});
    request.topics[0].topic = "t";
    for (int32_t partition : partitions) {
      request.topics[0].partitions.push_back({});
      request.topics[0].partitions.back().partition = partition;
    }
  }
  return request;
}

std::vector<int32_t> PartitionsOf(const FetchPlan& plan) {
  std::vector<int32_t> partitions;
  for (const FetchTarget& target : plan.targets) partitions.push_back(target.key.partition);
  return partitions;
}

constexpr int16_t kByName = 12;
constexpr int16_t kById = 13;
const Instant kNow(0);

}  // namespace

TEST_CASE(
    "FetchSession: a session is made on (0, 0), continued with 1, 2, ..., and answers only news") {
  FetchSessionCache sessions({});
  CountingRandom random;
  FetchPlan first = PlanFetch(sessions, Ask(0, 0, {0, 1}), kByName, kNow, random);
  REQUIRE(first.session != nullptr);
  CHECK_FALSE(first.incremental);
  for (const FetchTarget& target : first.targets)
    first.session->Report(target.key, {.high_watermark = 5, .log_start_offset = 0});

  FetchPlan second = PlanFetch(sessions, Ask(first.session_id(), 1, {}), kByName, kNow, random);
  REQUIRE(second.session != nullptr);
  CHECK(second.incremental);
  CHECK(PartitionsOf(second) == std::vector<int32_t>{0, 1});
  CHECK_FALSE(
      second.session->Report(second.targets[0].key, {.high_watermark = 5, .log_start_offset = 0}));
  CHECK(
      second.session->Report(second.targets[0].key, {.high_watermark = 6, .log_start_offset = 0}));
  CHECK(
      second.session->Report(second.targets[1].key, {.high_watermark = 5, .log_start_offset = 1}));
}

TEST_CASE("FetchSession: an error is told every time, and what follows it is news") {
  FetchSession session(1, false, kNow);
  FetchKey key{std::nullopt, SharedName("t"), 0};
  session.Put({key, 0, 0, std::nullopt, std::nullopt});
  CHECK(session.Report(key, {.has_error = true}));
  CHECK(session.Report(key, {.has_error = true}));
  CHECK(session.Report(key, {.high_watermark = 5, .log_start_offset = 0}));
  CHECK_FALSE(session.Report(key, {.high_watermark = 5, .log_start_offset = 0}));
}

TEST_CASE(
    "FetchSession: wrong epochs, unknown ids and a change from names to ids are refused with "
    "Kafka's codes") {
  FetchSessionCache sessions({});
  CountingRandom random;
  int32_t id = PlanFetch(sessions, Ask(0, 0, {0}), kByName, kNow, random).session_id();
  CHECK(PlanFetch(sessions, Ask(id, 2, {}), kByName, kNow, random).error ==
        kafka::KafkaError::kInvalidFetchSessionEpoch);
  CHECK(PlanFetch(sessions, Ask(id + 1, 1, {}), kByName, kNow, random).error ==
        kafka::KafkaError::kFetchSessionIdNotFound);
  CHECK(PlanFetch(sessions, Ask(id, 1, {}), kById, kNow, random).error ==
        kafka::KafkaError::kFetchSessionTopicIdError);
  CHECK(PlanFetch(sessions, Ask(id, 1, {}), kByName, kNow, random).error ==
        kafka::KafkaError::kNone);
}

TEST_CASE("FetchSession: epochs wrap from 2147483647 to 1") {
  CHECK(NextFetchEpoch(1) == 2);
  CHECK(NextFetchEpoch(2147483647) == 1);
}

TEST_CASE("FetchSession: epoch -1 ends the session, and so does a new one over it") {
  FetchSessionCache sessions({});
  CountingRandom random;
  int32_t id = PlanFetch(sessions, Ask(0, 0, {0}), kByName, kNow, random).session_id();
  FetchPlan last = PlanFetch(sessions, Ask(id, -1, {0, 3}), kByName, kNow, random);
  CHECK(last.session == nullptr);
  CHECK(PartitionsOf(last) == std::vector<int32_t>{0, 3});
  CHECK(sessions.size() == 0);
  CHECK(sessions.partitions() == 0);
}

TEST_CASE(
    "FetchSession: forgotten partitions leave, and one that returned records goes to the end") {
  FetchSessionCache sessions({});
  CountingRandom random;
  FetchPlan plan = PlanFetch(sessions, Ask(0, 0, {0, 1, 2}), kByName, kNow, random);
  plan.session->Report(plan.targets[0].key,
                       {.has_records = true, .high_watermark = 1, .log_start_offset = 0});
  kafka::FetchRequest request = Ask(plan.session_id(), 1, {7});
  request.forgotten_topics_data.push_back({});
  request.forgotten_topics_data[0].topic = "t";
  request.forgotten_topics_data[0].partitions = {1};
  CHECK(PartitionsOf(PlanFetch(sessions, request, kByName, kNow, random)) ==
        std::vector<int32_t>{2, 0, 7});
  CHECK(sessions.partitions() == 3);
}

TEST_CASE(
    "FetchSession: when all slots are taken by young sessions the answer is sessionless; an old "
    "one gives way") {
  FetchSessionCache sessions({.slots_max = 2});
  CountingRandom random;
  const Instant later = kNow + seconds(121);
  int32_t old = PlanFetch(sessions, Ask(0, 0, {0}), kByName, kNow, random).session_id();
  REQUIRE(PlanFetch(sessions, Ask(0, 0, {0}), kByName, kNow + seconds(60), random).session !=
          nullptr);
  FetchPlan refused = PlanFetch(sessions, Ask(0, 0, {0}), kByName, kNow + seconds(61), random);
  CHECK(refused.session == nullptr);
  CHECK(refused.error == kafka::KafkaError::kNone);
  CHECK(PlanFetch(sessions, Ask(0, 0, {0}), kByName, later, random).session != nullptr);
  CHECK(PlanFetch(sessions, Ask(old, 1, {}), kByName, later, random).error ==
        kafka::KafkaError::kFetchSessionIdNotFound);
}

TEST_CASE("FetchSession: more partitions than all sessions may have get no session") {
  FetchSessionCache sessions({.partitions_max = 2});
  CountingRandom random;
  CHECK(PlanFetch(sessions, Ask(0, 0, {0, 1, 2}), kByName, kNow, random).session == nullptr);
  CHECK(PlanFetch(sessions, Ask(0, 0, {0, 1}), kByName, kNow, random).session != nullptr);
}

TEST_CASE("FetchSessionCache: a session that grows above the bound of all is closed") {
  FetchSessionCache sessions({.partitions_max = 4});
  CountingRandom random;
  FetchPlan other = PlanFetch(sessions, Ask(0, 0, {0}), kByName, kNow, random);
  FetchPlan first = PlanFetch(sessions, Ask(0, 0, {0, 1}), kByName, kNow, random);
  const int32_t id = first.session_id();
  REQUIRE(id != 0);
  // One more fits, and naming a known one again is no growth.
  CHECK(PlanFetch(sessions, Ask(id, 1, {1, 2}), kByName, kNow, random).session != nullptr);
  CHECK(sessions.partitions() == 4);
  FetchPlan grown = PlanFetch(sessions, Ask(id, 2, {3}), kByName, kNow, random);
  CHECK(grown.error == kafka::KafkaError::kFetchSessionIdNotFound);
  CHECK(grown.session == nullptr);
  CHECK(sessions.size() == 1);
  CHECK(sessions.partitions() == 1);
  // The client begins anew, and the other one never noticed.
  FetchPlan anew = PlanFetch(sessions, Ask(0, 0, {0, 1, 2, 3}), kByName, kNow, random);
  CHECK(anew.error == kafka::KafkaError::kNone);
  CHECK(anew.session == nullptr);
  CHECK(anew.targets.size() == 4);
  CHECK(PlanFetch(sessions, Ask(other.session_id(), 1, {}), kByName, kNow, random).session !=
        nullptr);
}

namespace {

kafka::FetchRequest Named(int32_t id, int32_t epoch, const std::string& name,
                          std::vector<int32_t> partitions) {
  kafka::FetchRequest request = Ask(id, epoch, std::move(partitions));
  request.topics[0].topic = name;
  return request;
}

}  // namespace

TEST_CASE("FetchSession: a topic's name is kept once, whichever requests say it, and counted") {
  FetchSessionCache sessions({.name_bytes_max = 200});
  CountingRandom random;
  const std::string name(100, 'n');
  const int32_t id =
      PlanFetch(sessions, Named(0, 0, name, {0}), kByName, kNow, random).session_id();
  FetchPlan more = PlanFetch(sessions, Named(id, 1, name, {1, 2}), kByName, kNow, random);
  REQUIRE(more.targets.size() == 3);
  CHECK(&more.targets[0].key.topic.text() == &more.targets[2].key.topic.text());
  CHECK(sessions.name_bytes() == 100);
  const std::string second(100, 'm');
  CHECK(PlanFetch(sessions, Named(id, 2, second, {0}), kByName, kNow, random).session != nullptr);
  CHECK(sessions.name_bytes() == 200);
  // A session more does not fit, nor another topic of this one.
  CHECK(PlanFetch(sessions, Named(0, 0, "x", {0}), kByName, kNow, random).session == nullptr);
  kafka::FetchRequest forget = Ask(id, 3, {});
  forget.forgotten_topics_data.push_back({.topic = second, .partitions = {0}});
  CHECK(PlanFetch(sessions, forget, kByName, kNow, random).session != nullptr);
  CHECK(sessions.name_bytes() == 100);
  CHECK(
      PlanFetch(sessions, Named(id, 4, std::string(101, 'l'), {0}), kByName, kNow, random).error ==
      kafka::KafkaError::kFetchSessionIdNotFound);
  CHECK(sessions.name_bytes() == 0);
  CHECK(sessions.size() == 0);
}

TEST_CASE("FetchSession: a name that no topic can have is answered, and in no session") {
  FetchSessionCache sessions({});
  CountingRandom random;
  const std::string impossible(250, 'n');
  FetchPlan plan = PlanFetch(sessions, Named(0, 0, impossible, {0, 1}), kByName, kNow, random);
  CHECK(plan.session == nullptr);
  CHECK(plan.error == kafka::KafkaError::kNone);
  CHECK(plan.targets.size() == 2);
  const int32_t id = PlanFetch(sessions, Ask(0, 0, {0}), kByName, kNow, random).session_id();
  REQUIRE(id != 0);
  CHECK(PlanFetch(sessions, Named(id, 1, impossible, {0}), kByName, kNow, random).error ==
        kafka::KafkaError::kFetchSessionIdNotFound);
  CHECK(sessions.size() == 0);
}
