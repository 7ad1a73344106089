// ApiVersions (key 18), versions 0 to 5. Which APIs and versions this broker serves, and the
// cluster's features.
//
// Promises: computed from the table of served APIs, of those that listeners of this kind serve.
//           Features: what this version serves above level 0, and what the cluster has finalised:
//           no client switches to a protocol we do not serve (rule 0.9). Before v4 a feature that
//           may be at level 0 is said to begin at 1: older clients refuse 0 (KIP-1022).
// Errors:   INVALID_REQUEST for a client name or version of other than the allowed characters (rule
// 0.4) or for only one of
//           cluster id and node id (v5). REBOOTSTRAP_REQUIRED when they name another cluster or
//           node (v5, KIP-1242). A version that is not served never comes here: the dispatcher
//           answers it with version 0 (KIP-511).
#include <algorithm>
#include <string_view>

#include "broker/api/api_support.h"
#include "broker/api/api_table.h"
#include "broker/api/handlers.h"
#include "controller/image/feature_levels.h"
#include "proto/kafka/api_versions_request.h"
#include "proto/kafka/api_versions_response.h"

namespace millrace {
namespace {

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?
bool IsSoftwareName(std::string_view text) {
  if (text.empty() || !IsAlphanumeric(text.front()) || !IsAlphanumeric(text.back())) return false;
  return std::ranges::all_of(text,
                             [](char c) { return IsAlphanumeric(c) || c == '-' || c == '.'; });
}

kafka::KafkaError Check(const AdminContext& admin, const ApiRequest& request,
                        const kafka::ApiVersionsRequest& body) {
  using kafka::KafkaError;
  if (request.version >= 3 && (!IsSoftwareName(body.client_software_name) ||
                               !IsSoftwareName(body.client_software_version))) {
    return KafkaError::kInvalidRequest;
  }
  if (request.version >= 5) {
    if (body.cluster_id.has_value() != (body.node_id >= 0)) return KafkaError::kInvalidRequest;
    // A controller does not compare.
    const bool of_broker = request.connection->kind == ListenerKind::kBroker;
    if (of_broker && body.cluster_id.has_value() &&
        (*body.cluster_id != admin.options.cluster_id ||
         body.node_id != admin.options.node_id.value())) {
      return KafkaError::kRebootstrapRequired;
    }
  }
  return KafkaError::kNone;
}

int16_t Level(int32_t level) { return static_cast<int16_t>(level); }

void AddFeatures(const MetadataImage& image, int16_t version,
                 kafka::ApiVersionsResponse* response) {
  for (const FeatureRange& feature : AnnouncedFeatures()) {
    const int32_t min = version < 4 ? std::max(feature.min_level, 1) : feature.min_level;
    response->supported_features.push_back({feature.name, Level(min), Level(feature.max_level)});
  }
  for (const auto& [name, level] : image.features()) {
    response->finalized_features.push_back({name, Level(level), Level(level)});
  }
}

}  // namespace

Task<ApiReply> HandleApiVersions(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<kafka::ApiVersionsRequest> body = DecodeBody<kafka::ApiVersionsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  kafka::ApiVersionsResponse response;
  kafka::KafkaError error = Check(*admin, request, *body);
  response.error_code = ErrorCode(error);
  if (error == kafka::KafkaError::kNone) {
    request.connection->software_name = body->client_software_name;
    request.connection->software_version = body->client_software_version;
    for (const ApiEntry* api : ServedApis(request.connection->kind)) {
      response.api_keys.push_back(
          {static_cast<int16_t>(api->key), api->min_advertised, api->max_version});
    }
    AddFeatures(*admin->image(), request.version, &response);
    const auto& index = admin->image()->index();
    response.finalized_features_epoch = index.has_value() ? index->value() : -1;
  }
  co_return Reply(request, response);
}

}  // namespace millrace
