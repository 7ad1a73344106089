#include "common/bytes/slice.h"

#include <algorithm>
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

Slice Chain::Flatten() const { return many_.empty() ? one_ : Copy(); }

void Chain::AppendMore(Slice slice) {
  size_ += slice.size();
  if (many_.empty()) many_.push_back(std::move(one_));
  many_.push_back(std::move(slice));
}

Slice Chain::Copy() const {
  MutableBuffer buffer(size_);
  size_t at = 0;
  for (const Slice& slice : slices()) {
    std::memcpy(buffer.data() + at, slice.data(), slice.size());
    at += slice.size();
  }
  return std::move(buffer).Freeze(size_);
}

Chain Chain::Pinning(size_t times) const {
  const std::span<const Slice> all = slices();
  Chain out;
  Chain copied;  // In a row, to be copied together.
  for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
    size_t used = 0;
    for (end = begin; end < all.size(); ++end) {
      if (end > begin && !all[begin].SharesBlock(all[end])) break;
      used += all[end].size();
    }
    const bool keep = used * times >= all[begin].backing_size();
    if (keep && !copied.empty()) out.Append(std::exchange(copied, Chain()).Copy());
    for (size_t i = begin; i < end; ++i) (keep ? out : copied).Append(all[i]);
  }
  if (!copied.empty()) out.Append(copied.Copy());
  return out;
}

bool operator==(const Chain& a, const Chain& b) {
  if (a.size() != b.size()) return false;
  size_t at_a = 0;  // Within the current slice of each.
  size_t at_b = 0;
  for (auto x = a.slices().begin(), y = b.slices().begin(); x != a.slices().end();) {
    const size_t length = std::min(x->size() - at_a, y->size() - at_b);
    if (std::memcmp(x->data() + at_a, y->data() + at_b, length) != 0) return false;
    at_a += length;
    at_b += length;
    if (at_a == x->size()) {
      ++x;
      at_a = 0;
    }
    if (at_b == y->size()) {
      ++y;
      at_b = 0;
    }
  }
  return true;
}

}  // namespace millrace
