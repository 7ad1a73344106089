// UnregisterController (key 94), version 0. The cluster forgets the registration of a controller that
// is gone. It is not about the quorum's voters: those are removed by key 81.
//
// Errors:   CONTROLLER_ID_NOT_REGISTERED; UNSUPPORTED_VERSION below metadata.version 33.
// Source:   Kafka 4.4.
#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "controller/image/feature_levels.h"
#include "proto/kafka/unregister_controller_request.h"
#include "proto/kafka/unregister_controller_response.h"

namespace millrace {

Task<ApiReply> HandleUnregisterController(AdminContext* admin, ApiRequest request) {
  constexpr int32_t kSince = 33;  // 4.4-IV2: the first with the record.
  absl::StatusOr<kafka::UnregisterControllerRequest> body =
      DecodeBody<kafka::UnregisterControllerRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  kafka::UnregisterControllerResponse response;
  absl::Status status;
  if (admin->active().image()->feature_level(kMetadataVersion) < kSince) {
    status = MakeError(ErrorKind::kUnsupportedVersion,
                       "The cluster's metadata.version has no unregistration of controllers.");
  } else {
    status = co_await admin->active().UnregisterController(BrokerId(body->controller_id));
  }
  response.error_code = absl::IsNotFound(status)
                            ? ErrorCode(kafka::KafkaError::kControllerIdNotRegistered)
                            : ErrorCode(status);
  response.error_message = ErrorMessage(status);
  co_return Reply(request, response);
}

}  // namespace millrace
