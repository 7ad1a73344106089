// Two choices a topic makes about its records, spoken of by configuration and storage alike.
#pragma once

#include <cstdint>

namespace millrace {

// Which clock stamps records (message.timestamp.type; bit 3 of a batch's attributes).
enum class TimestampType : uint8_t { kCreateTime = 0, kLogAppendTime = 1 };

// What an acknowledgement means on this replica (topic property millrace.durability).
enum class Durability : uint8_t {
  kDisk,       // On the medium: the journal made it durable. Our default.
  kPageCache,  // In memory, written behind: Kafka's promise. Survives kill -9 only once written.
};

}  // namespace millrace
