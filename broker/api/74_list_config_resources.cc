// ListConfigResources (key 74), versions 0 to 1. What has a configuration that can be changed.
//
// Promises: v1: the types asked for, or all; topics, registered brokers, and groups that are
//           configured (loggers and client metrics have none here). v0 asks for client metrics alone: an empty list.
// Errors:   UNSUPPORTED_VERSION for a type nobody knows, and nothing is listed.
// Source:   KIP-1000, KIP-1142.
#include <fmt/format.h>

#include <set>
#include <string>

#include "broker/api/api_support.h"
#include "broker/api/config_resources.h"
#include "broker/api/handlers.h"
#include "proto/kafka/list_config_resources_request.h"
#include "proto/kafka/list_config_resources_response.h"

namespace millrace {

Task<ApiReply> HandleListConfigResources(AdminContext* admin, ApiRequest request) {
  const std::set<int8_t> kTypes{kTopicResource, kBrokerResource, kBrokerLoggerResource,
                                kClientMetricsResource, kGroupResource};
  absl::StatusOr<kafka::ListConfigResourcesRequest> body =
      DecodeBody<kafka::ListConfigResourcesRequest>(request);
  if (!body.ok()) {
    co_return Undecodable<kafka::ListConfigResourcesResponse>(request, body.status(), 0);
  }
  kafka::ListConfigResourcesResponse response;
  std::set<int8_t> asked(body->resource_types.begin(), body->resource_types.end());
  for (int8_t type : asked) {
    if (kTypes.contains(type)) continue;
    response.error_code = ErrorCode(kafka::KafkaError::kUnsupportedVersion);
    co_return Reply(request, response);
  }
  if (request.version == 0) co_return Reply(request, response);
  if (asked.empty()) asked = kTypes;
  const std::shared_ptr<const MetadataImage> image = admin->image();
  if (asked.contains(kTopicResource)) {
    image->topics().ForEach([&](const std::string& name, const MetadataImage::Topic&) {
      response.config_resources.push_back({name, kTopicResource});
      return true;
    });
  }
  if (asked.contains(kBrokerResource)) {
    for (const auto& [id, broker] : image->brokers()) {
      response.config_resources.push_back({fmt::format("{}", id), kBrokerResource});
    }
  }
  if (asked.contains(kGroupResource)) {
    for (const auto& [group_id, configs] : image->all_group_configs()) {
      response.config_resources.push_back({group_id, kGroupResource});
    }
  }
  co_return Reply(request, response);
}

}  // namespace millrace
