// FetchPlan: what one Fetch request asks for once its session is taken into account: the partitions
// in reading order, and which of them the answer must hold. Pure but for the session cache, which
// it changes.
//
// Shard:    the connection's.
// Source:   KIP-227; rules 2.30-2.36.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "broker/fetch_session.h"
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

  int32_t session_id() const { return session == nullptr ? 0 : session->id(); }
};

FetchPlan PlanFetch(FetchSessionCache& sessions, const kafka::FetchRequest& request,
                    int16_t version, Instant now, Random& random);

}  // namespace millrace
