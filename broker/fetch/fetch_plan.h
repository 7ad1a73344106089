// FetchPlan: what one Fetch request asks for once its session is taken into account: the partitions
// in reading order, each once, and which of them the answer must hold. It stands alone: the decoded
// request may go. Pure but for the session cache, which it changes.
//
// Shard:    the connection's.
// Bound:    as many partitions as the request and its session name; each topic's name once. PlanBytes()
//           says before it is made what it may take.
// Source:   KIP-227; rules 2.30-2.36.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/fetch/fetch_session.h"
#include "common/random.h"
#include "proto/kafka/fetch_request.h"
#include "proto/kafka/kafka_error.h"

namespace millrace {

struct FetchPlan {
  kafka::KafkaError error =
      kafka::KafkaError::kNone;  // Of the whole request; then nothing else counts.
  std::vector<FetchTarget> targets;
  std::shared_ptr<FetchSession> session;  // Null: the answer is sessionless.
  bool incremental = false;               // Only news is answered.
  // As the request says.
  int32_t wait_ms_max = 0;
  int32_t bytes_min = 0;
  int32_t bytes_max = 0;
  bool read_committed = false;
  std::string rack;

  int32_t session_id() const { return session == nullptr ? 0 : session->id(); }
  // Of topics' names, as often as an answer says them.
  size_t name_bytes() const;
  // About what it keeps while it waits for records, waiters included.
  size_t waiting_bytes() const;
};

// Of a partition that is waited for: beside its target its id and the offset that is news, a waiter,
// and the waiter's place at the partition.
inline constexpr size_t kPlanBytesOfPartition = sizeof(FetchTarget) + 160;

// About the most that the plan of `request` takes while it waits, made or not.
size_t PlanBytes(const FetchSessionCache& sessions, const kafka::FetchRequest& request,
                 int16_t version);

// A partition that is named twice is asked for as the last mention says, in the place of the first
// (as in Kafka, which keeps them in a LinkedHashMap); but for topics whose names none can have. A
// request that names one of those gets no session.
FetchPlan PlanFetch(FetchSessionCache& sessions, const kafka::FetchRequest& request,
                    int16_t version, Instant now, Random& random);

}  // namespace millrace
