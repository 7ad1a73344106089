// SharedList<T>: an immutable list whose copies share one block on the heap; 8 bytes where a vector
// has 24 and a block for each copy. For lists that are kept by the hundred thousand, that are often
// equal, and that are replaced rather than changed: put one together as a vector, then assign it.
//
// Shard:    any, like an int: two threads may use the same SharedList while none of them changes it,
//           and copies of it without any care. Copying and destroying count atomically; reading does
//           not touch the count.
// Lifetime: pointers, iterators and spans into it are valid while any of its copies lives.
// Memory:   8 bytes and the elements, once for all copies. An empty list has no block.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "common/check.h"

namespace millrace {

template <typename T>
class SharedList {
 public:
  using value_type = T;

  SharedList() = default;
  explicit SharedList(std::span<const T> items) : block_(MakeBlock(items)) {}
  SharedList(std::initializer_list<T> items)
      : SharedList(std::span<const T>(items.begin(), items.size())) {}
  SharedList(const SharedList& other) noexcept : block_(other.block_) {
    // Relaxed: whoever copies holds a list already, so the block cannot go meanwhile, and what is in
    // it was visible to him before.
    if (block_ != nullptr) block_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  SharedList(SharedList&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  SharedList& operator=(const SharedList& other) noexcept {
    if (this != &other) SharedList(other).swap(*this);
    return *this;
  }
  SharedList& operator=(SharedList&& other) noexcept {
    SharedList(std::move(other)).swap(*this);
    return *this;
  }
  SharedList& operator=(std::span<const T> items) {
    SharedList(items).swap(*this);
    return *this;
  }
  SharedList& operator=(std::initializer_list<T> items) {
    SharedList(items).swap(*this);
    return *this;
  }
  ~SharedList() { clear(); }

  const T* data() const { return block_ == nullptr ? nullptr : block_->items(); }
  size_t size() const { return block_ == nullptr ? 0 : block_->size; }
  bool empty() const { return block_ == nullptr; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size(); }
  const T& operator[](size_t index) const { return data()[index]; }
  const T& front() const { return data()[0]; }
  const T& back() const { return data()[size() - 1]; }

  void clear() noexcept {
    Block* block = std::exchange(block_, nullptr);
    // Release: what this owner read happened before the block goes. Acquire: and so for what all the
    // others read, when this one is the last.
    if (block == nullptr || block->owners.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    const size_t bytes = BlockBytes(block->size);
    std::destroy_at(block);
    ::operator delete(block, bytes);
  }
  void swap(SharedList& other) noexcept { std::swap(block_, other.block_); }

  // The same for lists that share a block, and only for them; null when empty.
  const void* block() const { return block_; }
  // What the block of a list of `size` elements takes.
  static constexpr size_t BlockBytes(size_t size) { return sizeof(Block) + size * sizeof(T); }

  friend bool operator==(const SharedList& a, const SharedList& b) {
    return a.block_ == b.block_ || std::ranges::equal(a, b);
  }

 private:
  // The elements follow it.
  struct Block {
    explicit Block(size_t count) : size(static_cast<uint32_t>(count)) {}
    T* items() { return reinterpret_cast<T*>(this + 1); }

    std::atomic<uint32_t> owners{1};
    const uint32_t size;
  };
  static_assert(std::is_trivially_copyable_v<T>, "elements are neither constructed nor destroyed");
  static_assert(alignof(T) <= sizeof(Block) && sizeof(Block) == 8, "elements follow at once");

  static Block* MakeBlock(std::span<const T> items) {
    if (items.empty()) return nullptr;
    MR_CHECK(items.size() <= std::numeric_limits<uint32_t>::max());
    auto* block = new (::operator new(BlockBytes(items.size()))) Block(items.size());
    std::uninitialized_copy(items.begin(), items.end(), block->items());
    return block;
  }

  Block* block_ = nullptr;
};

}  // namespace millrace
