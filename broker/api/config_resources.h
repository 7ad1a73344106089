// Kafka's numbers for what has a configuration.
#pragma once

#include <absl/status/status.h>
#include <fmt/format.h>

#include <cstdint>
#include <optional>

#include "common/error_kind.h"
#include "controller/image/metadata_record.h"

namespace millrace {

inline constexpr int8_t kTopicResource = 2;
inline constexpr int8_t kBrokerResource = 4;
inline constexpr int8_t kBrokerLoggerResource = 8;
inline constexpr int8_t kClientMetricsResource = 16;
inline constexpr int8_t kGroupResource = 32;

// Nothing for what has no configuration here.
inline std::optional<ConfigResource> ConfigResourceFromWire(int8_t type) {
  if (type == kTopicResource) return ConfigResource::kTopic;
  if (type == kBrokerResource) return ConfigResource::kBroker;
  if (type == kGroupResource) return ConfigResource::kGroup;
  return std::nullopt;
}

inline absl::Status UnknownConfigResource(int8_t type) {
  switch (type) {
    case kBrokerLoggerResource:
      return MakeError(ErrorKind::kInvalidRequest,
                       "Loggers have no levels of their own here: millrace.log.level is for all.");
    case kClientMetricsResource:
      return MakeError(ErrorKind::kInvalidRequest, "Client metrics are not collected.");
    default:
      return MakeError(ErrorKind::kInvalidRequest, fmt::format("Unknown resource type {}", type));
  }
}

}  // namespace millrace
