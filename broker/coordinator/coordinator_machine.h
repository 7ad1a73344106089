// CoordinatorMachine: what a coordinator decides, over one partition of an internal topic: groups
// over __consumer_offsets, later transactions over __transaction_state and share groups over
// __share_group_state. It is deterministic: the records of its partition, read from the first to the
// last, make it what it was. CoordinatorPartition gives it records, time and a log to write to.
//
// Shard:    the partition's. A new one for each time that this broker comes to lead the partition.
// Source:   the coordinator runtime of Kafka 4 (KIP-848's design).
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/time.h"

namespace millrace {

// A record to be appended, in the format of its topic.
struct CoordinatorRecord {
  std::string key;
  std::optional<std::string> value;  // Nothing: a tombstone.
};

// A topic that is gone. Another one may have its name by now.
struct DeletedTopic {
  std::string name;
  TopicId id;
};

// Both clocks, read once for all that is decided in one turn.
struct CoordinatorTime {
  Instant now;
  Timestamp wall;
};

class CoordinatorMachine {
 public:
  virtual ~CoordinatorMachine() = default;

  // The next record of the log. An error says that it cannot be read; it is told in the log file,
  // and the record has no effect.
  virtual absl::Status Load(std::span<const uint8_t> key,
                            std::optional<std::span<const uint8_t>> value,
                            CoordinatorTime time) = 0;
  // That was the last one: requests may come.
  virtual void OnLoaded(CoordinatorTime time) = 0;

  // When OnTime() has something to do.
  virtual Instant deadline() const = 0;
  virtual std::vector<CoordinatorRecord> OnTime(CoordinatorTime time) = 0;
  // Topics that are gone.
  virtual std::vector<CoordinatorRecord> OnTopicsDeleted(const std::vector<DeletedTopic>& topics,
                                                         CoordinatorTime time) = 0;

  // It coordinates no longer: whoever waits for it is told. Nothing is called afterwards.
  virtual void Dismiss() = 0;
};

}  // namespace millrace
