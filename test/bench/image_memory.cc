// millrace_image_memory [TOPICS [PARTITIONS [BROKERS [DIRECTORIES]]]]: what the metadata image takes
// on the heap for each partition (replication factor 3), and for what. Every broker and every
// controller has one such image, whatever it hosts.
//
// The controller's own decisions create the topics, one committed entry each, and where brokers have
// several log directories a second entry says which; everything goes through the log's encoding.
// The snapshot is of that, read back, as a node has it that was restarted.
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/check.h"
#include "common/runtime/sim/sim_random.h"
#include "controller/image/metadata_record.h"
#include "controller/metadata_state.h"
#include "controller/topic_decisions.h"

namespace millrace::bench {
namespace {

constexpr int32_t kReplicationFactor = 3;

struct Shape {
  int32_t topics = 10'000;
  int32_t partitions = 10;
  int32_t brokers = 3;
  int32_t directories = 1;
};

size_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// As committed entries reach every node.
void Commit(MetadataState& state, MetadataRecords records) {
  const RaftIndex index((state.image()->index().has_value() ? state.image()->index()->value() : 0) +
                        1);
  const std::string bytes = EncodeEntry({RaftTerm(1), Timestamp(0), std::move(records)});
  MR_CHECK(state.OnCommitted(index, *DecodeEntry(bytes)).ok());
}

void Register(MetadataState& state, const Shape& shape, SimRandom& random) {
  for (int32_t id = 1; id <= shape.brokers; ++id) {
    BrokerImage broker;
    broker.id = BrokerId(id);
    broker.epoch = BrokerEpoch(id);
    broker.endpoints = {{"PLAINTEXT", "broker", 9092, "PLAINTEXT"}};
    broker.fenced = false;
    for (int32_t d = 0; d < shape.directories; ++d) {
      broker.log_directories.push_back({random.NextUuid()});
    }
    Commit(state, {RegisterBrokerRecord{broker}});
  }
}

// The brokers say where each replica lives.
void AssignDirectories(MetadataState& state, const TopicId& id, SimRandom& random) {
  const std::shared_ptr<const MetadataImage> image = state.image();
  const MetadataImage::Topic topic = image->FindTopic(id);
  MetadataRecords records;
  for (size_t p = 0; p < topic->partitions.size(); ++p) {
    PartitionImage partition = topic->partitions[p];
    DirectoryIds chosen;
    for (BrokerId replica : partition.replicas) {
      const auto& directories = image->FindBroker(replica)->log_directories;
      chosen.push_back(directories[random.Below(directories.size())].id);
    }
    partition.directories = chosen;
    records.emplace_back(PartitionRecord{id, PartitionId(static_cast<int32_t>(p)), partition});
  }
  Commit(state, std::move(records));
}

void CreateTopics(MetadataState& state, const Shape& shape, SimRandom& random) {
  const CreateTopicDraws draws{[&random] { return random.NextUuid(); },
                               [&random] { return random.Next(); }};
  char name[32];
  for (int32_t t = 0; t < shape.topics; ++t) {
    std::snprintf(name, sizeof(name), "payments.of_region-%05d", t);
    CreateTopicRequest request;
    request.name = name;
    request.partitions = shape.partitions;
    request.replication_factor = kReplicationFactor;
    Decision<CreateTopicReply> decision =
        DecideCreateTopics(*state.image(), TopicRules(), {request}, false, draws);
    MR_CHECK(decision.replies[0].status.ok());
    Commit(state, std::move(decision.records));
    if (shape.directories > 1) AssignDirectories(state, decision.replies[0].topic_id, random);
  }
}

void Print(const char* what, size_t heap, const MetadataImage& image) {
  const auto each = [&image](size_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(image.partition_count());
  };
  const ImageBytes counted = image.CountBytes();
  std::printf("%-12s %8.1f %9.1f   %10.1f %6.1f %7.1f %8.1f\n", what, each(heap),
              each(counted.total()), each(counted.partitions), each(counted.lists),
              each(counted.topics), each(counted.indexes));
}

int Main(int count, char** words) {
  Shape shape;
  int32_t* const places[] = {&shape.topics, &shape.partitions, &shape.brokers, &shape.directories};
  for (int i = 1; i < count && i <= 4; ++i) *places[i - 1] = std::atoi(words[i]);
  if (count > 5 || shape.topics < 1 || shape.partitions < 1 || shape.directories < 1 ||
      shape.brokers < kReplicationFactor) {
    std::fprintf(stderr,
                 "usage: millrace_image_memory [TOPICS [PARTITIONS [BROKERS [DIRECTORIES]]]]\n");
    return 2;
  }
  std::printf(
      "%d topics of %d partitions, replication factor %d, on %d brokers with %d log "
      "director%s each\nbytes a partition:\n"
      "%-12s %8s %9s   %10s %6s %7s %8s\n",
      shape.topics, shape.partitions, kReplicationFactor, shape.brokers, shape.directories,
      shape.directories == 1 ? "y" : "ies", "", "heap", "counted", "partitions", "lists", "topics",
      "indexes");
  SimRandom random = SimRandom::Derived(1, "image memory");
  const size_t before = HeapBytes();
  MetadataState created;
  Register(created, shape, random);
  CreateTopics(created, shape, random);
  Print("created", HeapBytes() - before, *created.image());

  std::vector<std::string> chunks;
  auto next = created.TakeSnapshot();
  while (std::optional<std::string> chunk = next()) chunks.push_back(*std::move(chunk));
  const size_t before_snapshot = HeapBytes();
  MetadataState restored;
  MR_CHECK(restored.OnSnapshot(*created.image()->index(), chunks).ok());
  Print("snapshot", HeapBytes() - before_snapshot, *restored.image());
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int count, char** words) { return millrace::bench::Main(count, words); }
