// AlterConfigs (key 33), versions 0 to 2. Replaces all that is set for a topic, for one broker, or for
// all brokers (""): what the request does not name goes back to its default.
//
// Promises: when the answer arrives every shard of this node goes by the new configuration.
//           validate_only changes nothing and says what would be said.
// Errors:   per resource, with Kafka's message: see controller/config_decisions.h. INVALID_REQUEST
//           for an unknown resource type.
// Source:   KIP-133; deprecated in favour of key 44 (KIP-339).
#include <utility>

#include "broker/api/alter_configs_edge.h"
#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/alter_configs_request.h"
#include "proto/kafka/alter_configs_response.h"

namespace millrace {

Task<ApiReply> HandleAlterConfigs(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<kafka::AlterConfigsRequest> body = DecodeBody<kafka::AlterConfigsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  AlterConfigsEdge edge;
  for (auto& resource : body->resources) {
    std::vector<ConfigChange> changes;
    for (auto& config : resource.configs) {
      changes.push_back({std::move(config.name), ConfigOp::kSet, std::move(config.value)});
    }
    edge.Add(resource.resource_type, std::move(resource.resource_name), absl::OkStatus(),
             std::move(changes));
  }
  Decision<AlterConfigsReply> decision;
  const absl::Status committed = co_await admin->active().Commit([&](const MetadataImage& image) {
    decision = DecideReplaceConfigs(image, admin->configs.own(), edge.asked(), body->validate_only);
    return std::move(decision.records);
  });
  co_return Reply(request, edge.ToWire<kafka::AlterConfigsResponse>(committed, decision.replies));
}

}  // namespace millrace
