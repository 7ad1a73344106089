// The frames of a journal as bytes: how entries are put into one, and how one is read back. Pure
// but for the chunks of memory.
//
//   frame   := header (64 bytes) payload padding to a multiple of kJournalBlockBytes
//   payload := entry*
//
// header, big-endian: magic "MRJF" u32, format u16, incompatible feature bits u16, crc u32, payload
// bytes u32, generation 16 bytes, sequence u64, tail sequence u64, first position u64, entries u32,
// shard u32. The CRC-32C covers the payload, then the header's first 8 bytes, then what follows the
// crc: the payload's part is known before the header is. Magic, crc and payload bytes stay where
// they are in every later format, so that "newer" is told from "torn".
//
// entry: body bytes u32, type u8, three zero bytes, body. Every body begins with topic id (16),
// partition i32, incarnation (16); then append: base offset i64, leader epoch i32, the bytes;
// truncate: end offset i64; reset: start offset i64; delete: nothing.
//
// Errors: readers take hostile bytes; nothing of them reaches a CHECK.
// Source: docs/storage.md, Journal.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/bytes/block.h"
#include "common/bytes/slice.h"
#include "storage/journal/journal_entry.h"

namespace millrace {

inline constexpr size_t kJournalBlockBytes = 4096;  // Frames begin and end at multiples of it.
inline constexpr size_t kJournalFrameHeaderBytes = 64;
inline constexpr size_t kJournalChunkBytes = size_t{64} << 10;
// No frame is longer, so a reader needs no more memory than this.
inline constexpr size_t kJournalFrameBytesLimit = size_t{64} << 20;
inline constexpr uint16_t kJournalFormat = 1;

inline constexpr size_t JournalPadded(size_t bytes) {
  return (bytes + kJournalBlockBytes - 1) / kJournalBlockBytes * kJournalBlockBytes;
}

// Bytes that `entry` takes in a frame.
size_t JournalEntryBytes(const JournalEntry& entry);
// Of an append of so many bytes.
size_t JournalAppendBytes(size_t batch_bytes);

// What a header says, apart from what the payload determines.
struct JournalFrameStamp {
  JournalGeneration generation;
  ShardId shard;
  uint64_t sequence;       // 1, 2, 3, ... within the generation.
  uint64_t tail_sequence;  // Frames below it are not needed; at most the frame's own sequence + 1.
};

// Page-aligned chunks for frames, reused: at most `kept_max` wait for the next frame.
class JournalChunkPool {
 public:
  explicit JournalChunkPool(size_t kept_max) : kept_max_(kept_max) {}
  MutableBuffer Take();
  void Return(MutableBuffer chunk);

 private:
  const size_t kept_max_;
  std::vector<MutableBuffer> kept_;
};

// A frame that is being filled. The memory goes back to the pool with the builder, so the builder
// must outlive the write of its chain.
class JournalFrameBuilder {
 public:
  // `pool` must outlive it.
  JournalFrameBuilder(JournalChunkPool& pool, JournalPosition first_position);
  JournalFrameBuilder(JournalFrameBuilder&& other) noexcept = default;
  JournalFrameBuilder& operator=(JournalFrameBuilder&&) = delete;
  ~JournalFrameBuilder();

  // REQUIRES: not sealed, and padded_bytes() stays within kJournalFrameBytesLimit.
  void Add(const JournalEntry& entry);

  uint32_t entries() const { return entries_; }
  // Header and payload, with and without padding.
  size_t bytes() const { return bytes_; }
  size_t padded_bytes() const { return JournalPadded(bytes_); }

  // Completes the frame: what to write. Once.
  Chain Seal(const JournalFrameStamp& stamp);

 private:
  void Copy(std::span<const uint8_t> bytes);

  JournalChunkPool* pool_;
  const JournalPosition first_position_;
  std::vector<MutableBuffer> chunks_;
  size_t bytes_ = kJournalFrameHeaderBytes;
  uint32_t entries_ = 0;
  uint32_t payload_crc_ = 0;
  bool sealed_ = false;
};

struct JournalFrameHeader {
  uint16_t format;
  uint16_t features;
  uint32_t crc;
  uint32_t payload_bytes;
  JournalFrameStamp stamp;
  JournalPosition first_position;
  uint32_t entries;

  size_t frame_bytes() const { return JournalPadded(kJournalFrameHeaderBytes + payload_bytes); }
};

// The header at the start of `bytes`, unchecked but for magic and length; nothing when these are
// impossible. What it says counts only once the checksum holds.
std::optional<JournalFrameHeader> ParseJournalFrameHeader(std::span<const uint8_t> bytes);

// Whether `frame` (at least header and payload) carries the checksum that its header states.
bool JournalFrameChecks(const JournalFrameHeader& header, std::span<const uint8_t> frame);

// The entries of a frame that checks, in order. `frame` begins at the header. kDataLoss: a body
// that contradicts its lengths. kUnimplemented: format, feature or entry type of a newer version.
absl::StatusOr<std::vector<JournalEntry>> ParseJournalEntries(const JournalFrameHeader& header,
                                                              const Slice& frame);

}  // namespace millrace
