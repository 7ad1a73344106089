// What an image takes on the heap: MetadataImage::CountBytes().
#include <algorithm>

#include "controller/image/metadata_image.h"

namespace millrace {
namespace {

// A block of glibc's malloc: a header of 8 bytes, whole pieces of 16, at least 32.
constexpr size_t BlockOf(size_t bytes) {
  return bytes == 0 ? 0 : std::max<size_t>(32, (bytes + 8 + 15) / 16 * 16);
}

// What make_shared puts before the object: its table of functions and two counts.
constexpr size_t kCountsBytes = 16;

size_t BytesOf(const std::string& text) {
  constexpr size_t kInPlaceMax = 15;
  return text.capacity() > kInPlaceMax ? BlockOf(text.capacity() + 1) : 0;
}

// An entry of a PersistentMap, without what key and value have outside of it.
template <typename Key, typename Value>
constexpr size_t NodeBytes() {
  struct Node {
    Key key;
    Value value;
    size_t size;
    std::shared_ptr<const void> left;
    std::shared_ptr<const void> right;
  };
  return BlockOf(kCountsBytes + sizeof(Node));
}

size_t BytesOf(const ConfigOverrides& configs) {
  struct Node {  // Of std::map.
    int color;
    void* links[3];
    ConfigOverrides::value_type value;
  };
  size_t bytes = configs.size() * BlockOf(sizeof(Node));
  for (const auto& [key, value] : configs) bytes += BytesOf(key) + BytesOf(value);
  return bytes;
}

// Blocks of lists, each counted once however many lists have it.
class Blocks {
 public:
  template <typename T>
  void Add(const SharedList<T>& list) {
    if (!list.empty()) blocks_.push_back({list.block(), BlockOf(list.BlockBytes(list.size()))});
  }
  size_t Total() {
    std::ranges::sort(blocks_, std::ranges::less(), &Block::address);
    const auto again = std::ranges::unique(blocks_, std::ranges::equal_to(), &Block::address);
    blocks_.erase(again.begin(), again.end());
    size_t bytes = 0;
    for (const Block& block : blocks_) bytes += block.bytes;
    return bytes;
  }

 private:
  struct Block {
    const void* address;
    size_t bytes;
  };
  std::vector<Block> blocks_;
};

}  // namespace

ImageBytes MetadataImage::CountBytes() const {
  ImageBytes bytes;
  Blocks blocks;
  topics_.ForEach([&](const std::string& name, const Topic& topic) {
    bytes.topics +=
        BlockOf(kCountsBytes + sizeof(TopicImage)) + BytesOf(topic->name) + BytesOf(topic->configs);
    bytes.partitions += BlockOf(topic->partitions.capacity() * sizeof(PartitionImage));
    for (const PartitionImage& partition : topic->partitions) {
      for (const auto* list : {&partition.replicas, &partition.isr, &partition.adding,
                               &partition.removing, &partition.elr, &partition.last_known_elr}) {
        blocks.Add(*list);
      }
      blocks.Add(partition.directories);
    }
    bytes.indexes += NodeBytes<std::string, Topic>() + BytesOf(name);
    bytes.indexes += NodeBytes<TopicId, Topic>();
    return true;
  });
  topics_by_metric_.ForEach([&](const std::string& name, const TopicId&) {
    bytes.indexes += NodeBytes<std::string, TopicId>() + BytesOf(name);
    return true;
  });
  topics_by_broker_.ForEach([&](const BrokerTopics&, const SharedList<TopicId>& topics) {
    bytes.indexes +=
        NodeBytes<BrokerTopics, SharedList<TopicId>>() + BlockOf(topics.BlockBytes(topics.size()));
    return true;
  });
  bytes.lists = blocks.Total();
  return bytes;
}

}  // namespace millrace
