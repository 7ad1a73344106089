// The APIs a node serves: key, versions, on which listeners, answered by whom, handler. The
// ApiVersions answer is computed from this table, and nothing that is not in it is advertised.
// Source: Kafka 4.4's listeners and forwarding of each API.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "broker/admin_context.h"
#include "broker/broker.h"
#include "broker/server/api_request.h"
#include "common/runtime/task.h"
#include "proto/kafka/api.h"

namespace millrace {

// The first argument is never null and outlives the call. The request is the handler's own.
using BrokerHandler = Task<ApiReply> (*)(Broker* broker, ApiRequest request);
using AdminHandler = Task<ApiReply> (*)(AdminContext* admin, ApiRequest request);

enum class ServedOn : uint8_t { kBroker, kController, kBoth };
enum class AnsweredBy : uint8_t {
  kAnyNode,           // The one that was asked, on the connection's shard.
  kActiveController,  // Shard 0 of its node: others forward (controller_requests.h).
};

struct ApiEntry {
  kafka::ApiKey key;
  int16_t min_version;  // Lowest version that is answered.
  int16_t max_version;
  int16_t min_advertised;  // Below min_version only where Kafka does so too (KAFKA-18659).
  ServedOn on;
  AnsweredBy by;
  // Exactly one of them is set; a broker handler only where `on` is kBroker and `by` kAnyNode.
  BrokerHandler broker_handler;
  AdminHandler admin_handler;

  bool ServesOn(ListenerKind kind) const {
    return on == ServedOn::kBoth || (on == ServedOn::kBroker) == (kind == ListenerKind::kBroker);
  }
};

// Those served on listeners of this kind, in order of key.
std::vector<const ApiEntry*> ServedApis(ListenerKind kind);
// Null for a key that is not served there.
const ApiEntry* FindServedApi(int16_t key, ListenerKind kind);

}  // namespace millrace
