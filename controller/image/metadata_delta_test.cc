#include "controller/image/metadata_delta.h"

#include <catch2/catch.hpp>

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
  state.directories = {DirectoryId(9, 9), DirectoryId(0, 1)};
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
  broker.log_directories = {DirectoryId(7, 8)};
  broker.fenced = false;
  MetadataEntry entry{
      RaftTerm(3),
      Timestamp(1234),
      {TopicRecord{"t", kId}, Partition(0, 1, 2), RemoveTopicRecord{kId},
       ConfigRecord{ConfigResource::kBroker, "", "k", std::nullopt}, RegisterBrokerRecord{broker},
       ProducerIdsRecord{1000}, FeatureLevelRecord{"f", 0}}};
  std::string bytes = EncodeEntry(entry);
  absl::StatusOr<MetadataEntry> read = DecodeEntry(bytes);
  REQUIRE(read.ok());
  CHECK(read->term == entry.term);
  CHECK(read->append_time == entry.append_time);
  REQUIRE(read->records.size() == entry.records.size());
  CHECK(EncodeEntry(*read) == bytes);
  CHECK(std::get<PartitionRecord>(read->records[1]).state == Partition(0, 1, 2).state);
  CHECK_FALSE(std::get<ConfigRecord>(read->records[3]).value.has_value());
  CHECK(std::get<RegisterBrokerRecord>(read->records[4]).broker.rack == "r1");
  CHECK(absl::IsDataLoss(DecodeEntry("\xff\xff\xff").status()));
  CHECK(absl::IsDataLoss(DecodeEntry(bytes.substr(0, bytes.size() - 1)).status()));
}
