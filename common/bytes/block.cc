#include "common/bytes/block.h"

#include <new>

#include "common/bytes/slice.h"
#include "common/check.h"

namespace millrace {

Block* Block::Allocate(size_t capacity, size_t alignment, ByteAccount* account, size_t charged) {
  auto* data = static_cast<uint8_t*>(
      ::operator new(capacity == 0 ? 1 : capacity, std::align_val_t(alignment)));
  return new Block(data, capacity, alignment, account, charged);
}

void Block::Free() {
  ::operator delete(data_, std::align_val_t(alignment_));
  Uncharge();
  delete this;
}

void Block::Uncharge() {
  const size_t charged = charged_.exchange(0, std::memory_order_relaxed);
  if (account_ != nullptr && charged > 0) account_->Release(charged);
}

Slice MutableBuffer::Freeze(size_t length) && {
  MR_CHECK(length <= size_);
  if (block_ == nullptr) return Slice();
  uint8_t* data = block_->data();
  size_ = 0;
  return Slice(std::exchange(block_, nullptr), data, length);  // Hands our reference over.
}

Slice MutableBuffer::Share(size_t begin, size_t length) const {
  MR_CHECK(begin <= size_);
  MR_CHECK(length <= size_ - begin);
  if (block_ == nullptr) return Slice();
  block_->Ref();
  return Slice(block_, block_->data() + begin, length);
}

}  // namespace millrace
