// DescribeCluster (key 60), versions 0 to 2. The nodes of the cluster, of the kind that the listener is
// for: brokers by broker listeners, controllers by controller listeners.
//
// Promises: the addresses are those of the listener by which the request came. v2 may ask for fenced
//           brokers too. controller_id is, by a broker listener, a broker that lives (clients may
//           send there what controllers answer), by a controller listener the active controller.
// Errors:   MISMATCHED_ENDPOINT_TYPE: the other kind was asked for (before v1 that is brokers);
//           UNSUPPORTED_ENDPOINT_TYPE.
// Source:   KIP-700, KIP-919, KIP-1073.
#include <fmt/format.h>

#include <algorithm>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "broker/api/metadata_view.h"
#include "controller/quorum/raft_quorum.h"
#include "proto/kafka/describe_cluster_request.h"
#include "proto/kafka/describe_cluster_response.h"

namespace millrace {
namespace {

using Response = kafka::DescribeClusterResponse;

constexpr int8_t kBrokers = 1;
constexpr int8_t kControllers = 2;

// True when `asked` is what a listener of this kind is about; else the response says why not.
bool CheckKind(int8_t asked, ListenerKind kind, Response* response) {
  const int8_t served = kind == ListenerKind::kController ? kControllers : kBrokers;
  if (asked == served) return true;
  if (asked != kBrokers && asked != kControllers) {
    response->error_code = ErrorCode(kafka::KafkaError::kUnsupportedEndpointType);
    response->error_message = fmt::format("Unsupported endpoint type {}", asked);
    return false;
  }
  const auto name = [](int8_t type) { return type == kBrokers ? "BROKER" : "CONTROLLER"; };
  response->error_code = ErrorCode(kafka::KafkaError::kMismatchedEndpointType);
  response->error_message = fmt::format(
      "The request was sent to an endpoint of type {}, but we wanted an endpoint of "
      "type {}",
      name(served), name(asked));
  return false;
}

void AddBrokers(const AdminContext& admin, const std::string& listener, bool with_fenced,
                Response* response) {
  const std::shared_ptr<const MetadataImage> image = admin.image();
  const std::vector<BrokerView> views = BrokersOn(*image, listener, with_fenced);
  response->controller_id = AnyBroker(*image, admin.options.node_id);
  for (const BrokerView& view : views) {
    response->brokers.push_back({view.broker->id.value(), view.endpoint->host, view.endpoint->port,
                                 view.broker->rack, view.broker->fenced});
  }
}

// Those that have registered; until then those that vote.
void AddControllers(const AdminContext& admin, const std::string& listener, Response* response) {
  response->endpoint_type = kControllers;
  const std::shared_ptr<const MetadataImage> image = admin.image();
  for (const auto& [id, controller] : image->controllers()) {
    for (const BrokerEndpoint& endpoint : controller.endpoints) {
      if (endpoint.listener != listener) continue;
      response->brokers.push_back({id, endpoint.host, endpoint.port, std::nullopt, false});
      break;
    }
  }
  if (admin.raft == nullptr) return;
  const QuorumStatus status = admin.raft->Describe();
  response->controller_id = LeaderToWire(status.leader);
  for (const auto& [id, voter] : status.voters.all()) {
    const bool listed =
        std::ranges::find(response->brokers, id.value(),
                          &Response::DescribeClusterBroker::broker_id) != response->brokers.end();
    auto found = std::ranges::find(voter.endpoints, listener, &raft::VoterEndpoint::listener);
    if (listed || found == voter.endpoints.end()) continue;
    response->brokers.push_back({id.value(), found->host, found->port, std::nullopt, false});
  }
}

}  // namespace

Task<ApiReply> HandleDescribeCluster(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<kafka::DescribeClusterRequest> body =
      DecodeBody<kafka::DescribeClusterRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  const ListenerKind kind = request.connection->kind;
  Response response;
  const int8_t asked = request.version >= 1 ? body->endpoint_type : kBrokers;
  if (!CheckKind(asked, kind, &response)) co_return Reply(request, response);
  response.cluster_id = admin->options.cluster_id;
  if (body->include_cluster_authorized_operations) {
    response.cluster_authorized_operations = kAllClusterOperations;
  }
  const std::string& listener = request.connection->listener;
  if (kind == ListenerKind::kController) {
    AddControllers(*admin, listener, &response);
  } else {
    AddBrokers(*admin, listener, body->include_fenced_brokers, &response);
  }
  co_return Reply(request, response);
}

}  // namespace millrace
