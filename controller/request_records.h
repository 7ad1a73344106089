// RequestRecords: the records of one request of a client about many things (topics, resources):
// each thing whole or not at all, and all of them in one entry of the metadata log.
//
// An entry is committed whole. What came in several would be left half done where the controller
// dies in between: a topic without some of its partitions. So a request that is larger than an
// entry is refused, beginning with the first thing that does not fit; those that do are made. Kafka
// bounds a request too (10,000 records), and refuses it as a whole.
//
// Pure.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <utility>

#include "controller/decision.h"
#include "controller/turn_entries.h"

namespace millrace {

// Enough for the most partitions that a request may ask for, each of a topic of its own.
inline constexpr size_t kRecordsPerRequestMax = 20'000;
inline constexpr size_t kRecordBytesPerRequestMax = size_t{4} << 20;
static_assert(kRecordsPerRequestMax <= kRecordsPerEntryMax);

class RequestRecords {
 public:
  // Those of one thing. kPolicyViolation: there is no room for them, and none was taken.
  absl::Status Add(MetadataRecords records);

  MetadataRecords Take() { return std::move(records_); }

 private:
  MetadataRecords records_;
  size_t bytes_ = 0;
};

}  // namespace millrace
