// Slice: an immutable view of bytes that keeps its block alive. Chain: several in a row.
//
// Shard:    any; copying is one atomic increment, cutting copies nothing.
// Lifetime: the bytes live as long as any slice of their block. A small slice pins its whole block:
// where
//           few bytes must outlive many, Copy() them.
// Note:     Patch() exists for the one case in which received bytes are changed in place: base
// offset and
//           leader epoch of a record batch, which lie outside its CRC (docs/architecture.md, Copy
//           rule).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "common/bytes/block.h"

namespace millrace {

class Slice {
 public:
  Slice() = default;
  // Takes over one reference to `block`.
  Slice(Block* block, const uint8_t* data, size_t size) : block_(block), data_(data), size_(size) {}
  Slice(const Slice& other) : block_(other.block_), data_(other.data_), size_(other.size_) {
    if (block_ != nullptr) block_->Ref();
  }
  Slice(Slice&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Slice& operator=(Slice other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Slice() {
    if (block_ != nullptr) block_->Unref();
  }

  // A slice of memory that lives for the whole program (literals); refers to no block.
  static Slice OfStatic(std::string_view text) {
    return Slice(nullptr, reinterpret_cast<const uint8_t*>(text.data()), text.size());
  }
  // A slice of new memory holding a copy.
  static Slice Copy(std::span<const uint8_t> bytes);
  static Slice Copy(std::string_view text);

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const uint8_t* begin() const { return data_; }
  const uint8_t* end() const { return data_ + size_; }
  uint8_t operator[](size_t i) const { return data_[i]; }
  std::span<const uint8_t> span() const { return {data_, size_}; }
  std::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }

  // Bytes [begin, begin + length). REQUIRES: the range lies inside.
  Slice Sub(size_t begin, size_t length) const;
  Slice From(size_t begin) const { return Sub(begin, size_ - begin); }

  // Equal bytes, wherever they lie.
  friend bool operator==(const Slice& a, const Slice& b) { return a.view() == b.view(); }

  // Whether the same memory stays alive for both.
  bool SharesBlock(const Slice& other) const { return block_ != nullptr && block_ == other.block_; }

  // How many bytes the backing block holds in memory (what a cache must charge for keeping this).
  size_t backing_size() const { return block_ == nullptr ? 0 : block_->capacity(); }

  // The block's account gets its bytes back now, although slices of it stay: who keeps them counts
  // them elsewhere.
  void Uncharge() {
    if (block_ != nullptr) block_->Uncharge();
  }

  // The bytes, for the one owner who may still patch them. REQUIRES: nobody else reads that range
  // yet.
  uint8_t* Patch() { return const_cast<uint8_t*>(data_); }

 private:
  Block* block_ = nullptr;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// Bytes in several pieces, in order: what is sent or written without being copied together. One
// piece costs no memory beside it.
class Chain {
 public:
  Chain() = default;
  explicit Chain(Slice slice) { Append(std::move(slice)); }
  Chain(const Chain&) = default;
  Chain(Chain&& other) noexcept
      : one_(std::move(other.one_)),
        many_(std::move(other.many_)),
        size_(std::exchange(other.size_, 0)) {}
  Chain& operator=(Chain other) noexcept {
    std::swap(one_, other.one_);
    std::swap(many_, other.many_);
    std::swap(size_, other.size_);
    return *this;
  }

  void Append(Slice slice) {
    if (slice.empty()) return;
    if (size_ == 0) {
      one_ = std::move(slice);
      size_ = one_.size();
    } else {
      AppendMore(std::move(slice));
    }
  }
  void Append(Chain other) {
    for (const Slice& slice : other.slices()) Append(slice);
  }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // None of them is empty.
  std::span<const Slice> slices() const {
    return many_.empty() ? std::span(&one_, size_ == 0 ? 0 : 1) : std::span(many_);
  }
  // One slice with all bytes; copies only when there is more than one piece.
  Slice Flatten() const;
  // The same bytes, keeping alive at most `times` their size: pieces in a row that use less of
  // their block are copied.
  Chain Pinning(size_t times) const;
  void Clear() {
    one_ = Slice();
    many_.clear();
    size_ = 0;
  }

  // Equal bytes, however they are cut.
  friend bool operator==(const Chain& a, const Chain& b);

 private:
  void AppendMore(Slice slice);
  Slice Copy() const;

  Slice one_;                // The only piece,
  std::vector<Slice> many_;  // or all of them when there are more.
  size_t size_ = 0;
};

}  // namespace millrace
