// The records of the metadata log as C++ values: what proto/control/metadata.proto says, with
// strong types. Protobuf's own headers stay in metadata_codec.cc.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/bytes/slice.h"
#include "common/ids.h"
#include "common/time.h"
#include "controller/image/metadata_image.h"

namespace millrace {

struct TopicRecord {
  std::string name;
  TopicId topic_id;
};

struct RemoveTopicRecord {
  TopicId topic_id;
};

struct PartitionRecord {
  TopicId topic_id;
  PartitionId partition;
  PartitionImage state;
};

enum class ConfigResource { kTopic, kBroker, kGroup };

struct ConfigRecord {
  ConfigResource resource;
  std::string name;  // Topic name; broker id in decimal, or "" for all brokers; group id.
  std::string key;
  std::optional<std::string> value;  // Nothing: the override goes.
};

struct RegisterBrokerRecord {
  BrokerImage broker;
};

struct ProducerIdsRecord {
  int64_t next_producer_id;
};

struct FeatureLevelRecord {
  std::string name;
  int32_t level;
};

struct UnregisterBrokerRecord {
  BrokerId id;
  BrokerEpoch epoch;
};

// What is absent stays as it is.
struct BrokerChangeRecord {
  BrokerId id;
  BrokerEpoch epoch;
  std::optional<bool> fenced{};
  std::optional<bool> in_controlled_shutdown{};
  std::optional<bool> draining{};
  DirectoryIds offline_directories{};  // Went offline; they come back with a registration only.
};

struct RegisterControllerRecord {
  ControllerImage controller;
};

struct UnregisterControllerRecord {
  BrokerId id;
};

struct NoOpRecord {};

using MetadataRecordVariant =
    std::variant<TopicRecord, RemoveTopicRecord, PartitionRecord, ConfigRecord,
                 RegisterBrokerRecord, ProducerIdsRecord, FeatureLevelRecord,
                 UnregisterBrokerRecord, BrokerChangeRecord, RegisterControllerRecord,
                 UnregisterControllerRecord, NoOpRecord>;

// One of them; std::get(), std::visit() and the like take it as they take the variant. Copying, moving
// and destroying it are functions of metadata_record.cc: every source that has a list of records
// would compile them for all kinds anew, a fifth of what such a test takes.
class MetadataRecord : public MetadataRecordVariant {
 public:
  using MetadataRecordVariant::MetadataRecordVariant;
  MetadataRecord(const MetadataRecord& other);
  MetadataRecord(MetadataRecord&& other) noexcept;
  MetadataRecord& operator=(const MetadataRecord& other);
  MetadataRecord& operator=(MetadataRecord&& other) noexcept;
  ~MetadataRecord();
};

// One entry of the metadata log: applied whole or not at all.
struct MetadataEntry {
  RaftTerm term;
  Timestamp append_time;
  std::vector<MetadataRecord> records;
};

std::string EncodeEntry(const MetadataEntry& entry);
// What the record adds to an encoded entry, or somewhat more: found without encoding it.
size_t EncodedBytesMax(const MetadataRecord& record);
// kDataLoss: not an entry that this version can read (say which it was at the call).
absl::StatusOr<MetadataEntry> DecodeEntry(std::string_view bytes);

}  // namespace millrace
