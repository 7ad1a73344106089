// What stands in front of a body: which header version goes with which API version, and whole
// frames.
//
// Errors: DecodeRequestHeader(): kInvalidArgument: truncated, malformed, or an API key that does
// not exist;
//         in each case the connection cannot go on, because the body's layout is unknown.
// Source: KIP-482 (header versions), KIP-511 (ApiVersions).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>

#include "common/bytes/slice.h"
#include "proto/kafka/api.h"
#include "proto/kafka/reader.h"
#include "proto/kafka/request_header.h"
#include "proto/kafka/writer.h"

namespace millrace::kafka {

// 2 if the body is flexible, else 1. An ApiVersions request of a version nobody knows yet has 2 as
// well, so that its correlation id can be read and answered.
int16_t RequestHeaderVersion(const ApiInfo& api, int16_t version);

// 1 if the body is flexible, else 0. Always 0 for ApiVersions: a client reads that answer before it
// knows what the broker speaks.
int16_t ResponseHeaderVersion(const ApiInfo& api, int16_t version);

// Reads the header; the body follows in `in`. The version may be one that the API does not have.
absl::StatusOr<RequestHeader> DecodeRequestHeader(Reader& in);

// Size prefix and header of a response; the body's Encode() and Finish() follow.
void BeginResponse(Writer& out, const ApiInfo& api, int16_t version, int32_t correlation_id);

// A whole response frame.
template <typename Response>
absl::StatusOr<Chain> EncodeResponse(const Response& response, int16_t version,
                                     int32_t correlation_id) {
  Writer out;
  BeginResponse(out, *FindApi(Response::kApiKey), version, correlation_id);
  response.Encode(out, version);
  return std::move(out).Finish();
}

// A whole request frame; the header's key and version are set here.
template <typename Request>
absl::StatusOr<Chain> EncodeRequest(const Request& request, int16_t version, RequestHeader header) {
  header.request_api_key = Request::kApiKey;
  header.request_api_version = version;
  Writer out;
  out.BeginFrame();
  header.Encode(out, RequestHeaderVersion(*FindApi(Request::kApiKey), version));
  request.Encode(out, version);
  return std::move(out).Finish();
}

}  // namespace millrace::kafka
