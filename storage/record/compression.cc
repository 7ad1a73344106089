#include "storage/record/compression.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/check.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/record/codec.h"

namespace millrace {
namespace {

std::unique_ptr<DecompressStream> MakeDecompressStream(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return nullptr;
    case Compression::kGzip:
      return MakeGzipDecompressStream();
    case Compression::kSnappy:
      return MakeSnappyDecompressStream();
    case Compression::kLz4:
      return MakeLz4DecompressStream();
    case Compression::kZstd:
      return MakeZstdDecompressStream();
  }
  return nullptr;
}

std::unique_ptr<CompressStream> MakeCompressStream(Compression compression,
                                                   const CompressionLevels& levels,
                                                   size_t size_hint) {
  switch (compression) {
    case Compression::kNone:
      return nullptr;
    case Compression::kGzip:
      return MakeGzipCompressStream(levels.gzip);
    case Compression::kSnappy:
      return MakeSnappyCompressStream();
    case Compression::kLz4:
      return MakeLz4CompressStream(levels.lz4, size_hint);
    case Compression::kZstd:
      return MakeZstdCompressStream(levels.zstd);
  }
  return nullptr;
}

absl::Status OverLimit() {
  return MakeError(ErrorKind::kMessageTooLarge, "Decompressed records exceed the limit");
}

}  // namespace

absl::Status CorruptCompressed(Compression compression, const char* what) {
  return MakeError(ErrorKind::kCorruptMessage,
                   fmt::format("Corrupt {} data: {}", CompressionName(compression), what));
}

absl::Status CodecFailed(Compression compression, const char* what) {
  return absl::ResourceExhaustedError(fmt::format("{}: {}", CompressionName(compression), what));
}

Decompressor::Decompressor() = default;
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;
Decompressor::~Decompressor() = default;

void Decompressor::Start(Compression compression, std::span<const uint8_t> input,
                         size_t output_bytes_max) {
  compression_ = compression;
  input_ = input;
  left_ = output_bytes_max;
  if (compression == Compression::kNone) return;
  auto& stream = streams_[static_cast<size_t>(compression)];
  if (stream == nullptr) stream = MakeDecompressStream(compression);
  // One large snappy block must not stay with us for good.
  if (chunk_.size() != kDecompressChunkBytes) {
    chunk_ = std::vector<uint8_t>(kDecompressChunkBytes);
  }
  stream->Start(input);
}

absl::StatusOr<std::span<const uint8_t>> Decompressor::Next() {
  if (compression_ == Compression::kNone) {
    if (input_.size() > left_) return OverLimit();
    return std::exchange(input_, {});
  }
  DecompressStream& stream = *streams_[static_cast<size_t>(compression_)];
  MR_ASSIGN_OR_RETURN(size_t size, stream.Next(chunk_, left_));
  if (size > left_) return OverLimit();
  left_ -= size;
  return std::span<const uint8_t>(chunk_).first(size);
}

absl::StatusOr<Slice> Decompress(Compression compression, std::span<const uint8_t> input,
                                 size_t output_bytes_max) {
  Decompressor decompressor;
  decompressor.Start(compression, input, output_bytes_max);
  std::vector<uint8_t> output;
  while (true) {
    MR_ASSIGN_OR_RETURN(std::span<const uint8_t> chunk, decompressor.Next());
    if (chunk.empty()) return Slice::Copy(std::span<const uint8_t>(output));
    output.insert(output.end(), chunk.begin(), chunk.end());
  }
}

Compressor::Compressor(Compression compression, const CompressionLevels& levels, size_t size_hint,
                       size_t output_bytes_max)
    : stream_(MakeCompressStream(compression, levels, size_hint)),
      output_bytes_max_(output_bytes_max) {}
Compressor::Compressor(Compressor&&) noexcept = default;
Compressor& Compressor::operator=(Compressor&&) noexcept = default;
Compressor::~Compressor() = default;

absl::Status Compressor::CheckSize() const {
  if (output_.size() <= output_bytes_max_) return absl::OkStatus();
  return MakeError(ErrorKind::kMessageTooLarge,
                   fmt::format("Recompressed records exceed {} bytes", output_bytes_max_));
}

absl::Status Compressor::Write(std::span<const uint8_t> bytes) {
  // In pieces, so that the limit is noticed before much is spent beyond it.
  while (!bytes.empty()) {
    std::span<const uint8_t> piece = bytes.first(std::min(bytes.size(), kDecompressChunkBytes));
    bytes = bytes.subspan(piece.size());
    if (stream_ == nullptr) {
      output_.insert(output_.end(), piece.begin(), piece.end());
    } else {
      MR_RETURN_IF_ERROR(stream_->Write(piece, output_));
    }
    MR_RETURN_IF_ERROR(CheckSize());
  }
  return absl::OkStatus();
}

absl::Status Compressor::Finish() {
  if (stream_ != nullptr) MR_RETURN_IF_ERROR(stream_->Finish(output_));
  return CheckSize();
}

}  // namespace millrace
