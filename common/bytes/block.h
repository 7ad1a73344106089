// Block: one reference-counted piece of memory; the ground under Slice. MutableBuffer: its single
// writer.
//
// Shard:    any; the count is atomic, since a produce body may be written by one shard and sent by
// another. Lifetime: freed when the last reference drops, and only then is its account credited, so
// a budget covers
//           memory for as long as anything pins it.
// Units:    bytes. `alignment` is a power of two; pass kPageSize for memory that O_DIRECT may
// write.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace {

inline constexpr size_t kPageSize = 4096;

// Where a block's bytes are charged. Release() comes from whichever thread drops the last
// reference.
class ByteAccount {
 public:
  virtual ~ByteAccount() = default;
  virtual void Release(size_t bytes) noexcept = 0;
};

// Intrusive, so that a Slice is three words and a copy is one relaxed increment.
class Block {
 public:
  // `charged` bytes (which the caller has already taken from `account`) are released with the
  // block; `account` may be null and must outlive every block charged to it.
  static Block* Allocate(size_t capacity, size_t alignment, ByteAccount* account, size_t charged);

  uint8_t* data() { return data_; }
  size_t capacity() const { return capacity_; }

  // Gives the account its bytes back before the block goes: whoever keeps it from now on counts it
  // elsewhere. Idempotent.
  void Uncharge();

  void Ref() { references_.fetch_add(1, std::memory_order_relaxed); }
  // acq_rel: the thread that frees must see all writes made through the other references.
  void Unref() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) Free();
  }

 private:
  Block(uint8_t* data, size_t capacity, size_t alignment, ByteAccount* account, size_t charged)
      : data_(data),
        capacity_(capacity),
        alignment_(alignment),
        charged_(charged),
        account_(account) {}
  void Free();

  uint8_t* data_;
  size_t capacity_;
  size_t alignment_;
  std::atomic<size_t> charged_;
  ByteAccount* account_;
  std::atomic<uint32_t> references_{1};
};

class Slice;

// A block that one owner is still writing. Freeze() turns what was written into a Slice; Share()
// lends a Slice of it early, for the caller who then writes only outside what was lent.
class MutableBuffer {
 public:
  MutableBuffer() = default;
  explicit MutableBuffer(size_t size, size_t alignment = 64, ByteAccount* account = nullptr)
      : MutableBuffer(size, alignment, account, account == nullptr ? 0 : size) {}
  MutableBuffer(size_t size, size_t alignment, ByteAccount* account, size_t charged)
      : block_(Block::Allocate(size, alignment, account, charged)), size_(size) {}
  MutableBuffer(MutableBuffer&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MutableBuffer& operator=(MutableBuffer&& other) noexcept {
    if (this != &other) {
      Reset();
      block_ = std::exchange(other.block_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  MutableBuffer(const MutableBuffer&) = delete;
  MutableBuffer& operator=(const MutableBuffer&) = delete;
  ~MutableBuffer() { Reset(); }

  uint8_t* data() { return block_ == nullptr ? nullptr : block_->data(); }
  const uint8_t* data() const { return block_ == nullptr ? nullptr : block_->data(); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void Reset() {
    if (block_ != nullptr) block_->Unref();
    block_ = nullptr;
    size_ = 0;
  }

  // The first `length` bytes (REQUIRES: length <= size()), immutable from now on. Empties this
  // buffer.
  Slice Freeze(size_t length) &&;
  // Bytes [begin, begin + length) as a Slice; the writer must not touch them any more.
  Slice Share(size_t begin, size_t length) const;

 private:
  Block* block_ = nullptr;
  size_t size_ = 0;
};

}  // namespace millrace
