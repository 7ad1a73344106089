// UnregisterBroker (key 64), version 0. The cluster forgets a broker that is gone for good.
//
// Promises: when the answer arrives it is in no ISR and in nobody's metadata; it must register to
//           come back.
// Errors:   BROKER_ID_NOT_REGISTERED.
// Source:   KIP-500, KIP-631.
#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/unregister_broker_request.h"
#include "proto/kafka/unregister_broker_response.h"

namespace millrace {

Task<ApiReply> HandleUnregisterBroker(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<kafka::UnregisterBrokerRequest> body =
      DecodeBody<kafka::UnregisterBrokerRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  absl::Status status = co_await admin->active().UnregisterBroker(BrokerId(body->broker_id));
  kafka::UnregisterBrokerResponse response;
  response.error_code = ErrorCode(status);
  response.error_message = ErrorMessage(status);
  co_return Reply(request, response);
}

}  // namespace millrace
