// What one codec must offer to compression.cc; implemented in codec_<name>.cc, the only files that
// know the libraries.
//
// Shard:  owned by one Decompressor or Compressor.
// Errors: kCorruptMessage, kMessageTooLarge; see compression.h.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "storage/record/compression.h"

namespace millrace {

class DecompressStream {
 public:
  virtual ~DecompressStream() = default;
  virtual void Start(std::span<const uint8_t> input) = 0;
  // Puts the next output at the front of `chunk`, which has at least kDecompressChunkBytes and may
  // be grown up to `output_bytes_max`, and returns how much that is; 0 at the proper end of the
  // input only.
  virtual absl::StatusOr<size_t> Next(std::vector<uint8_t>& chunk, size_t output_bytes_max) = 0;
};

class CompressStream {
 public:
  virtual ~CompressStream() = default;
  // Both append to `output` what is ready.
  virtual absl::Status Write(std::span<const uint8_t> bytes, std::vector<uint8_t>& output) = 0;
  virtual absl::Status Finish(std::vector<uint8_t>& output) = 0;
};

std::unique_ptr<DecompressStream> MakeGzipDecompressStream();
std::unique_ptr<DecompressStream> MakeSnappyDecompressStream();
std::unique_ptr<DecompressStream> MakeLz4DecompressStream();
std::unique_ptr<DecompressStream> MakeZstdDecompressStream();

std::unique_ptr<CompressStream> MakeGzipCompressStream(int level);
std::unique_ptr<CompressStream> MakeSnappyCompressStream();
std::unique_ptr<CompressStream> MakeLz4CompressStream(int level, size_t size_hint);
std::unique_ptr<CompressStream> MakeZstdCompressStream(int level);

// "Corrupt <codec> data: <what>".
absl::Status CorruptCompressed(Compression compression, const char* what);

// A library could not set itself up: out of memory.
absl::Status CodecFailed(Compression compression, const char* what);

}  // namespace millrace
