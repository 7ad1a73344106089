// The APIs this broker serves: key, versions, handler. The ApiVersions answer is computed from this
// table, and nothing that is not in it is advertised.
#pragma once

#include <cstdint>
#include <span>

#include "broker/api_request.h"
#include "broker/broker.h"
#include "common/runtime/task.h"
#include "proto/kafka/api.h"

namespace millrace {

// `broker` is never null and outlives the call. The request is the handler's own.
using ApiHandler = Task<ApiReply> (*)(Broker* broker, ApiRequest request);

struct ApiEntry {
  kafka::ApiKey key;
  int16_t min_version;  // Lowest version that is answered.
  int16_t max_version;
  int16_t min_advertised;  // Below min_version only where Kafka does so too (KAFKA-18659).
  ApiHandler handler;
};

// In order of key.
std::span<const ApiEntry> ServedApis();
// Null for a key that is not served.
const ApiEntry* FindServedApi(int16_t key);

}  // namespace millrace
