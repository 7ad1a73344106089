// What every API file needs: decoding a request, encoding its answer, and reading the wire's
// sentinels.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "broker/broker.h"
#include "broker/kafka_error.h"
#include "broker/server/api_request.h"
#include "common/ids.h"
#include "proto/kafka/header.h"
#include "proto/kafka/reader.h"

namespace millrace {

// What DecodeBody() says of a body of which `status` is wrong.
absl::Status DoesNotDecode(int16_t api_key, int16_t version, const absl::Status& status);

// The request's body. An undecodable one gives a status whose message names the API; the connection
// is closed then, because where the next field would begin is unknown (Kafka does the same).
// `elements_max`: of all its arrays together.
template <typename Request>
absl::StatusOr<Request> DecodeBody(const ApiRequest& request,
                                   size_t elements_max = kafka::kArrayElementsMax) {
  kafka::Reader reader(request.body, elements_max);
  Request decoded;
  decoded.Decode(reader, request.version);
  absl::Status status = reader.Finish();
  if (!status.ok()) return DoesNotDecode(Request::kApiKey, request.version, status);
  return decoded;
}

// A frame that was encoded; without one the connection is closed.
ApiReply ReplyWith(absl::StatusOr<Chain> frame);

template <typename Response>
ApiReply Reply(const ApiRequest& request, const Response& response) {
  return ReplyWith(kafka::EncodeResponse(response, request.version, request.correlation_id));
}

ApiReply Undecodable(const absl::Status& status);

// The same for an API whose answer has an error code of its own from `error_since` on: a request
// whose arrays are more than may be held in memory was understood, and is told INVALID_REQUEST.
template <typename Response>
ApiReply Undecodable(const ApiRequest& request, const absl::Status& status, int16_t error_since) {
  if (!absl::IsResourceExhausted(status) || request.version < error_since) {
    return Undecodable(status);
  }
  Response refused;
  refused.error_code = ErrorCode(kafka::KafkaError::kInvalidRequest);
  return Reply(request, refused);
}

// The wire's -1 (any negative) for "not known".
inline std::optional<LeaderEpoch> EpochFromWire(int32_t epoch) {
  return epoch < 0 ? std::nullopt : std::optional(LeaderEpoch(epoch));
}
inline int32_t LeaderToWire(const std::optional<BrokerId>& leader) {
  return leader.has_value() ? leader->value() : -1;
}

// Bit sets of ACL operations (bit n = operation n) for "everything is allowed", which holds while
// there is no authorizer.
inline constexpr int32_t kAllTopicOperations =
    (1 << 3) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 10) | (1 << 11);
inline constexpr int32_t kAllClusterOperations =
    (1 << 5) | (1 << 7) | (1 << 8) | (1 << 9) | (1 << 10) | (1 << 11) | (1 << 12);

// Topics that the coordinators keep their state in: clients may read them and not write.
inline bool IsInternalTopic(const std::string& name) {
  return name == "__consumer_offsets" || name == "__transaction_state" ||
         name == "__share_group_state";
}

}  // namespace millrace
