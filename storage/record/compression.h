// The four codecs of Kafka's record batches, as bounded streams.
//
// Decompressing never holds more than a chunk of output (snappy: one block, whose size is declared
// and checked first), and stops at a limit, so a bomb costs the limit's time and almost no memory.
//
// Shard:    one at a time; each shard keeps a Decompressor and lends it, because the libraries'
// contexts
//           (up to some hundred KiB, made at first use) are worth keeping.
// Lifetime: the input must outlive the reading; a chunk is valid until the next call.
// Errors:   kCorruptMessage: not what the codec writes. kMessageTooLarge: more than the limit would
// come
//           out. A Compressor: kMessageTooLarge beyond its own limit.
// Source:   gzip (RFC 1952), snappy (raw, and in the framing of Java's SnappyOutputStream), LZ4
// frame with
//           independent blocks (Java clients read no other), zstd (RFC 8878).
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "common/bytes/slice.h"
#include "storage/record/record_batch.h"

namespace millrace {

inline constexpr size_t kCompressionCodecs = 5;

// How much output a decoder makes at a time.
inline constexpr size_t kDecompressChunkBytes = 64 << 10;

// The largest zstd window accepted, and the largest we write: a header may ask for 2 GiB of memory,
// and RFC 8878 recommends that every decoder support 8 MiB. Kafka's own clients stay below up to
// level 19.
inline constexpr int kZstdWindowLogMax = 23;

// A copy element of three bytes makes 64 at most, so no snappy block grows further than this. It
// bounds the memory that a declared size can ask for by what was sent.
inline constexpr size_t kSnappyExpansionMax = 32;

class DecompressStream;
class CompressStream;

class Decompressor {
 public:
  Decompressor();
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;
  ~Decompressor();

  // Begins with new input; what was being read before is forgotten. kNone gives the input back as
  // it is.
  void Start(Compression compression, std::span<const uint8_t> input, size_t output_bytes_max);

  // The next bytes of the output; empty at the end.
  absl::StatusOr<std::span<const uint8_t>> Next();

 private:
  Compression compression_ = Compression::kNone;
  std::span<const uint8_t> input_;  // For kNone: what was not given out yet.
  size_t left_ = 0;                 // Of the limit.
  std::vector<uint8_t> chunk_;
  std::array<std::unique_ptr<DecompressStream>, kCompressionCodecs> streams_;
};

// All output at once.
absl::StatusOr<Slice> Decompress(Compression compression, std::span<const uint8_t> input,
                                 size_t output_bytes_max);

// Levels as in compression.{gzip,lz4,zstd}.level; the defaults are Kafka's. Snappy has none.
struct CompressionLevels {
  int gzip = -1;
  int lz4 = 9;
  int zstd = 3;
};

// Writes one compressed stream.
class Compressor {
 public:
  // `size_hint`: how many bytes will be written, if known (0 if not); a hint for window sizes only.
  Compressor(Compression compression, const CompressionLevels& levels, size_t size_hint = 0,
             size_t output_bytes_max = std::numeric_limits<size_t>::max());
  Compressor(Compressor&&) noexcept;
  Compressor& operator=(Compressor&&) noexcept;
  ~Compressor();

  absl::Status Write(std::span<const uint8_t> bytes);
  absl::Status Finish();

  // What was made so far, in full after Finish().
  const std::vector<uint8_t>& output() const { return output_; }

 private:
  absl::Status CheckSize() const;

  std::unique_ptr<CompressStream> stream_;  // Null for kNone.
  size_t output_bytes_max_;
  std::vector<uint8_t> output_;
};

}  // namespace millrace
