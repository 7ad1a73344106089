// UpdateFeatures (key 57), versions 0 to 2. Finalises levels of the cluster's features.
//
// Promises: all of a request or nothing. validate_only (v1) decides and changes nothing.
// Errors:   INVALID_UPDATE_VERSION with Kafka's sentence about what is in the way: a level that a
//           node does not serve, a downgrade that was not allowed. v0 and v1 repeat a success per
//           feature.
// Source:   KIP-584, KIP-778, KIP-1022.
#include <fmt/format.h>

#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "proto/kafka/update_features_request.h"
#include "proto/kafka/update_features_response.h"

namespace millrace {
namespace {

using Request = kafka::UpdateFeaturesRequest;
using Response = kafka::UpdateFeaturesResponse;

std::optional<FeatureUpgrade> KindOfUpdate(const Request::FeatureUpdateKey& update,
                                           int16_t version) {
  if (version == 0) {
    return update.allow_downgrade ? FeatureUpgrade::kSafeDowngrade : FeatureUpgrade::kUpgrade;
  }
  switch (update.upgrade_type) {
    case 1:
      return FeatureUpgrade::kUpgrade;
    case 2:
      return FeatureUpgrade::kSafeDowngrade;
    case 3:
      return FeatureUpgrade::kUnsafeDowngrade;
    default:
      return std::nullopt;
  }
}

absl::StatusOr<std::vector<FeatureUpdate>> FromWire(const Request& body, int16_t version) {
  std::vector<FeatureUpdate> updates;
  for (const auto& update : body.feature_updates) {
    const std::optional<FeatureUpgrade> kind = KindOfUpdate(update, version);
    if (!kind.has_value()) {
      return MakeError(
          ErrorKind::kInvalidUpdateVersion,
          fmt::format(
              "The update failed for all features since the following feature had an error: "
              "Invalid update version {} for feature {}. The controller does not support "
              "the given upgrade type.",
              update.max_version_level, update.feature));
    }
    updates.push_back({update.feature, update.max_version_level, *kind});
  }
  return updates;
}

}  // namespace

Task<ApiReply> HandleUpdateFeatures(AdminContext* admin, ApiRequest request) {
  absl::StatusOr<Request> body = DecodeBody<Request>(request);
  if (!body.ok()) co_return Undecodable<Response>(request, body.status(), 0);
  absl::StatusOr<std::vector<FeatureUpdate>> updates = FromWire(*body, request.version);
  absl::Status status = updates.status();
  if (status.ok()) {
    status = co_await admin->active().UpdateFeatures(*std::move(updates), body->validate_only);
  }
  Response response;
  response.error_code = ErrorCode(status);
  response.error_message = ErrorMessage(status);
  if (status.ok() && request.version < 2) {
    for (const auto& update : body->feature_updates) {
      response.results.push_back({update.feature, 0, std::nullopt});
    }
  }
  co_return Reply(request, response);
}

}  // namespace millrace
