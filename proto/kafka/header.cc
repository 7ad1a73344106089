#include "proto/kafka/header.h"

#include "proto/kafka/response_header.h"

namespace millrace::kafka {

int16_t RequestHeaderVersion(const ApiInfo& api, int16_t version) {
  return version >= api.first_flexible ? 2 : 1;
}

int16_t ResponseHeaderVersion(const ApiInfo& api, int16_t version) {
  if (api.key == ApiKey::kApiVersions) return 0;
  return version >= api.first_flexible ? 1 : 0;
}

absl::StatusOr<RequestHeader> DecodeRequestHeader(Reader& in) {
  // Key and version come first in every header version, and decide which one it is.
  Reader ahead = in;
  int16_t key = ahead.ReadInt16();
  int16_t version = ahead.ReadInt16();
  const ApiInfo* api = FindApi(key);
  if (!ahead.ok()) {
    in.Fail("a request is shorter than its header");
  } else if (api == nullptr) {
    in.Fail("a request has an API key that does not exist");
  }
  RequestHeader header;
  if (in.ok()) header.Decode(in, RequestHeaderVersion(*api, version));
  if (!in.ok()) return in.Finish();
  return header;
}

void BeginResponse(Writer& out, const ApiInfo& api, int16_t version, int32_t correlation_id) {
  out.BeginFrame();
  ResponseHeader header;
  header.correlation_id = correlation_id;
  header.Encode(out, ResponseHeaderVersion(api, version));
}

}  // namespace millrace::kafka
