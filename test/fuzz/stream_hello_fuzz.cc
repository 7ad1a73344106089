// Any bytes as the hello and the welcome of a stream between nodes: they are refused, or what was
// understood of them can be said again and is understood the same way.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/check.h"
#include "controller/transport/stream_hello.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace millrace;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (absl::StatusOr<StreamHello> hello = DecodeHello(bytes); hello.ok()) {
    const std::string said = EncodeHello(*hello);
    MR_CHECK(said.size() <= kStreamHelloBytesMax);
    absl::StatusOr<StreamHello> again = DecodeHello(said);
    MR_CHECK(again.ok());
    MR_CHECK(EncodeHello(*again) == said);
  }
  if (absl::StatusOr<StreamWelcome> welcome = DecodeWelcome(bytes); welcome.ok()) {
    const std::string said = EncodeWelcome(*welcome);
    absl::StatusOr<StreamWelcome> again = DecodeWelcome(said);
    MR_CHECK(again.ok());
    MR_CHECK(EncodeWelcome(*again) == said);
  }
  return 0;
}
