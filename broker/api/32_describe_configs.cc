// DescribeConfigs (key 32), versions 1 to 4. The configuration of topics, of groups and of this
// broker, with sources and synonyms.
//
// Promises: every known key, or those asked for; secrets without their value. Broker resources:
//           this broker's id, or "" for what is set at runtime for all brokers. Keys that nobody
//           knows and that were set at runtime are named, without their value. Groups need not
//           exist.
// Bounds:   a resource named several times is answered once.
// Errors:   per resource UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, INVALID_REQUEST
// (another broker's id, an unknown
//           resource type, a group without a name).
// Source:   KIP-133, KIP-226, KIP-569.
#include <fmt/format.h>

#include <set>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/config_resources.h"
#include "broker/api/config_view.h"
#include "broker/api/handlers.h"
#include "common/config/broker_config.h"
#include "common/config/group_config.h"
#include "common/config/runtime_config.h"
#include "proto/kafka/describe_configs_request.h"
#include "proto/kafka/describe_configs_response.h"

namespace millrace {
namespace {

using kafka::DescribeConfigsRequest;
using kafka::DescribeConfigsResponse;

// The names in the entries are those of `image` and `server`.
absl::StatusOr<std::vector<ConfigEntry>> Entries(
    const AdminContext& admin, const MetadataImage& image, const ServerConfigValues& server,
    const DescribeConfigsRequest::DescribeConfigsResource& resource) {
  if (resource.resource_type == kTopicResource) {
    absl::Status valid = ValidateTopicName(resource.resource_name);
    if (!valid.ok()) return valid;
    MetadataImage::Topic topic = image.FindTopic(resource.resource_name);
    if (topic == nullptr) {
      return MakeError(ErrorKind::kUnknownTopicOrPartition,
                       "This server does not host this topic-partition.");
    }
    return DescribeTopicConfig(topic->configs, server);
  }
  if (resource.resource_type == kBrokerResource) {
    if (resource.resource_name.empty()) {
      return DescribeRuntimeDefaults(image.broker_defaults());
    }
    if (resource.resource_name != fmt::format("{}", admin.options.node_id)) {
      return MakeError(
          ErrorKind::kInvalidRequest,
          fmt::format("Unexpected broker id, expected {} or empty string, but received {}",
                      admin.options.node_id, resource.resource_name));
    }
    std::vector<ConfigEntry> entries = DescribeBrokerConfig(server);
    for (ConfigEntry& unknown : DescribeUnknownKeys(server)) entries.push_back(std::move(unknown));
    return entries;
  }
  if (resource.resource_type == kGroupResource) {
    if (resource.resource_name.empty()) {
      return MakeError(ErrorKind::kInvalidRequest, "Group name must not be empty");
    }
    return DescribeGroupConfig(image.group_configs(resource.resource_name), server);
  }
  return UnknownConfigResource(resource.resource_type);
}

DescribeConfigsResponse::DescribeConfigsResourceResult ToWire(
    const ConfigEntry& entry, const DescribeConfigsRequest& request) {
  DescribeConfigsResponse::DescribeConfigsResourceResult row;
  row.name = std::string(entry.name);
  row.value = entry.value;
  row.read_only = entry.is_read_only;
  row.config_source = ConfigSourceToWire(entry.source);
  row.is_sensitive = entry.is_sensitive;
  row.config_type = ConfigTypeToWire(entry.type);
  if (request.include_synonyms) {
    for (const ConfigSynonym& synonym : entry.synonyms) {
      row.synonyms.push_back({synonym.name, synonym.value, ConfigSourceToWire(synonym.source)});
    }
  }
  row.documentation = request.include_documentation
                          ? std::optional(std::string(entry.documentation))
                          : std::nullopt;
  return row;
}

}  // namespace

Task<ApiReply> HandleDescribeConfigs(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<DescribeConfigsRequest> body = DecodeBody<DescribeConfigsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  const std::shared_ptr<const MetadataImage> image = admin->image();
  const ServerConfigValues server = admin->configs.Server(*image);
  DescribeConfigsResponse response;
  std::set<std::pair<int8_t, std::string>> answered;
  for (const auto& resource : body->resources) {
    // Once each: ten bytes asked again a million times would make gigabytes of answers.
    if (!answered.emplace(resource.resource_type, resource.resource_name).second) continue;
    DescribeConfigsResponse::DescribeConfigsResult result;
    result.resource_type = resource.resource_type;
    result.resource_name = resource.resource_name;
    absl::StatusOr<std::vector<ConfigEntry>> entries = Entries(*admin, *image, server, resource);
    result.error_code = ErrorCode(entries.status());
    result.error_message = ErrorMessage(entries.status());
    if (entries.ok()) {
      std::optional<std::set<std::string, std::less<>>> wanted;
      if (resource.configuration_keys.has_value()) {
        wanted.emplace(resource.configuration_keys->begin(), resource.configuration_keys->end());
      }
      for (const ConfigEntry& entry : *entries) {
        if (!wanted.has_value() || wanted->contains(entry.name))
          result.configs.push_back(ToWire(entry, *body));
      }
    }
    response.results.push_back(std::move(result));
  }
  co_return Reply(request, response);
}

}  // namespace millrace
