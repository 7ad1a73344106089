// What the environment variables of a container say, as server.properties: the conventions of the
// images that people have compose files for, so that only the image's name changes.
//
//   apache/kafka, confluentinc/cp-kafka   KAFKA_LOG_RETENTION_HOURS → log.retention.hours
//                                         (`_` is '.', `__` is '_', `___` is '-'), CLUSTER_ID
//   bitnami/kafka                         KAFKA_CFG_LOG_RETENTION_HOURS, KAFKA_KRAFT_CLUSTER_ID,
//                                         data under /bitnami/kafka
//
// A mounted server.properties is the beginning, variables win over it. Without either, the packaged
// defaults make one node that clients on the host reach; any property among the variables drops
// them, as in apache/kafka. What a JVM or ZooKeeper would have been told is accepted with a warning.
//
// Pure: what lies in files comes in through `read_file`.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

struct ContainerInput {
  std::map<std::string, std::string> environment;
  // The text of the server.properties that was mounted.
  std::optional<std::string> mounted_properties;
  // The content of a small file; nothing when it cannot be read.
  std::function<std::optional<std::string>(const std::string& path)> read_file;
};

struct ContainerConfig {
  // The whole of server.properties: the mounted file, then one line for each variable and each
  // value that was derived.
  std::string properties;
  // What directories that are not formatted yet get; nothing: each node makes one up.
  std::optional<std::string> cluster_id;
  std::vector<std::string> warnings;
  std::vector<std::string> errors;  // Not empty: do not start.
};

inline constexpr std::string_view kContainerDataFolder = "/var/lib/kafka/data";
inline constexpr std::string_view kContainerSecretsFolder = "/etc/kafka/secrets";
inline constexpr std::string_view kBitnamiDataFolder = "/bitnami/kafka/data";
// What apache/kafka gives a cluster that nobody named: nodes that are started from one compose file
// without CLUSTER_ID must find each other.
inline constexpr std::string_view kPackagedClusterId = "5L6g3nShT-eMCtK--X86sw";

ContainerConfig ReadContainerConfig(const ContainerInput& input);

// "LOG_RETENTION_HOURS" → "log.retention.hours".
std::string PropertyOfVariable(std::string_view name);

}  // namespace millrace
