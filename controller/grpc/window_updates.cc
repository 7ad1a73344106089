#include "controller/grpc/window_updates.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/bytes/endian.h"

namespace millrace {
namespace {

// What a client begins with, before its first frame.
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr uint8_t kWindowUpdate = 8;
constexpr uint32_t kIncrementMask = 0x7fffffff;  // The first bit is reserved.

}  // namespace

bool WindowUpdates::Follow(std::span<const uint8_t> bytes) {
  bool updates = have_ == 0 && skip_ == 0;
  if (!begun_ && !bytes.empty()) {
    begun_ = true;
    if (bytes.front() == static_cast<uint8_t>(kPreface.front())) skip_ = kPreface.size();
  }
  while (!bytes.empty()) {
    if (skip_ > 0) {
      const size_t some = std::min(skip_, bytes.size());
      skip_ -= some;
      bytes = bytes.subspan(some);
      updates = false;
      continue;
    }
    frame_[have_++] = bytes.front();
    bytes = bytes.subspan(1);
    if (have_ < kHeaderBytes) continue;
    const size_t length = size_t{frame_[0]} << 16 | size_t{frame_[1]} << 8 | frame_[2];
    if (frame_[3] != kWindowUpdate || length != kUpdateBytes - kHeaderBytes) {
      skip_ = length;
      have_ = 0;
      updates = false;
    } else if (have_ == kUpdateBytes) {
      kept_window_ += LoadBig<uint32_t>(frame_.data() + kHeaderBytes) & kIncrementMask;
      have_ = 0;
    }
  }
  return updates && have_ == 0;
}

bool WindowUpdates::Keep(std::span<const uint8_t> bytes) {
  if (!Follow(bytes) || kept_window_ > kKeptWindowMax ||
      kept_.size() + bytes.size() > kKeptBytesMax) {
    return false;
  }
  kept_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return true;
}

std::string WindowUpdates::Take() {
  kept_window_ = 0;
  return std::exchange(kept_, {});
}

}  // namespace millrace
