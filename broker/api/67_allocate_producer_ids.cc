// AllocateProducerIds (key 67), version 0. A broker draws a block of producer ids.
//
// Promises: no id of the block was or will be given to anybody else.
// Errors:   NOT_CONTROLLER: another controller is active. STALE_BROKER_EPOCH: the broker is not
//           registered with that epoch (any more).
// Source:   KIP-730; rule 1.51.
#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/allocate_producer_ids_request.h"
#include "proto/kafka/allocate_producer_ids_response.h"

namespace millrace {

Task<ApiReply> HandleAllocateProducerIds(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<kafka::AllocateProducerIdsRequest> body =
      DecodeBody<kafka::AllocateProducerIdsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  kafka::AllocateProducerIdsResponse response;
  absl::StatusOr<ProducerIdBlock> block = co_await admin->active().AllocateProducerIds(
      BrokerId(body->broker_id), BrokerEpoch(body->broker_epoch));
  if (block.ok()) {
    response.producer_id_start = block->first;
    response.producer_id_len = block->size;
  } else {
    response.error_code = ErrorCode(block.status());
  }
  co_return Reply(request, response);
}

}  // namespace millrace
