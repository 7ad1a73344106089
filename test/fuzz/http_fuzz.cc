// Any bytes as what a stranger sends to the admin endpoint: the reader keeps its bounds, and gives
// the same requests whatever the pieces are that the bytes arrive in.
//
// The first byte is the size of the pieces.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/check.h"
#include "common/http/http_request.h"
#include "common/http/http_response.h"

namespace millrace {
namespace {

struct Seen {
  std::vector<HttpRequest> requests;
  std::vector<int> refusals;  // At most one: the connection ends with it.
  friend bool operator==(const Seen&, const Seen&) = default;
};

Seen ReadInPieces(std::string_view bytes, size_t piece) {
  HttpRequestReader reader;
  Seen seen;
  for (;;) {
    auto next = reader.Next();
    if (!next.has_value()) {
      seen.refusals.push_back(next.error().status);
      return seen;
    }
    if (next->has_value()) {
      MR_CHECK((*next)->path.starts_with('/'));
      seen.requests.push_back(**std::move(next));
      continue;
    }
    if (bytes.empty()) return seen;
    MR_CHECK(reader.room() > 0);
    const size_t taken = std::min({piece, reader.room(), bytes.size()});
    reader.Feed(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
  }
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace millrace;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  MR_CHECK(ReadInPieces(bytes, size_t{data[0]} + 1) ==
           ReadInPieces(bytes, HttpRequestReader::kHeadBytesMax));
  (void)ParseHttpAnswer(bytes);
  return 0;
}
