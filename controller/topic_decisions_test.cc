#include "controller/topic_decisions.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "common/error_kind.h"
#include "controller/image/metadata_delta.h"
#include "controller/request_records.h"

using namespace millrace;

namespace {

std::shared_ptr<const MetadataImage> Cluster(std::vector<MetadataRecord> more = {}) {
  MetadataDelta delta(std::make_shared<const MetadataImage>());
  for (int32_t id : {1, 2, 3}) {
    BrokerImage broker;
    broker.id = BrokerId(id);
    broker.log_directories = {{DirectoryId(100, static_cast<uint64_t>(id))}};
    broker.fenced = id == 3;
    REQUIRE(delta.Apply(RegisterBrokerRecord{broker}).ok());
  }
  for (const MetadataRecord& record : more) REQUIRE(delta.Apply(record).ok());
  return delta.Build(RaftIndex(1));
}

std::shared_ptr<const MetadataImage> Grown(const MetadataImage& image,
                                           const std::vector<MetadataRecord>& records) {
  MetadataDelta delta(std::make_shared<const MetadataImage>(image));
  for (const MetadataRecord& record : records) REQUIRE(delta.Apply(record).ok());
  return delta.Build(RaftIndex(2));
}

CreateTopicDraws Draws() {
  auto next = std::make_shared<uint64_t>(0);
  return {[next] { return TopicId(7, ++*next); }, [] { return uint64_t{0}; }};
}

CreateTopicRequest Topic(std::string name) {
  CreateTopicRequest request;
  request.name = std::move(name);
  return request;
}

std::optional<ErrorKind> KindOfCreating(const MetadataImage& image, CreateTopicRequest request,
                                        TopicRules rules = {}) {
  auto decision = DecideCreateTopics(image, rules, {std::move(request)}, false, Draws());
  REQUIRE(decision.replies.size() == 1);
  if (!decision.replies[0].status.ok()) REQUIRE(decision.records.empty());
  return KindOf(decision.replies[0].status);
}

}  // namespace

TEST_CASE("CreateTopics: the records make the topic, led by unfenced brokers only") {
  auto image = Cluster();
  CreateTopicRequest request = Topic("t");
  request.partitions = 4;
  request.replication_factor = 3;
  request.configs = {{"retention.ms", "1000"}};
  auto decision = DecideCreateTopics(*image, {}, {request}, false, Draws());
  REQUIRE(decision.replies[0].status.ok());
  auto next = Grown(*image, decision.records);
  MetadataImage::Topic topic = next->FindTopic("t");
  REQUIRE(topic != nullptr);
  CHECK(topic->topic_id == decision.replies[0].topic_id);
  CHECK(topic->configs.at("retention.ms") == "1000");
  REQUIRE(topic->partitions.size() == 4);
  for (const PartitionImage& partition : topic->partitions) {
    CHECK(partition.replicas.size() == 3);
    CHECK(partition.isr.size() == 2);  // The fenced broker is no member.
    CHECK(partition.leader != BrokerId(3));
    CHECK(partition.leader_epoch == LeaderEpoch(0));
  }
}

TEST_CASE(
    "CreateTopics: -1 takes the broker's defaults, and validate_only decides without records") {
  auto image = Cluster();
  TopicRules rules;
  rules.default_partitions = 5;
  rules.default_replication_factor = 2;
  auto decision = DecideCreateTopics(*image, rules, {Topic("t")}, true, Draws());
  CHECK(decision.replies[0].status.ok());
  CHECK(decision.replies[0].partitions == 5);
  CHECK(decision.replies[0].replication_factor == 2);
  CHECK(decision.records.empty());
}

TEST_CASE("CreateTopics: names that are no names never become records (RELIABILITY D40)") {
  auto image = Cluster();
  for (const std::string& name : std::vector<std::string>{"", ".", "..", "../x", "/", "a/b", "a b",
                                                          "caf\xc3\xa9", std::string(250, 'a')}) {
    CHECK(KindOfCreating(*image, Topic(name)) == ErrorKind::kInvalidTopic);
  }
  CHECK(KindOfCreating(*image, Topic(std::string("a\0b", 3))) == ErrorKind::kInvalidTopic);
  CHECK(KindOfCreating(*image, Topic(std::string(249, 'a'))) == std::nullopt);
}

TEST_CASE(
    "CreateTopics: existing, colliding and duplicate names are refused, neighbours are created") {
  auto image = Cluster({TopicRecord{"a.b", TopicId(1, 1)}});
  CHECK(KindOfCreating(*image, Topic("a.b")) == ErrorKind::kTopicAlreadyExists);
  CHECK(KindOfCreating(*image, Topic("a_b")) == ErrorKind::kInvalidTopic);
  auto decision = DecideCreateTopics(
      *image, {}, {Topic("x"), Topic("y"), Topic("x"), Topic("p.q"), Topic("p_q")}, false, Draws());
  CHECK(KindOf(decision.replies[0].status) == ErrorKind::kInvalidRequest);
  CHECK(decision.replies[1].status.ok());
  CHECK(KindOf(decision.replies[2].status) == ErrorKind::kInvalidRequest);
  CHECK(decision.replies[3].status.ok());
  CHECK(KindOf(decision.replies[4].status) == ErrorKind::kInvalidTopic);
}

TEST_CASE(
    "CreateTopics: counts that make no sense are refused before anything is made (RELIABILITY "
    "D42)") {
  auto image = Cluster();
  CreateTopicRequest request = Topic("t");
  for (int32_t partitions : {0, -2, 1'000'000'000}) {
    request.partitions = partitions;
    CHECK(KindOfCreating(*image, request) == ErrorKind::kInvalidPartitions);
  }
  request.partitions = 1;
  for (int32_t factor : {0, -5, 4, 999}) {
    request.replication_factor = factor;
    CHECK(KindOfCreating(*image, request) == ErrorKind::kInvalidReplicationFactor);
  }
}

TEST_CASE("CreateTopics: many topics of one request share one bound of partitions") {
  auto image = Cluster();
  CreateTopicRequest a = Topic("a");
  a.partitions = static_cast<int32_t>(kPartitionsPerRequestMax);
  auto decision = DecideCreateTopics(*image, {}, {a, Topic("b")}, true, Draws());
  CHECK(decision.replies[0].status.ok());
  CHECK(KindOf(decision.replies[1].status) == ErrorKind::kPolicyViolation);
}

TEST_CASE(
    "CreateTopics: manual assignments must be consecutive, of one size, of known brokers, without "
    "counts") {
  auto image = Cluster();
  CreateTopicRequest request = Topic("t");
  request.assignments = {{0, {BrokerId(1), BrokerId(2)}}, {1, {BrokerId(2), BrokerId(1)}}};
  CHECK(KindOfCreating(*image, request) == std::nullopt);
  CreateTopicRequest bad = request;
  bad.partitions = 2;
  CHECK(KindOfCreating(*image, bad) == ErrorKind::kInvalidRequest);
  bad = request;
  bad.assignments.erase(0);
  CHECK(KindOfCreating(*image, bad) == ErrorKind::kInvalidReplicaAssignment);
  bad = request;
  bad.assignments[1] = {BrokerId(1)};
  CHECK(KindOfCreating(*image, bad) == ErrorKind::kInvalidReplicaAssignment);
  bad.assignments[1] = {BrokerId(1), BrokerId(1)};
  CHECK(KindOfCreating(*image, bad) == ErrorKind::kInvalidReplicaAssignment);
  bad.assignments[1] = {BrokerId(1), BrokerId(9)};
  CHECK(KindOfCreating(*image, bad) == ErrorKind::kInvalidReplicaAssignment);
  bad.assignments[1] = {};
  CHECK(KindOfCreating(*image, bad) == ErrorKind::kInvalidReplicaAssignment);
}

TEST_CASE("CreateTopics: configs are checked, null values refused") {
  auto image = Cluster();
  TopicRules rules;
  CreateTopicRequest request = Topic("t");
  request.configs = {{"bad", "1"}};
  CHECK(KindOfCreating(*image, request, rules) == ErrorKind::kInvalidConfig);
  request.configs = {{"retention.ms", std::nullopt}};
  CHECK(KindOfCreating(*image, request, rules) == ErrorKind::kInvalidConfig);
}

TEST_CASE("DeleteTopics: by name and by id; unknown ones and switched-off deletion are told") {
  auto image = Cluster({TopicRecord{"t", TopicId(1, 1)}});
  auto decision = DecideDeleteTopics(
      *image, {}, {{"t", std::nullopt}, {"nobody", std::nullopt}, {std::nullopt, TopicId(5, 5)}});
  CHECK(decision.replies[0].status.ok());
  CHECK(decision.replies[0].topic_id == TopicId(1, 1));
  CHECK(KindOf(decision.replies[1].status) == ErrorKind::kUnknownTopicOrPartition);
  CHECK(KindOf(decision.replies[2].status) == ErrorKind::kUnknownTopicId);
  CHECK(decision.records.size() == 1);

  auto twice = DecideDeleteTopics(*image, {}, {{"t", std::nullopt}, {std::nullopt, TopicId(1, 1)}});
  CHECK(twice.records.empty());

  TopicRules off;
  off.delete_enabled = false;
  CHECK(KindOf(DecideDeleteTopics(*image, off, {{"t", std::nullopt}}).replies[0].status) ==
        ErrorKind::kTopicDeletionDisabled);
}

TEST_CASE("CreatePartitions: many topics of one request share one bound of partitions") {
  auto image = Cluster();
  auto made = DecideCreateTopics(*image, {}, {Topic("a"), Topic("b"), Topic("c")}, false, Draws());
  image = Grown(*image, made.records);
  const auto max = static_cast<int32_t>(kPartitionsPerRequestMax);
  auto decision = DecideCreatePartitions(
      *image, {{"a", max, std::nullopt}, {"b", 3, std::nullopt}, {"c", 2, std::nullopt}}, false,
      [] { return uint64_t{0}; });
  CHECK(decision.replies[0].status.ok());
  CHECK(KindOf(decision.replies[1].status) == ErrorKind::kPolicyViolation);
  CHECK(decision.replies[2].status.ok());  // One more is what was left.
  CHECK(decision.records.size() == kPartitionsPerRequestMax);
}

TEST_CASE("CreatePartitions: a topic grows and never shrinks; new partitions follow the old ones") {
  auto image = Cluster();
  CreateTopicRequest request = Topic("t");
  request.partitions = 2;
  request.replication_factor = 2;
  image = Grown(*image, DecideCreateTopics(*image, {}, {request}, false, Draws()).records);
  auto start = [] { return uint64_t{0}; };
  auto decide = [&](int32_t count) {
    return DecideCreatePartitions(*image, {{"t", count, std::nullopt}}, false, start);
  };
  CHECK(KindOf(decide(2).replies[0].status) == ErrorKind::kInvalidPartitions);
  CHECK(KindOf(decide(1).replies[0].status) == ErrorKind::kInvalidPartitions);
  CHECK(KindOf(decide(-1).replies[0].status) == ErrorKind::kInvalidPartitions);
  CHECK(KindOf(decide(2'000'000'000).replies[0].status) == ErrorKind::kInvalidPartitions);
  auto grown = decide(5);
  REQUIRE(grown.replies[0].status.ok());
  CHECK(Grown(*image, grown.records)->FindTopic("t")->partitions.size() == 5);
  auto unknown = DecideCreatePartitions(*image, {{"nobody", 3, std::nullopt}}, false, start);
  CHECK(KindOf(unknown.replies[0].status) == ErrorKind::kUnknownTopicOrPartition);
  std::vector<std::vector<BrokerId>> wrong_count = {{BrokerId(1), BrokerId(2)}};
  CHECK(KindOf(DecideCreatePartitions(*image, {{"t", 4, wrong_count}}, false, start)
                   .replies[0]
                   .status) == ErrorKind::kInvalidReplicaAssignment);
}

TEST_CASE("CreateTopics: a request has bounded records; a topic is made whole or not at all") {
  auto image = Cluster();
  std::vector<CreateTopicRequest> requests;
  for (size_t i = 0; i < kPartitionsPerRequestMax; ++i) {
    requests.push_back(Topic(fmt::format("t{}", i)));
    requests.back().configs = {{"retention.ms", "1"}, {"segment.ms", "5"}};
  }
  auto decision = DecideCreateTopics(*image, {}, requests, false, Draws());
  CHECK(decision.records.size() <= kRecordsPerRequestMax);
  size_t made = 0;
  for (const CreateTopicReply& reply : decision.replies) {
    if (reply.status.ok()) {
      ++made;
    } else {
      REQUIRE(KindOf(reply.status) == ErrorKind::kPolicyViolation);
    }
  }
  CHECK(made == kRecordsPerRequestMax / 4);
  image = Grown(*image, decision.records);
  CHECK(image->topics().size() == made);
  image->topics().ForEach([](const std::string&, const MetadataImage::Topic& topic) {
    REQUIRE(topic->partitions.size() == 1);
    REQUIRE(topic->configs.size() == 2);
    return true;
  });
  auto asked = DecideCreateTopics(*Cluster(), {}, requests, true, Draws());
  CHECK(asked.records.empty());
  CHECK(KindOf(asked.replies.back().status) == ErrorKind::kPolicyViolation);
}

TEST_CASE("CreateTopics: a request has bounded bytes too") {
  auto image = Cluster();
  std::vector<CreateTopicRequest> requests;
  std::string list = "0:1";
  while (list.size() < 30'000) list += ",0:1";
  for (size_t i = 0; i < 200; ++i) {
    requests.push_back(Topic(fmt::format("t{}", i)));
    requests.back().configs = {{"leader.replication.throttled.replicas", list}};
  }
  auto decision = DecideCreateTopics(*image, {}, requests, false, Draws());
  CHECK(decision.replies.front().status.ok());
  CHECK(KindOf(decision.replies.back().status) == ErrorKind::kPolicyViolation);
  CHECK(EncodeEntry({RaftTerm(1), Timestamp(1), decision.records}).size() <=
        kRecordBytesPerRequestMax + 100);
}

TEST_CASE(
    "CreatePartitions: what is named twice is refused once, what is absent is unknown first") {
  auto image = Cluster();
  image = Grown(
      *image, DecideCreateTopics(*image, {}, {Topic("t"), Topic("fixed")}, false, Draws()).records);
  auto start = [] { return uint64_t{0}; };
  auto decision = DecideCreatePartitions(*image,
                                         {{"t", 2, std::nullopt},
                                          {"nobody", 2, std::nullopt, /*keeps_count=*/true},
                                          {"t", 3, std::nullopt},
                                          {"fixed", 2, std::nullopt, /*keeps_count=*/true}},
                                         false, start);
  REQUIRE(decision.replies.size() == 3);
  CHECK(decision.replies[0].topic == "t");
  CHECK(KindOf(decision.replies[0].status) == ErrorKind::kInvalidRequest);
  CHECK(KindOf(decision.replies[1].status) == ErrorKind::kUnknownTopicOrPartition);
  CHECK(KindOf(decision.replies[2].status) == ErrorKind::kInvalidPartitions);
  CHECK(decision.records.empty());
  decision = DecideCreatePartitions(*image,
                                    {{"fixed", 2, std::nullopt, /*keeps_count=*/true},
                                     {"fixed", 3, std::nullopt, /*keeps_count=*/true}},
                                    false, start);
  REQUIRE(decision.replies.size() == 1);
  CHECK(KindOf(decision.replies[0].status) == ErrorKind::kInvalidRequest);
}

TEST_CASE("CreatePartitions: a topic without any partition is refused, not looked into") {
  auto image = Cluster({TopicRecord{"t", TopicId(1, 1)}});
  auto start = [] { return uint64_t{0}; };
  auto decision = DecideCreatePartitions(*image, {{"t", 3, std::nullopt}}, false, start);
  CHECK(KindOf(decision.replies[0].status) == ErrorKind::kInvalidPartitions);
  CHECK(decision.records.empty());
}
