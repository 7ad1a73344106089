// InitProducerId (key 22), versions 0 to 5. A producer id for idempotent producing.
//
// Promises: without a transactional id, a producer id that was never given before, with epoch 0. A
// client that sends the id
//           and epoch it has (v3+) gets a new id: its state is per partition and nothing here can
//           bump it.
// Errors:   INVALID_REQUEST for an empty transactional id, or an id without an epoch and the
// reverse.
//           UNSUPPORTED_VERSION for a transactional id: transactions are not served yet
//           (docs/compatibility.md).
// Source:   KIP-98, KIP-360, rules 1.50-1.53.
#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/init_producer_id_request.h"
#include "proto/kafka/init_producer_id_response.h"

namespace millrace {

Task<ApiReply> HandleInitProducerId(Broker* broker, ApiRequest request) {
  absl::StatusOr<kafka::InitProducerIdRequest> body =
      DecodeBody<kafka::InitProducerIdRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  kafka::InitProducerIdResponse response;
  response.producer_id = -1;
  response.producer_epoch = -1;
  if ((body->transactional_id.has_value() && body->transactional_id->empty()) ||
      (body->producer_id == -1) != (body->producer_epoch == -1)) {
    response.error_code = ErrorCode(kafka::KafkaError::kInvalidRequest);
    co_return Reply(request, response);
  }
  if (body->transactional_id.has_value()) {
    response.error_code = ErrorCode(kafka::KafkaError::kUnsupportedVersion);
    co_return Reply(request, response);
  }
  absl::StatusOr<ProducerId> id = co_await broker->producer_ids.Next();
  if (!id.ok()) {
    // Retriable for every client; the fallback codes for a stopping broker mean partitions here.
    response.error_code = ErrorCode(kafka::KafkaError::kCoordinatorNotAvailable);
    co_return Reply(request, response);
  }
  response.producer_id = id->value();
  response.producer_epoch = 0;
  co_return Reply(request, response);
}

}  // namespace millrace
