// Any bytes as one side of a replication stream: parsing ends with a status, and what parses is
// written back as the same bytes. The first byte says whose side and what; in frames the checksum is
// made right, or the fuzzer would never get past it.
#include <algorithm>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "common/check.h"
#include "replication/replication_hello.h"
#include "replication/stream_frames.h"

namespace millrace {
namespace {

constexpr size_t kDataBytesMax = 1 << 20;
constexpr size_t kCrcAt = 8;

// Writes a parsed frame again; a Data frame with the batches that it had.
class Rewriter {
 public:
  explicit Rewriter(std::span<const uint8_t> batches) : batches_(batches) {}
  void operator()(const StreamProgress& frame) { writer_.Add(frame.entries); }
  void operator()(const StreamState& frame) { writer_.Add(frame.entries); }
  void operator()(const StreamDataHead& frame) {
    writer_.AddData(frame.state, Chain(Slice::Copy(batches_)));
  }
  template <typename Frame>
  void operator()(const Frame& frame) {
    writer_.Add(frame);
  }
  Slice Take() { return writer_.Take().Flatten(); }

 private:
  StreamFrameWriter writer_;
  std::span<const uint8_t> batches_;
};

void ParseFrames(StreamSide side, std::vector<uint8_t> bytes) {
  for (std::span<uint8_t> left(bytes); left.size() >= kStreamHeadBytes;) {
    auto head = ParseStreamHead(left, side, kDataBytesMax);
    if (!head.ok() || head->body_bytes > left.size() - kStreamHeadBytes) return;
    std::span<uint8_t> frame = left.first(kStreamHeadBytes + head->body_bytes);
    left = left.subspan(frame.size());
    std::span<uint8_t> body = frame.subspan(kStreamHeadBytes, head->control_bytes());
    StoreBig<uint32_t>(frame.data() + kCrcAt, Crc32c(body, Crc32c(frame.first(kCrcAt))));
    head = ParseStreamHead(frame, side, kDataBytesMax);
    Rewriter again(frame.subspan(kStreamHeadBytes + body.size()));
    if (side == StreamSide::kFollower) {
      auto parsed = ParseFollowerFrame(*head, frame, body);
      if (!parsed.ok()) return;
      std::visit(again, *parsed);
    } else {
      auto parsed = ParseLeaderFrame(*head, frame, body);
      if (!parsed.ok()) return;
      std::visit(again, *parsed);
    }
    const Slice written = again.Take();
    // Any negative epoch means "none" and is written as -1, and a Progress of many entries is cut.
    const bool same_size = written.size() == frame.size();
    MR_CHECK(same_size || head->type == StreamFrameType::kProgress ||
             head->type == StreamFrameType::kState);
  }
}

void ParseHello(std::span<const uint8_t> bytes) {
  if (!IsReplicationHello(bytes)) return;
  auto parsed = ParseReplicationHello(bytes);
  if (!parsed.ok()) return;
  const Slice frame = EncodeReplicationHello(parsed->hello);
  auto again = ParseReplicationHello(frame.From(4).span());
  MR_CHECK(again.ok());
  MR_CHECK(again->hello == parsed->hello);
}

void ParseWelcome(std::span<const uint8_t> bytes) {
  auto parsed = ParseReplicationWelcome(bytes);
  if (!parsed.ok()) return;
  const Slice frame = EncodeReplicationWelcome(*parsed, 7);
  auto again = ParseReplicationWelcome(frame.From(4).span());
  MR_CHECK(again.ok());
  MR_CHECK(*again == *parsed);
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace millrace;
  if (size == 0) return 0;
  const std::span<const uint8_t> rest(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      ParseFrames(StreamSide::kFollower, {rest.begin(), rest.end()});
      break;
    case 1:
      ParseFrames(StreamSide::kLeader, {rest.begin(), rest.end()});
      break;
    case 2:
      ParseHello(rest);
      break;
    default:
      ParseWelcome(rest);
  }
  return 0;
}
