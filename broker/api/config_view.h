// Kafka's numbers for where a configuration value comes from and of what type it is.
#pragma once

#include <cstdint>

#include "common/config/config_source.h"

namespace millrace {

inline int8_t ConfigSourceToWire(ConfigSource source) {
  switch (source) {
    case ConfigSource::kTopic:
      return 1;
    case ConfigSource::kGroup:
      return 8;
    case ConfigSource::kDynamicBroker:
      return 2;
    case ConfigSource::kDynamicDefaultBroker:
      return 3;
    case ConfigSource::kStaticBroker:
      return 4;
    case ConfigSource::kDefault:
      return 5;
  }
  return 0;
}

inline int8_t ConfigTypeToWire(ConfigType type) {
  switch (type) {
    case ConfigType::kBoolean:
      return 1;
    case ConfigType::kString:
      return 2;
    case ConfigType::kInt:
      return 3;
    case ConfigType::kShort:
      return 4;
    case ConfigType::kLong:
      return 5;
    case ConfigType::kDouble:
      return 6;
    case ConfigType::kList:
      return 7;
    case ConfigType::kClass:
      return 8;
    case ConfigType::kPassword:
      return 9;
  }
  return 0;
}

}  // namespace millrace
