#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "common/runtime/sim/sim_random.h"
#include "controller/image/metadata_delta.h"

using namespace millrace;

namespace {

constexpr int32_t kPartitions = 10;
constexpr int32_t kReplicationFactor = 3;

// Brokers with one log directory each, with partitions placed on them as Kafka does it: for each
// first broker the others at any distance. Our own placement has fewer ways.
class Cluster {
 public:
  explicit Cluster(int32_t brokers) {
    for (int32_t b = 0; b < brokers; ++b) directories_.push_back(random_.NextUuid());
  }

  const MetadataImage& image() const { return *image_; }

  void CreateTopic() {
    const TopicId id = random_.NextUuid();
    Apply({TopicRecord{fmt::format("payments.of_region-{:05}", ++topics_), id}});
    std::vector<MetadataRecord> records;
    for (int32_t p = 0; p < kPartitions; ++p) records.emplace_back(Placed(id, p));
    Apply(records);
  }
  // As when the leader has said that the first replica's broker is no longer in sync.
  void ShrinkIsr(const TopicId& id, int32_t p) {
    PartitionRecord record{id, PartitionId(p),
                           image_->FindTopic(id)->partitions[static_cast<size_t>(p)]};
    const SharedList<BrokerId> isr = record.state.isr;
    record.state.isr = std::span(isr.begin() + 1, isr.end());
    Apply({record});
  }
  MetadataImage::Topic AnyTopic() const {
    MetadataImage::Topic any;
    image_->topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
      any = topic;
      return false;
    });
    return any;
  }

 private:
  PartitionRecord Placed(const TopicId& id, int32_t p) {
    const auto brokers = static_cast<int32_t>(directories_.size());
    const int32_t turn = topics_ * 7 + p;
    BrokerIds replicas;
    DirectoryIds directories;
    for (int32_t r = 0; r < kReplicationFactor; ++r) {
      const int32_t shift = r == 0 ? 0 : 1 + (turn / brokers + r - 1) % (brokers - 1);
      const int32_t broker = (turn + shift) % brokers;
      replicas.emplace_back(broker + 1);
      directories.push_back(directories_[static_cast<size_t>(broker)]);
    }
    PartitionImage state;
    // Apart, as they come out of the log.
    state.replicas = replicas;
    state.isr = replicas;
    state.directories = directories;
    state.leader = replicas.front();
    return {id, PartitionId(p), state};
  }
  // A delta for each entry, as at runtime.
  void Apply(const std::vector<MetadataRecord>& records) {
    MetadataDelta delta(image_);
    for (const MetadataRecord& record : records) REQUIRE(delta.Apply(record).ok());
    image_ = delta.Build(RaftIndex(++index_));
  }

  SimRandom random_ = SimRandom::Derived(1, "image bytes");
  DirectoryIds directories_;
  std::shared_ptr<const MetadataImage> image_ = std::make_shared<const MetadataImage>();
  int64_t index_ = 0;
  int32_t topics_ = 0;
};

}  // namespace

TEST_CASE(
    "MetadataImage: a partition takes less than 200 bytes, of 100,000 on 3 brokers or on 12") {
  constexpr int32_t kTopics = 10'000;
  constexpr size_t kPartitionBytesMax = 200;
  for (int32_t brokers : {3, 12}) {
    CAPTURE(brokers);
    Cluster cluster(brokers);
    for (int32_t t = 0; t < kTopics; ++t) cluster.CreateTopic();
    const ImageBytes bytes = cluster.image().CountBytes();
    CAPTURE(bytes.partitions, bytes.lists, bytes.topics, bytes.indexes);
    const size_t partitions = cluster.image().partition_count();
    REQUIRE(partitions == size_t{kTopics} * kPartitions);
    CHECK(bytes.total() < partitions * kPartitionBytesMax);
    // The lists of partitions that are placed alike are one.
    CHECK(bytes.lists < partitions);
  }
}

TEST_CASE(
    "MetadataImage: the in-sync replicas share the list of replicas while they are the same") {
  Cluster cluster(5);
  cluster.CreateTopic();
  const MetadataImage::Topic before = cluster.AnyTopic();
  CHECK(before->partitions[2].isr.block() == before->partitions[2].replicas.block());
  cluster.ShrinkIsr(before->topic_id, 2);
  const MetadataImage::Topic after = cluster.AnyTopic();
  CHECK(after->partitions[2].isr.size() == kReplicationFactor - 1);
  CHECK(before->partitions[2].isr.size() == kReplicationFactor);
  // What did not change is the same still, not a copy.
  CHECK(after->partitions[2].replicas.block() == before->partitions[2].replicas.block());
  CHECK(after->partitions[3].directories.block() == before->partitions[3].directories.block());
}

TEST_CASE("MetadataImage: more lists than the pool holds are right, if not shared") {
  Cluster cluster(60);  // 60 * 59 ways to place a partition.
  for (int32_t t = 0; t < 2000; ++t) cluster.CreateTopic();
  int32_t partitions = 0;
  cluster.image().topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
    for (const PartitionImage& partition : topic->partitions) {
      ++partitions;
      if (partition.isr != partition.replicas || partition.replicas.size() != 3) return false;
    }
    return true;
  });
  CHECK(partitions == 2000 * kPartitions);
}
