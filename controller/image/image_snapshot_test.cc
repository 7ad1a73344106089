#include "controller/image/image_snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>
#include <utility>

#include "common/runtime/sim/sim_random.h"
#include "controller/image/feature_levels.h"
#include "controller/image/metadata_delta.h"

using namespace millrace;

namespace {

// A cluster that changes at random: what a controller might have decided.
class RandomCluster {
 public:
  explicit RandomCluster(uint64_t seed) : random_(SimRandom::Derived(seed, "image")) {}

  const std::shared_ptr<const MetadataImage>& image() const { return image_; }

  void Change() {
    MetadataDelta delta(image_);
    for (const MetadataRecord& record : Draw()) REQUIRE(delta.Apply(record).ok());
    ++index_;
    image_ = delta.Build(RaftIndex(index_));
  }

 private:
  MetadataImage::Topic AnyTopic() {
    MetadataImage::Topic found;
    uint64_t skip = random_.Below(std::max<size_t>(image_->topics().size(), 1));
    image_->topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
      found = topic;
      return skip-- > 0;
    });
    return found;
  }
  PartitionImage AnyState() {
    BrokerIds replicas;
    DirectoryIds directories;
    BrokerIds isr;
    for (uint64_t i = random_.Between(1, 4); i > 0; --i) {
      replicas.emplace_back(static_cast<int32_t>(random_.Below(5)));
      directories.push_back(random_.NextUuid());
      if (random_.Coin()) isr.push_back(replicas.back());
    }
    PartitionImage state;
    state.replicas = replicas;
    state.directories = directories;
    state.isr = isr;
    if (random_.Coin()) state.leader = state.replicas.front();
    if (random_.Coin()) state.adding = {replicas.back()};
    if (random_.Coin()) state.last_known_elr = {replicas.front()};
    if (random_.Coin()) state.recovery = LeaderRecovery::kRecovering;
    state.leader_epoch = LeaderEpoch(static_cast<int32_t>(random_.Below(100)));
    state.partition_epoch = PartitionEpoch(static_cast<int32_t>(random_.Below(100)));
    return state;
  }
  std::vector<MetadataRecord> NewTopic() {
    const TopicId id = random_.NextUuid();
    const std::string name = fmt::format("t{}", ++topics_);
    std::vector<MetadataRecord> records{TopicRecord{name, id}};
    const auto partitions = static_cast<int32_t>(random_.Below(5));
    for (int32_t p = 0; p < partitions; ++p) {
      records.emplace_back(PartitionRecord{id, PartitionId(p), AnyState()});
    }
    if (random_.Coin()) records.push_back(AnyConfig(name));
    return records;
  }
  ConfigRecord AnyConfig(const std::string& topic) {
    std::optional<std::string> value;
    if (random_.Below(4) > 0) value = fmt::format("{}", random_.Below(100));
    return {topic.empty() ? ConfigResource::kBroker : ConfigResource::kTopic, topic,
            fmt::format("k{}", random_.Below(3)), std::move(value)};
  }
  RegisterBrokerRecord AnyBroker() {
    BrokerImage broker;
    broker.id = BrokerId(static_cast<int32_t>(random_.Below(4)));
    broker.epoch = BrokerEpoch(index_);
    broker.incarnation = random_.NextUuid();
    broker.endpoints.push_back(
        {"PLAINTEXT", fmt::format("h{}", random_.Below(9)), 9092, "PLAINTEXT"});
    if (random_.Coin()) broker.rack = "r";
    broker.fenced = random_.Coin();
    broker.log_directories.push_back({random_.NextUuid(), random_.Coin(), random_.Coin()});
    return {broker};
  }
  RegisterControllerRecord AnyController() {
    ControllerImage controller;
    controller.id = BrokerId(static_cast<int32_t>(random_.Below(3)));
    controller.directory = random_.NextUuid();
    controller.features.push_back({"f", 0, static_cast<int32_t>(random_.Below(3))});
    return {controller};
  }
  std::vector<MetadataRecord> Draw() {
    const MetadataImage::Topic topic = AnyTopic();
    switch (topic == nullptr ? random_.Below(5) : random_.Below(11)) {
      case 0:
        return {AnyBroker()};
      case 1: {
        ConfigRecord config = AnyConfig("");
        if (random_.Coin()) config.name = fmt::format("{}", random_.Below(3));
        if (random_.Below(3) == 0) config.resource = ConfigResource::kGroup;
        return {std::move(config)};
      }
      case 9:
        return {FeatureLevelRecord{std::string(kElrVersion), random_.Coin() ? 1 : 0}};
      case 10:
        return {AnyController()};
      case 2:
        producer_ids_ += 1000;
        return {ProducerIdsRecord{producer_ids_}};
      case 3:
      case 4:
        return NewTopic();
      case 5:
        return {RemoveTopicRecord{topic->topic_id}};
      case 6:
        return {AnyConfig(topic->name)};
      case 7: {
        // Deleted and made again within one entry, by the same name.
        const TopicId id = random_.NextUuid();
        return {RemoveTopicRecord{topic->topic_id}, TopicRecord{topic->name, id},
                PartitionRecord{id, PartitionId(0), AnyState()}};
      }
      default:
        return {PartitionRecord{
            topic->topic_id,
            PartitionId(static_cast<int32_t>(random_.Below(topic->partitions.size() + 1))),
            AnyState()}};
    }
  }

  SimRandom random_;
  std::shared_ptr<const MetadataImage> image_ = std::make_shared<const MetadataImage>();
  int64_t index_ = 0;
  int topics_ = 0;
  int64_t producer_ids_ = 0;
};

std::vector<std::string> Snapshot(const std::shared_ptr<const MetadataImage>& image, size_t bytes) {
  ImageSnapshotWriter writer(image, bytes);
  std::vector<std::string> chunks;
  while (std::optional<std::string> chunk = writer.Next()) chunks.push_back(*std::move(chunk));
  return chunks;
}

}  // namespace

TEST_CASE("ImageSnapshot: what a snapshot gives is what the replay gave (P30)") {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    RandomCluster cluster(seed);
    std::shared_ptr<const MetadataImage> old = cluster.image();
    for (int step = 1; step <= 60; ++step) {
      cluster.Change();
      if (step % 7 != 0) continue;
      const auto& image = cluster.image();
      const size_t chunk = size_t{1} << (seed % 14);
      auto restored = ReadImageSnapshot(*image->index(), Snapshot(image, chunk));
      REQUIRE(restored.ok());
      REQUIRE((*restored)->SameAs(*image));
      REQUIRE((*restored)->index() == image->index());

      // To a follower that knows an older image it is a change like any other.
      const MetadataDelta delta = MetadataDelta::Between(old, **restored);
      std::set<TopicId> changed;
      std::set<TopicId> removed;
      image->topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
        const MetadataImage::Topic before = old->FindTopic(topic->topic_id);
        if (before == nullptr || *before != *topic) changed.insert(topic->topic_id);
        REQUIRE(image->FindTopic(topic->topic_id) == topic);
        return true;
      });
      old->topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
        if (image->FindTopic(topic->topic_id) == nullptr) removed.insert(topic->topic_id);
        return true;
      });
      REQUIRE(delta.changed_topics() == changed);
      REQUIRE(delta.removed_topics().size() == removed.size());
      for (const auto& [id, topic] : delta.removed_topics()) REQUIRE(removed.contains(id));
      REQUIRE(delta.brokers_changed() == (old->brokers() != image->brokers()));
      if (step % 2 == 0) old = image;
    }
  }
}

TEST_CASE("ImageSnapshot: chunks keep to their size, and an empty image has none") {
  CHECK(Snapshot(std::make_shared<const MetadataImage>(), 100).empty());
  RandomCluster cluster(7);
  for (int i = 0; i < 400; ++i) cluster.Change();
  constexpr size_t kBytes = 2000;
  const std::vector<std::string> chunks = Snapshot(cluster.image(), kBytes);
  CHECK(chunks.size() > 3);
  for (const std::string& chunk : chunks) CHECK(chunk.size() < kBytes + 200);
}

TEST_CASE("MetadataRecord: what is taken for its size is never less than what it takes") {
  constexpr int32_t kLarge = std::numeric_limits<int32_t>::max();
  PartitionImage state;
  state.directories = std::vector(40, DirectoryId(~0ull, ~0ull));
  for (SharedList<BrokerId>* ids : {&state.replicas, &state.isr, &state.adding, &state.removing,
                                    &state.elr, &state.last_known_elr}) {
    *ids = BrokerIds(40, BrokerId(kLarge));
  }
  state.leader_epoch = LeaderEpoch(kLarge);
  state.partition_epoch = PartitionEpoch(kLarge);
  state.recovery = LeaderRecovery::kRecovering;
  BrokerImage broker;
  broker.id = BrokerId(kLarge);
  broker.epoch = BrokerEpoch(std::numeric_limits<int64_t>::max());
  broker.incarnation = IncarnationId(~0ull, ~0ull);
  broker.endpoints.assign(9, {std::string(300, 'l'), std::string(300, 'h'), 65535, "SASL_SSL"});
  broker.rack = std::string(300, 'r');
  broker.log_directories.assign(9, {DirectoryId(~0ull, ~0ull), false, true});
  broker.features.assign(9, {std::string(300, 'f'), -1, kLarge});
  broker.in_controlled_shutdown = broker.draining = true;
  ControllerImage controller{broker.id, broker.incarnation, DirectoryId(~0ull, ~0ull),
                             broker.endpoints, broker.features};
  BrokerChangeRecord change{broker.id, broker.epoch, true, true, true};
  change.offline_directories.assign(9, DirectoryId(~0ull, ~0ull));
  const std::vector<MetadataRecord> records = {
      TopicRecord{std::string(249, 't'), TopicId(~0ull, ~0ull)},
      RemoveTopicRecord{TopicId(~0ull, ~0ull)},
      PartitionRecord{TopicId(~0ull, ~0ull), PartitionId(kLarge), state},
      ConfigRecord{ConfigResource::kGroup, std::string(999, 'n'), "k", std::string(70'000, 'v')},
      RegisterBrokerRecord{broker},
      ProducerIdsRecord{std::numeric_limits<int64_t>::max()},
      FeatureLevelRecord{std::string(300, 'f'), -1},
      UnregisterBrokerRecord{broker.id, broker.epoch},
      change,
      RegisterControllerRecord{controller},
      UnregisterControllerRecord{broker.id},
      NoOpRecord{},
  };
  const size_t empty = EncodeEntry({RaftTerm(1), Timestamp(1), {}}).size();
  for (const MetadataRecord& record : records) {
    CAPTURE(record.index());
    const size_t size = EncodeEntry({RaftTerm(1), Timestamp(1), {record}}).size() - empty;
    CHECK(EncodedBytesMax(record) >= size);
    CHECK(EncodedBytesMax(record) <= 2 * size + 200);  // Nor so much more that room is wasted.
  }
}

TEST_CASE("ImageSnapshot: a chunk that is missing or damaged is data loss") {
  RandomCluster cluster(3);
  for (int i = 0; i < 200; ++i) cluster.Change();
  std::vector<std::string> chunks = Snapshot(cluster.image(), 300);
  REQUIRE(chunks.size() > 3);
  std::vector<std::string> cut = chunks;
  cut[1].resize(cut[1].size() / 2);
  CHECK(absl::IsDataLoss(ReadImageSnapshot(RaftIndex(1), cut).status()));
  std::ranges::reverse(chunks);  // Partitions before their topic.
  CHECK(absl::IsDataLoss(ReadImageSnapshot(RaftIndex(1), chunks).status()));
}
