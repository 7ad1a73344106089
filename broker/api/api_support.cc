#include "broker/api/api_support.h"

#include <fmt/format.h>

#include <string>
#include <utility>

namespace millrace {

absl::Status DoesNotDecode(int16_t api_key, int16_t version, const absl::Status& status) {
  return absl::Status(status.code(),
                      fmt::format("{} v{} does not decode: {}", kafka::FindApi(api_key)->name,
                                  version, std::string(status.message())));
}

ApiReply ReplyWith(absl::StatusOr<Chain> frame) {
  if (!frame.ok()) return ApiReply::Close(std::string(frame.status().message()));
  return {ApiReply::Action::kSend, *std::move(frame), {}, nullptr};
}

ApiReply Undecodable(const absl::Status& status) {
  return ApiReply::Close(std::string(status.message()));
}

}  // namespace millrace
