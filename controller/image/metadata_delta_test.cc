#include "controller/image/metadata_delta.h"

#include <catch2/catch.hpp>

#include "controller/image/feature_levels.h"
#include "controller/image/metadata_record.h"

using namespace millrace;

namespace {

const TopicId kId(1, 2);

PartitionRecord Partition(int32_t partition, int32_t leader, int32_t epoch) {
  PartitionImage state;
  state.replicas = {BrokerId(1), BrokerId(2)};
  state.isr = {BrokerId(1)};
  state.leader = BrokerId(leader);
  state.leader_epoch = LeaderEpoch(epoch);
  state.directories = {DirectoryId(9, 9), kUnassignedDirectory};
  return {kId, PartitionId(partition), state};
}

std::shared_ptr<const MetadataImage> Apply(std::shared_ptr<const MetadataImage> base,
                                           const std::vector<MetadataRecord>& records,
                                           int64_t index) {
  MetadataDelta delta(std::move(base));
  for (const MetadataRecord& record : records) REQUIRE(delta.Apply(record).ok());
  return delta.Build(RaftIndex(index));
}

std::shared_ptr<const MetadataImage> WithTopic() {
  return Apply(
      std::make_shared<const MetadataImage>(),
      {TopicRecord{"a.b", kId}, ConfigRecord{ConfigResource::kTopic, "a.b", "retention.ms", "5"},
       Partition(0, 1, 0), Partition(1, 2, 0)},
      1);
}

}  // namespace

TEST_CASE(
    "MetadataDelta: a topic, its configs and partitions appear together, and the base stays as it "
    "was") {
  auto empty = std::make_shared<const MetadataImage>();
  auto image = WithTopic();
  CHECK(empty->topics().empty());
  REQUIRE(image->FindTopic("a.b") != nullptr);
  CHECK(image->FindTopic(kId) == image->FindTopic("a.b"));
  CHECK(image->FindTopic(kId)->configs.at("retention.ms") == "5");
  CHECK(image->FindTopic(kId)->partitions.size() == 2);
  CHECK(image->partition_count() == 2);
  CHECK(image->FindCollision("a_b")->name == "a.b");
  CHECK(image->index() == RaftIndex(1));
}

TEST_CASE("MetadataDelta: a change of one partition names its topic, and images share the others") {
  auto image = WithTopic();
  MetadataDelta delta(image);
  REQUIRE(delta.Apply(Partition(1, 1, 7)).ok());
  auto next = delta.Build(RaftIndex(2));
  CHECK(delta.changed_topics() == std::set<TopicId>{kId});
  CHECK(next->FindTopic(kId)->partitions[1].leader_epoch == LeaderEpoch(7));
  CHECK(image->FindTopic(kId)->partitions[1].leader_epoch == LeaderEpoch(0));
}

TEST_CASE(
    "MetadataDelta: a removed topic is gone by name, by id and by metric name, and is handed to "
    "listeners") {
  auto image = WithTopic();
  MetadataDelta delta(image);
  REQUIRE(delta.Apply(RemoveTopicRecord{kId}).ok());
  auto next = delta.Build(RaftIndex(2));
  CHECK(next->FindTopic("a.b") == nullptr);
  CHECK(next->FindTopic(kId) == nullptr);
  CHECK(next->FindCollision("a_b") == nullptr);
  CHECK(next->partition_count() == 0);
  CHECK(delta.removed_topics().contains(kId));
  CHECK(delta.changed_topics().empty());
}

TEST_CASE("MetadataDelta: records that do not fit are data loss, not a guess") {
  auto image = WithTopic();
  CHECK(absl::IsDataLoss(MetadataDelta(image).Apply(TopicRecord{"a.b", TopicId(3, 3)})));
  CHECK(absl::IsDataLoss(MetadataDelta(image).Apply(TopicRecord{"other", kId})));
  CHECK(absl::IsDataLoss(MetadataDelta(image).Apply(RemoveTopicRecord{TopicId(3, 3)})));
  CHECK(absl::IsDataLoss(
      MetadataDelta(image).Apply(Partition(3, 1, 0))));  // Would leave a hole at 2.
  CHECK(absl::IsDataLoss(
      MetadataDelta(image).Apply(ConfigRecord{ConfigResource::kTopic, "nobody", "k", "v"})));
  CHECK(absl::IsDataLoss(MetadataDelta(image).Apply(FeatureLevelRecord{"transaction.version", 2})));
  auto with_ids = Apply(image, {ProducerIdsRecord{2000}}, 2);
  CHECK(absl::IsDataLoss(MetadataDelta(with_ids).Apply(ProducerIdsRecord{1000})));
}

TEST_CASE("MetadataRecord: an entry reads back as it was written, and damage is data loss") {
  BrokerImage broker;
  broker.id = BrokerId(1);
  broker.epoch = BrokerEpoch(4);
  broker.incarnation = IncarnationId(5, 6);
  broker.endpoints = {{"PLAINTEXT", "host", 9092, "PLAINTEXT"}};
  broker.rack = "r1";
  broker.log_directories = {{DirectoryId(7, 8), true, true}, {DirectoryId(7, 9), false, false}};
  broker.features = {{"metadata.version", 7, 33}};
  broker.fenced = false;
  broker.in_controlled_shutdown = true;
  broker.draining = true;
  PartitionRecord rich = Partition(0, 1, 2);
  rich.state.adding = {BrokerId(3)};
  rich.state.removing = {BrokerId(2)};
  rich.state.elr = {BrokerId(2)};
  rich.state.last_known_elr = {BrokerId(1)};
  rich.state.recovery = LeaderRecovery::kRecovering;
  BrokerChangeRecord change{BrokerId(1), BrokerEpoch(4)};
  change.in_controlled_shutdown = false;
  change.offline_directories = {DirectoryId(7, 8)};
  ControllerImage controller{BrokerId(9), IncarnationId(1, 1), DirectoryId(2, 2), broker.endpoints,
                             broker.features};
  MetadataEntry entry{
      RaftTerm(3),
      Timestamp(1234),
      {TopicRecord{"t", kId}, rich, RemoveTopicRecord{kId},
       ConfigRecord{ConfigResource::kBroker, "", "k", std::nullopt}, RegisterBrokerRecord{broker},
       ProducerIdsRecord{1000}, FeatureLevelRecord{"f", 0},
       UnregisterBrokerRecord{BrokerId(1), BrokerEpoch(4)}, change,
       RegisterControllerRecord{controller}, UnregisterControllerRecord{BrokerId(9)},
       NoOpRecord{}}};
  std::string bytes = EncodeEntry(entry);
  absl::StatusOr<MetadataEntry> read = DecodeEntry(bytes);
  REQUIRE(read.ok());
  CHECK(read->term == entry.term);
  CHECK(read->append_time == entry.append_time);
  REQUIRE(read->records.size() == entry.records.size());
  CHECK(EncodeEntry(*read) == bytes);
  CHECK(std::get<PartitionRecord>(read->records[1]).state == rich.state);
  CHECK_FALSE(std::get<ConfigRecord>(read->records[3]).value.has_value());
  CHECK(std::get<RegisterBrokerRecord>(read->records[4]).broker.rack == "r1");
  const BrokerImage& read_broker = std::get<RegisterBrokerRecord>(read->records[4]).broker;
  CHECK(read_broker.log_directories == broker.log_directories);
  CHECK(read_broker.features == broker.features);
  CHECK(read_broker.in_controlled_shutdown);
  CHECK(read_broker.draining);
  const auto& read_change = std::get<BrokerChangeRecord>(read->records[8]);
  CHECK_FALSE(read_change.fenced.has_value());
  CHECK(read_change.in_controlled_shutdown == false);
  CHECK(read_change.offline_directories == change.offline_directories);
  CHECK(std::get<RegisterControllerRecord>(read->records[9]).controller.directory ==
        DirectoryId(2, 2));
  CHECK(absl::IsDataLoss(DecodeEntry("\xff\xff\xff").status()));
  CHECK(absl::IsDataLoss(DecodeEntry(bytes.substr(0, bytes.size() - 1)).status()));
}

TEST_CASE(
    "MetadataCodec: settings of a resource that a later version adds are taken for no other's") {
  std::string bytes = EncodeEntry(
      {RaftTerm(1), Timestamp(1), {ConfigRecord{ConfigResource::kGroup, "name", "k", "v"}}});
  REQUIRE(DecodeEntry(bytes).ok());
  // Field 1, Kafka's number of groups; field 2, four bytes.
  const size_t type = bytes.find("\x08\x20\x12\x04name");
  REQUIRE(type != std::string::npos);
  bytes[type + 1] = 0x21;
  const absl::Status unknown = DecodeEntry(bytes).status();
  CHECK(absl::IsDataLoss(unknown));
  CHECK(unknown.message().find("type 33, which this version does not know") != std::string::npos);
}

TEST_CASE("MetadataDelta: a broker changes by its epoch only, and a delta names whom it touched") {
  BrokerImage broker;
  broker.id = BrokerId(1);
  broker.epoch = BrokerEpoch(4);
  broker.log_directories = {{DirectoryId(7, 8)}, {DirectoryId(7, 9)}};
  auto image = Apply(std::make_shared<const MetadataImage>(), {RegisterBrokerRecord{broker}}, 4);
  BrokerChangeRecord change{BrokerId(1), BrokerEpoch(4)};
  change.fenced = false;
  change.offline_directories = {DirectoryId(7, 9)};
  MetadataDelta delta(image);
  REQUIRE(delta.Apply(change).ok());
  auto next = delta.Build(RaftIndex(5));
  CHECK(delta.changed_brokers() == std::set<BrokerId>{BrokerId(1)});
  CHECK_FALSE(next->FindBroker(BrokerId(1))->fenced);
  CHECK(next->FindBroker(BrokerId(1))->FindDirectory(DirectoryId(7, 8))->online);
  CHECK_FALSE(next->FindBroker(BrokerId(1))->FindDirectory(DirectoryId(7, 9))->online);
  CHECK(image->FindBroker(BrokerId(1))->fenced);
  CHECK(
      absl::IsDataLoss(MetadataDelta(next).Apply(BrokerChangeRecord{BrokerId(1), BrokerEpoch(3)})));
  CHECK(absl::IsDataLoss(
      MetadataDelta(next).Apply(UnregisterBrokerRecord{BrokerId(2), BrokerEpoch(4)})));
  auto without = Apply(next, {UnregisterBrokerRecord{BrokerId(1), BrokerEpoch(4)}}, 6);
  CHECK(without->FindBroker(BrokerId(1)) == nullptr);
}

TEST_CASE("MetadataDelta: features that are served are finalised, level 0 takes one back") {
  auto image = Apply(std::make_shared<const MetadataImage>(),
                     {FeatureLevelRecord{"metadata.version", 30},
                      FeatureLevelRecord{"eligible.leader.replicas.version", 1}},
                     1);
  CHECK(image->feature_level("metadata.version") == 30);
  CHECK(image->feature_level("group.version") == 0);
  MetadataDelta delta(image);
  REQUIRE(delta.Apply(FeatureLevelRecord{"eligible.leader.replicas.version", 0}).ok());
  auto next = delta.Build(RaftIndex(2));
  CHECK(delta.features_changed());
  CHECK_FALSE(next->features().contains("eligible.leader.replicas.version"));
  CHECK(absl::IsDataLoss(MetadataDelta(image).Apply(FeatureLevelRecord{"metadata.version", 34})));
  CHECK(absl::IsDataLoss(MetadataDelta(image).Apply(FeatureLevelRecord{"metadata.version", 6})));
}

TEST_CASE("MetadataDelta: overrides of all brokers and of one are kept apart") {
  auto image = Apply(std::make_shared<const MetadataImage>(),
                     {ConfigRecord{ConfigResource::kBroker, "", "k", "all"},
                      ConfigRecord{ConfigResource::kBroker, "2", "k", "two"}},
                     1);
  CHECK(image->broker_defaults().at("k") == "all");
  CHECK(image->broker_configs(BrokerId(2)).at("k") == "two");
  CHECK(image->broker_configs(BrokerId(1)).empty());
  auto next = Apply(image, {ConfigRecord{ConfigResource::kBroker, "2", "k", std::nullopt}}, 2);
  CHECK(next->all_broker_configs().empty());
  CHECK(absl::IsDataLoss(
      MetadataDelta(image).Apply(ConfigRecord{ConfigResource::kBroker, "two", "k", "v"})));
}

TEST_CASE("MetadataDelta: overrides of groups are kept by name, and gone with the last one") {
  auto image = Apply(std::make_shared<const MetadataImage>(),
                     {ConfigRecord{ConfigResource::kGroup, "g", "k", "v"},
                      ConfigRecord{ConfigResource::kGroup, "h", "k", "w"}},
                     1);
  CHECK(image->group_configs("g").at("k") == "v");
  CHECK(image->group_configs("h").at("k") == "w");
  CHECK(image->group_configs("nobody").empty());
  auto next = Apply(image, {ConfigRecord{ConfigResource::kGroup, "g", "k", std::nullopt}}, 2);
  CHECK(next->all_group_configs().size() == 1);
  CHECK(!next->SameAs(*image));
  CHECK(image->group_configs("g").at("k") == "v");
}

TEST_CASE("MetadataDelta: controllers register and go") {
  ControllerImage controller;
  controller.id = BrokerId(3);
  auto image =
      Apply(std::make_shared<const MetadataImage>(), {RegisterControllerRecord{controller}}, 1);
  CHECK(image->controllers().contains(3));
  auto next = Apply(image, {UnregisterControllerRecord{BrokerId(3)}}, 2);
  CHECK(next->controllers().empty());
  CHECK(absl::IsDataLoss(MetadataDelta(next).Apply(UnregisterControllerRecord{BrokerId(3)})));
}

TEST_CASE("MetadataDelta: says which partitions changed, where nothing else of the topic did") {
  const auto image = WithTopic();
  using Partitions = std::map<TopicId, std::set<PartitionId>>;
  MetadataDelta some(image);
  for (const MetadataRecord& record :
       {MetadataRecord(Partition(1, 1, 7)), MetadataRecord(Partition(2, 1, 0)),
        MetadataRecord(Partition(1, 1, 8))}) {
    REQUIRE(some.Apply(record).ok());
  }
  CHECK(some.changed_topics() == std::set<TopicId>{kId});
  CHECK(some.changed_partitions() == Partitions{{kId, {PartitionId(1), PartitionId(2)}}});

  const MetadataRecord config = ConfigRecord{ConfigResource::kTopic, "a.b", "segment.ms", "5"};
  for (bool config_first : {true, false}) {
    MetadataDelta whole(image);
    if (config_first) REQUIRE(whole.Apply(config).ok());
    REQUIRE(whole.Apply(Partition(1, 1, 7)).ok());
    if (!config_first) REQUIRE(whole.Apply(config).ok());
    CHECK(whole.changed_topics() == std::set<TopicId>{kId});
    CHECK(whole.changed_partitions().empty());
  }

  MetadataDelta gone(image);
  REQUIRE(gone.Apply(Partition(1, 1, 7)).ok());
  REQUIRE(gone.Apply(RemoveTopicRecord{kId}).ok());
  REQUIRE(gone.Apply(TopicRecord{"new", TopicId(5, 5)}).ok());
  CHECK(gone.changed_topics() == std::set<TopicId>{TopicId(5, 5)});
  CHECK(gone.changed_partitions().empty());
}

TEST_CASE("MetadataImage: images are the same only where everything in them is") {
  BrokerImage broker;
  broker.id = BrokerId(1);
  ControllerImage controller;
  controller.id = BrokerId(1);
  const std::vector<MetadataRecord> each = {
      TopicRecord{"t", TopicId(7, 7)},
      Partition(2, 1, 0),
      Partition(0, 1, 9),
      ConfigRecord{ConfigResource::kTopic, "a.b", "retention.ms", "6"},
      ConfigRecord{ConfigResource::kBroker, "", "log.retention.ms", "5"},
      ConfigRecord{ConfigResource::kBroker, "1", "log.retention.ms", "5"},
      ConfigRecord{ConfigResource::kGroup, "g", "consumer.session.timeout.ms", "50000"},
      RegisterBrokerRecord{broker},
      RegisterControllerRecord{controller},
      FeatureLevelRecord{std::string(kElrVersion), 1},
      ProducerIdsRecord{1000},
  };
  const auto image = WithTopic();
  CHECK(image->SameAs(*WithTopic()));
  for (size_t i = 0; i < each.size(); ++i) {
    CAPTURE(i);
    const auto other = Apply(WithTopic(), {each[i]}, 1);
    CHECK_FALSE(image->SameAs(*other));
    CHECK_FALSE(other->SameAs(*image));
  }
}

TEST_CASE("FeatureLevels: a new cluster gets what its metadata.version brings and we serve") {
  CHECK(DefaultFeatureLevel(kElrVersion, 25) == 0);
  CHECK(DefaultFeatureLevel(kElrVersion, 26) == 1);
  CHECK(DefaultFeatureLevel(kKraftVersion, kMetadataVersionLatest) == 1);
  CHECK(DefaultFeatureLevel(kTransactionVersion, kMetadataVersionLatest) == 0);  // Not served yet.
  for (const MetadataVersionInfo& version : MetadataVersions()) {
    CHECK(version.level == kMetadataVersionMin + (&version - MetadataVersions().data()));
  }
}
