#include "controller/config_decisions.h"

#include <catch2/catch.hpp>
#include <string>
#include <utility>

#include "common/error_kind.h"
#include "controller/image/feature_levels.h"
#include "controller/image/metadata_delta.h"

using namespace millrace;

namespace {

constexpr ConfigResource kTopic = ConfigResource::kTopic;
constexpr ConfigResource kBroker = ConfigResource::kBroker;
constexpr ConfigResource kGroup = ConfigResource::kGroup;

std::shared_ptr<const MetadataImage> After(std::shared_ptr<const MetadataImage> image,
                                           const std::vector<MetadataRecord>& records) {
  MetadataDelta delta(image);
  for (const MetadataRecord& record : records) REQUIRE(delta.Apply(record).ok());
  return delta.Build(RaftIndex(1));
}

// Broker 1 and topic "t" of one partition.
std::shared_ptr<const MetadataImage> Cluster(const std::vector<MetadataRecord>& more = {}) {
  BrokerImage broker;
  broker.id = BrokerId(1);
  PartitionImage partition;
  partition.replicas = partition.isr = {BrokerId(1)};
  auto image = After(std::make_shared<const MetadataImage>(),
                     {RegisterBrokerRecord{broker}, TopicRecord{"t", TopicId(1, 1)},
                      PartitionRecord{TopicId(1, 1), PartitionId(0), partition}});
  return After(image, more);
}

Decision<AlterConfigsReply> Alter(const MetadataImage& image, ConfigResource type, std::string name,
                                  std::vector<ConfigChange> changes) {
  return DecideAlterConfigs(image, {}, {{type, std::move(name), std::move(changes)}}, false);
}

// "kind: message", or "ok".
std::string Answer(const Decision<AlterConfigsReply>& decision) {
  REQUIRE(decision.replies.size() == 1);
  const absl::Status& status = decision.replies[0].status;
  if (status.ok()) return "ok";
  CHECK(decision.records.empty());
  return std::string(status.message());
}

ErrorKind KindIn(const Decision<AlterConfigsReply>& decision) {
  std::optional<ErrorKind> kind = KindOf(decision.replies.at(0).status);
  REQUIRE(kind.has_value());
  return *kind;
}

std::string Answer(const MetadataImage& image, ConfigResource type, std::string name,
                   ConfigChange change) {
  return Answer(Alter(image, type, std::move(name), {std::move(change)}));
}

std::shared_ptr<const MetadataImage> Altered(std::shared_ptr<const MetadataImage> image,
                                             ConfigResource type, std::string name,
                                             ConfigChange change) {
  auto decision = Alter(*image, type, std::move(name), {std::move(change)});
  REQUIRE(decision.replies[0].status.ok());
  return After(std::move(image), decision.records);
}

}  // namespace

TEST_CASE(
    "AlterConfigs: SET and DELETE on a topic make records of what changes, and of nothing else") {
  auto image = Altered(Cluster(), kTopic, "t", {"retention.ms", ConfigOp::kSet, "1000"});
  CHECK(image->FindTopic("t")->configs == ConfigOverrides{{"retention.ms", "1000"}});
  CHECK(Alter(*image, kTopic, "t", {{"retention.ms", ConfigOp::kSet, "1000"}}).records.empty());
  image = Altered(image, kTopic, "t", {"retention.ms", ConfigOp::kDelete, std::nullopt});
  CHECK(image->FindTopic("t")->configs.empty());
  CHECK(Answer(*image, kTopic, "t", {"no.such", ConfigOp::kDelete, std::nullopt}) == "ok");
}

TEST_CASE(
    "AlterConfigs: groups are configured whether they exist or not, within the brokers' bounds") {
  const std::string key = "consumer.session.timeout.ms";
  auto image = Altered(Cluster(), kGroup, "g", {key, ConfigOp::kSet, "50000"});
  CHECK(image->group_configs("g") == ConfigOverrides{{key, "50000"}});
  CHECK(Alter(*image, kGroup, "g", {{key, ConfigOp::kSet, "50000"}}).records.empty());
  CHECK(Answer(*image, kGroup, "g", {key, ConfigOp::kSet, "60001"}) ==
        "consumer.session.timeout.ms must be less than or equal to "
        "group.consumer.max.session.timeout.ms");
  CHECK(Answer(*image, kGroup, "g", {"retention.ms", ConfigOp::kSet, "1"}) ==
        "Unknown group config name: retention.ms");
  CHECK(Answer(*image, kGroup, "g", {"cleanup.policy", ConfigOp::kAppend, "compact"}) ==
        "Can't APPEND to key cleanup.policy because its type is not LIST.");
  CHECK(Answer(*image, kGroup, "", {key, ConfigOp::kSet, "50000"}) ==
        "Default group resources are not allowed.");
  image = Altered(image, kGroup, "g", {key, ConfigOp::kDelete, std::nullopt});
  CHECK(image->all_group_configs().empty());
}

TEST_CASE("AlterConfigs: no more groups are configured than may be, and those go on that are") {
  auto image = Cluster();
  std::vector<MetadataRecord> many;
  for (size_t i = 0; i < kConfiguredGroupsMax; ++i) {
    many.emplace_back(
        ConfigRecord{kGroup, std::to_string(i), "consumer.session.timeout.ms", "50000"});
  }
  image = After(std::move(image), many);
  const ConfigChange change{"consumer.session.timeout.ms", ConfigOp::kSet, "51000"};
  CHECK(Answer(*image, kGroup, "another", change) == "At most 10000 groups may be configured.");
  CHECK(Answer(*image, kGroup, "0", change) == "ok");
}

TEST_CASE("AlterConfigs: groups have names and overrides of bounded size") {
  const std::string key = "consumer.session.timeout.ms";
  auto image = Cluster();
  const ConfigChange change{key, ConfigOp::kSet, "50000"};
  const std::string longest(kConfiguredGroupNameBytesMax, 'g');
  CHECK(Answer(*image, kGroup, longest, change) == "ok");
  CHECK(KindIn(Alter(*image, kGroup, longest + "g", {change})) == ErrorKind::kPolicyViolation);
  // Blanks around a value do not count, but are kept.
  const std::string blanks(kOverrideBytesPerGroupMax, ' ');
  CHECK(KindIn(Alter(*image, kGroup, "g", {{key, ConfigOp::kSet, blanks + "50000"}})) ==
        ErrorKind::kPolicyViolation);
}

TEST_CASE("AlterConfigs: a request has bounded changes; a resource changes whole or not at all") {
  auto image = Cluster();
  std::vector<AlterConfigsRequest> requests;
  for (size_t i = 0; i < 200; ++i) {
    requests.push_back({kGroup, std::to_string(i), {}});
    requests.back().changes.push_back({"consumer.session.timeout.ms", ConfigOp::kSet, "50000"});
  }
  AlterConfigsRequest brokers{kBroker, "", {}};
  for (size_t i = 0; i < 30; ++i) {
    brokers.changes.push_back({"x" + std::to_string(i), ConfigOp::kSet, std::string(32'000, 'v')});
  }
  requests.push_back(brokers);
  brokers.name = "1";
  requests.push_back(brokers);
  for (int32_t id = 2; id < 7; ++id) {
    BrokerImage broker;
    broker.id = BrokerId(id);
    image = After(image, {RegisterBrokerRecord{broker}});
    brokers.name = std::to_string(id);
    requests.push_back(brokers);
  }
  auto decision = DecideAlterConfigs(*image, {}, requests, false);
  image = After(image, decision.records);
  CHECK(decision.replies.front().status.ok());
  CHECK(image->broker_configs(BrokerId(1)).size() == 30);
  CHECK(KindOf(decision.replies.back().status) == ErrorKind::kPolicyViolation);
  CHECK(image->broker_configs(BrokerId(6)).empty());
  CHECK(EncodeEntry({RaftTerm(1), Timestamp(1), decision.records}).size() <= size_t{4'200'000});
}

TEST_CASE("AlterConfigs: APPEND and SUBTRACT edit the list in force, and only lists") {
  auto image = Altered(Cluster(), kTopic, "t", {"cleanup.policy", ConfigOp::kAppend, "compact"});
  CHECK(image->FindTopic("t")->configs.at("cleanup.policy") == "delete,compact");
  CHECK(Alter(*image, kTopic, "t", {{"cleanup.policy", ConfigOp::kAppend, "compact"}})
            .records.empty());
  image = Altered(image, kTopic, "t", {"cleanup.policy", ConfigOp::kSubtract, "delete, x"});
  CHECK(image->FindTopic("t")->configs.at("cleanup.policy") == "compact");
  image = Altered(image, kTopic, "t", {"cleanup.policy", ConfigOp::kSubtract, "compact"});
  CHECK(image->FindTopic("t")->configs.at("cleanup.policy").empty());

  CHECK(Answer(*image, kTopic, "t", {"retention.ms", ConfigOp::kAppend, "1"}) ==
        "Can't APPEND to key retention.ms because its type is not LIST.");
  CHECK(Answer(*image, kTopic, "t", {"no.such", ConfigOp::kSubtract, "1"}) ==
        "Can't SUBTRACT to key no.such because its type is not LIST.");
  CHECK(Answer(*image, kBroker, "", {"log.retention.ms", ConfigOp::kAppend, "1"}) ==
        "Config value append is not allowed for config key: log.retention.ms");
  CHECK(Answer(*image, kBroker, "1", {"no.such", ConfigOp::kSubtract, "1"}) ==
        "Unknown config name: no.such");
  image = Altered(image, kBroker, "", {"log.cleanup.policy", ConfigOp::kAppend, "compact"});
  CHECK(image->broker_defaults().at("log.cleanup.policy") == "delete,compact");
}

TEST_CASE("AlterConfigs: what a topic cannot have is refused with Kafka's words") {
  auto image = Cluster();
  CHECK(Answer(*image, kTopic, "t", {"retention.ms", ConfigOp::kSet, "soon"}) ==
        "Invalid value soon for configuration retention.ms: Not a number of type LONG");
  CHECK(Answer(*image, kTopic, "t", {"no.such", ConfigOp::kSet, "1"})
            .starts_with("Unknown topic config name: no.such"));
  CHECK(Answer(*image, kTopic, "t", {"retention.ms", ConfigOp::kSet, std::nullopt}) ==
        "Null value not supported for : retention.ms");
  CHECK(Answer(*image, kTopic, "", {"retention.ms", ConfigOp::kSet, "1"}) ==
        "Default topic resources are not allowed.");
  CHECK(Answer(*image, kTopic, "nope", {"retention.ms", ConfigOp::kSet, "1"}) ==
        "The topic 'nope' does not exist.");
  // A bad value is told before a topic that is not there.
  CHECK(KindIn(Alter(*image, kTopic, "nope", {{"retention.ms", ConfigOp::kSet, "x"}})) ==
        ErrorKind::kInvalidConfig);
  CHECK(KindIn(Alter(*image, kTopic, "a/b", {{"retention.ms", ConfigOp::kSet, "1"}})) ==
        ErrorKind::kInvalidTopic);
  CHECK(Answer(Alter(*image, kTopic, "t",
                     {{"min.compaction.lag.ms", ConfigOp::kSet, "100"},
                      {"max.compaction.lag.ms", ConfigOp::kSet, "10"}})) ==
        "conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (10)");
}

TEST_CASE(
    "AlterConfigs: a key twice, and a resource twice, are refused; others of the request pass") {
  auto image = Cluster();
  CHECK(Answer(Alter(*image, kTopic, "t",
                     {{"retention.ms", ConfigOp::kSet, "1"},
                      {"retention.ms", ConfigOp::kDelete, std::nullopt}})) ==
        "Error due to duplicate config keys");
  auto decision = DecideAlterConfigs(*image, {},
                                     {{kTopic, "t", {{"retention.ms", ConfigOp::kSet, "1"}}},
                                      {kBroker, "", {{"log.retention.ms", ConfigOp::kSet, "5"}}},
                                      {kTopic, "t", {{"segment.ms", ConfigOp::kSet, "1"}}}},
                                     false);
  CHECK(decision.replies[0].status.message() == "Each resource must appear at most once.");
  CHECK(decision.replies[1].status.ok());
  CHECK(decision.replies[2].status.message() == "Each resource must appear at most once.");
  CHECK(decision.records.size() == 1);
}

TEST_CASE("AlterConfigs: brokers take dynamic keys, for one or for all as the key allows") {
  auto image = Altered(Cluster(), kBroker, "", {"log.retention.ms", ConfigOp::kSet, "12345"});
  image = Altered(image, kBroker, "1", {"log.retention.ms", ConfigOp::kSet, "1"});
  CHECK(image->broker_defaults() == ConfigOverrides{{"log.retention.ms", "12345"}});
  CHECK(image->broker_configs(BrokerId(1)) == ConfigOverrides{{"log.retention.ms", "1"}});
  CHECK(Answer(*image, kBroker, "", {"plug.in.key", ConfigOp::kSet, "1"}) == "ok");

  for (const char* name : {"", "1"}) {
    CHECK(Answer(*image, kBroker, name, {"log.dirs", ConfigOp::kSet, "/x"}) ==
          "Cannot update these configs dynamically: [log.dirs]");
    CHECK(Answer(*image, kBroker, name, {"log.dirs", ConfigOp::kDelete, std::nullopt}) == "ok");
    CHECK(Answer(*image, kBroker, name, {"log.segment.bytes", ConfigOp::kSet, "5"}) ==
          "Invalid value 5 for configuration log.segment.bytes: Value must be at least 1048576");
    CHECK(KindIn(Alter(*image, kBroker, name, {{"log.retention.ms", ConfigOp::kSet, "x"}})) ==
          ErrorKind::kInvalidRequest);
    CHECK(Answer(*image, kBroker, name, {"ssl.keystore.location", ConfigOp::kSet, "x"})
              .starts_with("These security configs can be dynamically updated only per-listener"));
    CHECK(KindIn(Alter(*image, kBroker, name,
                       {{"listener.name.x.ssl.keystore.location", ConfigOp::kSet, "x"}})) ==
          ErrorKind::kInvalidRequest);
  }
  CHECK(Answer(*image, kBroker, "7", {"log.retention.ms", ConfigOp::kSet, "1"}) ==
        "No broker with id 7 found.");
  CHECK(KindIn(Alter(*image, kBroker, "7", {{"log.retention.ms", ConfigOp::kSet, "1"}})) ==
        ErrorKind::kBrokerIdNotRegistered);
  for (const char* name : {"x", "1x", "-1", " 1", "99999999999"}) {
    CHECK(KindIn(Alter(*image, kBroker, name, {{"log.retention.ms", ConfigOp::kSet, "1"}})) ==
          ErrorKind::kInvalidRequest);
  }
}

TEST_CASE("AlterConfigs: validate_only decides the same and records nothing") {
  auto image = Cluster();
  AlterConfigsRequest good{kTopic, "t", {{"retention.ms", ConfigOp::kSet, "1"}}};
  auto decision = DecideAlterConfigs(*image, {}, {good}, true);
  CHECK(decision.replies[0].status.ok());
  CHECK(decision.records.empty());
  good.changes[0].value = "x";
  CHECK_FALSE(DecideAlterConfigs(*image, {}, {good}, true).replies[0].status.ok());
}

TEST_CASE("AlterConfigs: a resource keeps a bounded number of overrides") {
  auto image = Cluster();
  std::vector<ConfigChange> many;
  for (size_t i = 0; i <= kOverridesPerResourceMax; ++i) {
    many.push_back({"x" + std::to_string(i), ConfigOp::kSet, "1"});
  }
  CHECK(KindIn(Alter(*image, kBroker, "", many)) == ErrorKind::kPolicyViolation);
  many.pop_back();
  CHECK(Answer(Alter(*image, kBroker, "", many)) == "ok");
  std::vector<ConfigChange> large;
  for (size_t i = 0; i < 40; ++i) {
    large.push_back({"x" + std::to_string(i), ConfigOp::kSet, std::string(32767, 'v')});
  }
  CHECK(KindIn(Alter(*image, kBroker, "", large)) == ErrorKind::kPolicyViolation);
}

TEST_CASE("ReplaceConfigs: what is not named goes") {
  auto image = Altered(Cluster(), kTopic, "t", {"retention.ms", ConfigOp::kSet, "1000"});
  auto decision = DecideReplaceConfigs(
      *image, {}, {{kTopic, "t", {{"segment.ms", ConfigOp::kSet, "5"}}}}, false);
  REQUIRE(decision.replies[0].status.ok());
  image = After(image, decision.records);
  CHECK(image->FindTopic("t")->configs == ConfigOverrides{{"segment.ms", "5"}});
  image = After(image, DecideReplaceConfigs(*image, {}, {{kTopic, "t", {}}}, false).records);
  CHECK(image->FindTopic("t")->configs.empty());
}

TEST_CASE(
    "AlterConfigs: a changed min.insync.replicas empties eligible leader replicas (KIP-966)") {
  PartitionImage partition;
  partition.replicas = {BrokerId(1), BrokerId(2)};
  partition.isr = {BrokerId(2)};
  partition.elr = {BrokerId(1)};
  auto with_elr = Cluster({FeatureLevelRecord{std::string(kElrVersion), 1},
                           PartitionRecord{TopicId(1, 1), PartitionId(0), partition}});
  auto own = Altered(with_elr, kTopic, "t", {"min.insync.replicas", ConfigOp::kSet, "2"});
  CHECK(own->FindTopic("t")->partitions[0].elr.empty());
  // Before the promise changes: a controller may die between very many of them and that.
  auto decision = Alter(*with_elr, kTopic, "t", {{"min.insync.replicas", ConfigOp::kSet, "2"}});
  REQUIRE(decision.records.size() == 2);
  CHECK(std::holds_alternative<PartitionRecord>(decision.records.front()));
  auto all = Altered(with_elr, kBroker, "", {"min.insync.replicas", ConfigOp::kSet, "2"});
  CHECK(all->FindTopic("t")->partitions[0].elr.empty());
  auto other = Altered(with_elr, kTopic, "t", {"retention.ms", ConfigOp::kSet, "2"});
  CHECK(other->FindTopic("t")->partitions[0].elr.size() == 1);
  // Nobody is in sync: they are all there is to elect.
  partition.isr = {};
  auto dead = Cluster({FeatureLevelRecord{std::string(kElrVersion), 1},
                       PartitionRecord{TopicId(1, 1), PartitionId(0), partition}});
  auto kept = Altered(dead, kTopic, "t", {"min.insync.replicas", ConfigOp::kSet, "2"});
  CHECK(kept->FindTopic("t")->partitions[0].elr.size() == 1);

  CHECK(Answer(*all, kBroker, "1", {"min.insync.replicas", ConfigOp::kSet, "2"}) ==
        "Broker-level min.insync.replicas cannot be altered while ELR is enabled.");
  CHECK(Answer(*all, kBroker, "", {"min.insync.replicas", ConfigOp::kDelete, std::nullopt}) ==
        "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.");
}
