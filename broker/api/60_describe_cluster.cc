// DescribeCluster (key 60), versions 0 to 2. The brokers of the cluster.
//
// Promises: endpoint type 1 (brokers); v2 may ask for fenced ones too. A broker listener answers
// type 2 (controllers) with
//           MISMATCHED_ENDPOINT_TYPE, as Kafka's does, and other types with
//           UNSUPPORTED_ENDPOINT_TYPE.
// Source:   KIP-700, KIP-919, KIP-1073.
#include <fmt/format.h>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "broker/api/metadata_view.h"
#include "proto/kafka/describe_cluster_request.h"
#include "proto/kafka/describe_cluster_response.h"

namespace millrace {

Task<ApiReply> HandleDescribeCluster(AdminContext* admin, ApiRequest request) {
  constexpr int8_t kBrokers = 1;
  constexpr int8_t kControllers = 2;
  absl::StatusOr<kafka::DescribeClusterRequest> body =
      DecodeBody<kafka::DescribeClusterRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  kafka::DescribeClusterResponse response;
  if (request.version >= 1 && body->endpoint_type != kBrokers) {
    const bool controllers = body->endpoint_type == kControllers;
    response.error_code = ErrorCode(controllers ? kafka::KafkaError::kMismatchedEndpointType
                                                : kafka::KafkaError::kUnsupportedEndpointType);
    response.error_message = controllers
                                 ? "The request was sent to an endpoint of type BROKER, but we "
                                   "wanted an endpoint of type CONTROLLER"
                                 : fmt::format("Unsupported endpoint type {}", body->endpoint_type);
    co_return Reply(request, response);
  }
  response.error_message = std::nullopt;
  response.cluster_id = admin->options.cluster_id;
  response.controller_id = AnyBroker(*admin->image(), admin->options.node_id);
  if (body->include_cluster_authorized_operations)
    response.cluster_authorized_operations = kAllClusterOperations;
  for (const BrokerView& view :
       BrokersOn(*admin->image(), request.connection->listener, body->include_fenced_brokers)) {
    response.brokers.push_back({view.broker->id.value(), view.endpoint->host, view.endpoint->port,
                                view.broker->rack, view.broker->fenced});
  }
  co_return Reply(request, response);
}

}  // namespace millrace
