// What the controller decides about topics: each function looks at the image and a request and
// answers with records to commit and the reply to give once they are. Nothing changes here; changes
// happen when the records are applied.
//
// Pure: no I/O, no clock; random values are drawn by the caller and passed in.
// Source: rules 0.8, 5.46-5.48 of Kafka's broker behaviour; messages as Kafka's where people grep
// them.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/config/config_source.h"
#include "controller/decision.h"
#include "controller/image/metadata_image.h"
#include "controller/image/metadata_record.h"

namespace millrace {

// Bounds that keep one request from taking the controller's memory; beyond them, and beyond those
// of request_records.h, a topic is refused with kPolicyViolation.
inline constexpr int32_t kPartitionsPerTopicMax = 100'000;
inline constexpr size_t kPartitionsPerRequestMax = 10'000;  // As Kafka's.

// OK, or kInvalidTopic with Kafka's message. The only check between a client's bytes and a path on
// our disk.
absl::Status ValidateTopicName(const std::string& name);

// The rules a controller is started with.
struct TopicRules {
  int32_t default_partitions = 1;          // num.partitions.
  int32_t default_replication_factor = 1;  // default.replication.factor.
  bool delete_enabled = true;              // delete.topic.enable.
  ServerConfigValues own;                  // What this node's file sets: topics fall back on it.
};

struct CreateTopicRequest {
  std::string name;
  std::optional<int32_t> partitions;                     // Nothing: the default.
  std::optional<int32_t> replication_factor;             // Nothing: the default.
  std::map<int32_t, std::vector<BrokerId>> assignments;  // Not empty: both above must be absent.
  bool duplicate_assignment = false;                     // The request named one partition twice.
  std::vector<std::pair<std::string, std::optional<std::string>>> configs;
};

struct CreateTopicReply {
  std::string name;
  absl::Status status;  // OK: the rest is what the topic has.
  TopicId topic_id{0, 0};
  int32_t partitions = 0;
  int32_t replication_factor = 0;
  ConfigOverrides configs;
};

// Draws: `draw()` gives a topic id that was never used; `start` is where placement begins.
struct CreateTopicDraws {
  std::function<TopicId()> topic_id;
  std::function<uint64_t()> start;
};

Decision<CreateTopicReply> DecideCreateTopics(const MetadataImage& image, const TopicRules& rules,
                                              const std::vector<CreateTopicRequest>& requests,
                                              bool validate_only, const CreateTopicDraws& draws);

struct DeleteTopicRequest {
  std::optional<std::string> name;  // Exactly one of the two is set.
  std::optional<TopicId> topic_id;
};

struct DeleteTopicReply {
  std::optional<std::string> name;
  std::optional<TopicId> topic_id;
  absl::Status status;
};

Decision<DeleteTopicReply> DecideDeleteTopics(const MetadataImage& image, const TopicRules& rules,
                                              const std::vector<DeleteTopicRequest>& requests);

struct CreatePartitionsRequest {
  std::string topic;
  int32_t count;                                                  // The new total.
  std::optional<std::vector<std::vector<BrokerId>>> assignments;  // Of the new partitions only.
  bool keeps_count = false;  // Coordinators find their keys by the number of partitions.
};

struct CreatePartitionsReply {
  std::string topic;
  absl::Status status;
};

// A topic that is named more than once has one reply.
Decision<CreatePartitionsReply> DecideCreatePartitions(
    const MetadataImage& image, const std::vector<CreatePartitionsRequest>& requests,
    bool validate_only, const std::function<uint64_t()>& start);

}  // namespace millrace
