// What the controller decides about configurations that are changed while the cluster runs: of
// topics, of one broker, of all brokers, of groups. Each function looks at the image and a request and answers
// with records and one reply per resource; nothing changes here.
//
// Pure.
// Source: KIP-339 (incremental), KIP-133 (replacing), KIP-226 (brokers); checks, their order and
//         their messages as Apache Kafka 4.3 answers them (observed).
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/config/config_source.h"
#include "controller/image/metadata_image.h"
#include "controller/image/metadata_record.h"
#include "controller/topic_decisions.h"

namespace millrace {

// Bounds on what is kept in metadata for one resource: keys that nobody knows are kept too.
inline constexpr size_t kOverridesPerResourceMax = 1000;
inline constexpr size_t kOverrideBytesPerResourceMax = size_t{1} << 20;
// Groups need not exist to be configured: nothing else bounds how many there are, nor their names,
// which in Kafka may be of any length. Keys of groups are known, and their values short.
inline constexpr size_t kConfiguredGroupsMax = 10'000;
inline constexpr size_t kConfiguredGroupNameBytesMax = 1024;
inline constexpr size_t kOverrideBytesPerGroupMax = 4096;

enum class ConfigOp : uint8_t { kSet, kDelete, kAppend, kSubtract };

struct ConfigChange {
  std::string key;
  ConfigOp op;
  std::optional<std::string> value;  // Ignored by kDelete.
};

struct AlterConfigsRequest {
  ConfigResource type;
  std::string name;  // Topic name; broker id in decimal, or "" for all brokers; group id.
  std::vector<ConfigChange> changes;
};

struct AlterConfigsReply {
  ConfigResource type;
  std::string name;
  absl::Status status;
};

// `own` is what this controller's file sets: what a change falls back on is checked with it.
//
// Per resource, in this order:
//   kInvalidRequest:            named twice in the request; a key twice; no value where one is due;
//                               a broker name that is no broker's id
//   kInvalidConfig:             APPEND or SUBTRACT on what is no list
//   topics:  kInvalidRequest, kInvalidTopic: the name is none
//            kInvalidConfig:    an unknown key, or a value or combination a topic cannot have
//            kUnknownTopicOrPartition
//   brokers: kInvalidRequest:   a key that cannot be changed at runtime, or only for one broker; a
//                               value it cannot have
//            kInvalidConfig:    min.insync.replicas where eligible leader replicas need it whole
//            kBrokerIdNotRegistered
//   groups:  kInvalidRequest:   no name
//            kInvalidConfig:    an unknown key, or a value a group cannot have
//            kPolicyViolation:  more groups than may be configured, or a name that is too long
//   kPolicyViolation:           more overrides than a resource may have, or changes than a request
//                               may (request_records.h)
// A resource is changed as a whole or not at all. What does not change makes no record. Keys of
// brokers that nobody knows are kept, as Kafka keeps them for plug-ins.
// A changed min.insync.replicas empties the eligible leader replicas of the partitions it concerns:
// they were eligible under another promise (KIP-966).
Decision<AlterConfigsReply> DecideAlterConfigs(const MetadataImage& image,
                                               const ServerConfigValues& own,
                                               const std::vector<AlterConfigsRequest>& requests,
                                               bool validate_only);

// The same where each request names all overrides that the resource is to have (kSet only): what it
// does not name goes.
Decision<AlterConfigsReply> DecideReplaceConfigs(const MetadataImage& image,
                                                 const ServerConfigValues& own,
                                                 const std::vector<AlterConfigsRequest>& requests,
                                                 bool validate_only);

}  // namespace millrace
