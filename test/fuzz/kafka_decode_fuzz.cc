// Whatever the bytes: a decoder refuses them, or what it made of them encodes, and that decodes to
// the same.
//
// Input: a byte that chooses the message, one that chooses its version, then the bytes of the
// message.
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/check.h"
#include "proto/kafka/testing/registry.h"

using millrace::Chain;
using millrace::Slice;
using namespace millrace::kafka;

namespace {

Slice Encode(const AnyMessage& message, int16_t version) {
  Writer out;
  message.Encode(out, version);
  absl::StatusOr<Chain> bytes = std::move(out).Finish();
  MR_CHECK(bytes.ok());
  return bytes->Flatten();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return -1;  // Not worth keeping.
  const MessageInfo& info = Messages()[data[0] % Messages().size()];
  int versions = info.last_version - info.first_version + 1;
  int16_t version = static_cast<int16_t>(info.first_version + data[1] % versions);

  std::unique_ptr<AnyMessage> first = info.make();
  Reader in(Slice::Copy(std::span(data + 2, size - 2)), /*elements_max=*/10'000);
  first->Decode(in, version);
  if (!in.Finish().ok()) return 0;

  Slice bytes = Encode(*first, version);
  std::unique_ptr<AnyMessage> second = info.make();
  Reader again(bytes);
  second->Decode(again, version);
  MR_CHECK(again.Finish().ok());
  MR_CHECK(Encode(*second, version) == bytes);
  // A NaN does not equal itself: then the bytes must do.
  if (first->Equals(*first)) MR_CHECK(second->Equals(*first));
  return 0;
}
