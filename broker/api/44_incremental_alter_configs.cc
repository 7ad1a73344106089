// IncrementalAlterConfigs (key 44), versions 0 to 1. Changes single keys of topics, of groups, of one
// broker, or of all brokers ("").
//
// Promises: when the answer arrives every shard of this node goes by the new configuration.
//           validate_only changes nothing and says what would be said.
// Errors:   per resource, with Kafka's message: see controller/config_decisions.h. INVALID_REQUEST
//           for an unknown operation or resource type.
// Note:     a broker's own configuration may be changed through any node; Kafka asks that it is
//           that broker.
// Source:   KIP-339.
#include <fmt/format.h>

#include <utility>

#include "broker/api/alter_configs_edge.h"
#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/incremental_alter_configs_request.h"
#include "proto/kafka/incremental_alter_configs_response.h"

namespace millrace {
namespace {

std::optional<ConfigOp> OpFromWire(int8_t op) {
  switch (op) {
    case 0:
      return ConfigOp::kSet;
    case 1:
      return ConfigOp::kDelete;
    case 2:
      return ConfigOp::kAppend;
    case 3:
      return ConfigOp::kSubtract;
    default:
      return std::nullopt;
  }
}

}  // namespace

Task<ApiReply> HandleIncrementalAlterConfigs(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<kafka::IncrementalAlterConfigsRequest> body =
      DecodeBody<kafka::IncrementalAlterConfigsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  AlterConfigsEdge edge;
  for (auto& resource : body->resources) {
    absl::Status status;
    std::vector<ConfigChange> changes;
    for (auto& config : resource.configs) {
      const std::optional<ConfigOp> op = OpFromWire(config.config_operation);
      if (!op.has_value()) {
        status.Update(MakeError(
            ErrorKind::kInvalidRequest,
            fmt::format("Unknown operation {} for {}", config.config_operation, config.name)));
        continue;
      }
      changes.push_back({std::move(config.name), *op, std::move(config.value)});
    }
    edge.Add(resource.resource_type, std::move(resource.resource_name), std::move(status),
             std::move(changes));
  }
  Decision<AlterConfigsReply> decision;
  const absl::Status committed = co_await admin->active().Commit([&](const MetadataImage& image) {
    decision = DecideAlterConfigs(image, admin->configs.own(), edge.asked(), body->validate_only);
    return std::move(decision.records);
  });
  co_return Reply(request,
                  edge.ToWire<kafka::IncrementalAlterConfigsResponse>(committed, decision.replies));
}

}  // namespace millrace
