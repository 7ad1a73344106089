#include "common/bytes/slice.h"

#include <cstring>

#include "common/check.h"

namespace millrace {

Slice Slice::Copy(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return {};
  MutableBuffer buffer(bytes.size());
  std::memcpy(buffer.data(), bytes.data(), bytes.size());
  return std::move(buffer).Freeze(bytes.size());
}

Slice Slice::Copy(std::string_view text) {
  return Copy(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

Slice Slice::Sub(size_t begin, size_t length) const {
  MR_CHECK(begin <= size_);
  MR_CHECK(length <= size_ - begin);
  if (block_ != nullptr) block_->Ref();
  return Slice(block_, data_ + begin, length);
}

Slice Chain::Flatten() const {
  if (slices_.empty()) return {};
  if (slices_.size() == 1) return slices_.front();
  MutableBuffer buffer(size_);
  size_t at = 0;
  for (const Slice& slice : slices_) {
    std::memcpy(buffer.data() + at, slice.data(), slice.size());
    at += slice.size();
  }
  return std::move(buffer).Freeze(size_);
}

}  // namespace millrace
