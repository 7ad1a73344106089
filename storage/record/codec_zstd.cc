#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>

#include "storage/record/codec.h"

namespace millrace {
namespace {

class ZstdDecompressStream final : public DecompressStream {
 public:
  ZstdDecompressStream() : context_(ZSTD_createDCtx()) {
    if (context_ != nullptr) {
      ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kZstdWindowLogMax);
    }
  }
  ~ZstdDecompressStream() override { ZSTD_freeDCtx(context_); }

  void Start(std::span<const uint8_t> input) override {
    input_ = {.src = input.data(), .size = input.size(), .pos = 0};
    at_frame_end_ = false;
    if (context_ != nullptr) ZSTD_DCtx_reset(context_, ZSTD_reset_session_only);
  }

  absl::StatusOr<size_t> Next(std::vector<uint8_t>& chunk, size_t /*output_bytes_max*/) override {
    if (context_ == nullptr) return CodecFailed(Compression::kZstd, "no memory");
    ZSTD_outBuffer output = {.dst = chunk.data(), .size = chunk.size(), .pos = 0};
    while (output.pos < output.size) {
      if (at_frame_end_ && input_.pos == input_.size) break;
      size_t input_before = input_.pos;
      size_t output_before = output.pos;
      size_t more = ZSTD_decompressStream(context_, &output, &input_);
      if (ZSTD_isError(more)) {
        return CorruptCompressed(Compression::kZstd, ZSTD_getErrorName(more));
      }
      at_frame_end_ = more == 0;  // Another frame may follow.
      if (!at_frame_end_ && input_.pos == input_before && output.pos == output_before) {
        return CorruptCompressed(Compression::kZstd, "it ends too early");
      }
    }
    return output.pos;
  }

 private:
  ZSTD_DCtx* context_;
  ZSTD_inBuffer input_ = {};
  bool at_frame_end_ = false;
};

class ZstdCompressStream final : public CompressStream {
 public:
  explicit ZstdCompressStream(int level) : context_(ZSTD_createCCtx()) {
    if (context_ == nullptr) return;
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, level);
    // The levels from 20 on would choose windows that our own reader refuses.
    if (level > kLargestLevelWithinWindow) {
      ZSTD_CCtx_setParameter(context_, ZSTD_c_windowLog, kZstdWindowLogMax);
    }
  }
  ~ZstdCompressStream() override { ZSTD_freeCCtx(context_); }

  absl::Status Write(std::span<const uint8_t> bytes, std::vector<uint8_t>& output) override {
    if (!streaming_ && held_.size() + bytes.size() <= kHeldBytesMax) {
      held_.insert(held_.end(), bytes.begin(), bytes.end());
      return absl::OkStatus();
    }
    if (!streaming_) {
      streaming_ = true;
      if (absl::Status begun = Run(held_, ZSTD_e_continue, output); !begun.ok()) return begun;
      held_.clear();
    }
    return Run(bytes, ZSTD_e_continue, output);
  }
  absl::Status Finish(std::vector<uint8_t>& output) override {
    return Run(held_, ZSTD_e_end, output);
  }

 private:
  static constexpr int kLargestLevelWithinWindow = 19;
  // An input that comes in one call has a known size, to which the library cuts its tables (2 MiB
  // and more otherwise, to be cleared for every batch).
  static constexpr size_t kHeldBytesMax = 128 << 10;

  absl::Status Run(std::span<const uint8_t> bytes, ZSTD_EndDirective directive,
                   std::vector<uint8_t>& output) {
    if (context_ == nullptr) return CodecFailed(Compression::kZstd, "no memory");
    ZSTD_inBuffer input = {.src = bytes.data(), .size = bytes.size(), .pos = 0};
    uint8_t piece[16 << 10];
    size_t left = 0;
    do {
      ZSTD_outBuffer out = {.dst = piece, .size = sizeof(piece), .pos = 0};
      left = ZSTD_compressStream2(context_, &out, &input, directive);
      if (ZSTD_isError(left)) return CodecFailed(Compression::kZstd, ZSTD_getErrorName(left));
      output.insert(output.end(), piece, piece + out.pos);
    } while (input.pos < input.size || (directive == ZSTD_e_end && left > 0));
    return absl::OkStatus();
  }

  ZSTD_CCtx* context_;
  std::vector<uint8_t> held_;
  bool streaming_ = false;
};

}  // namespace

std::unique_ptr<DecompressStream> MakeZstdDecompressStream() {
  return std::make_unique<ZstdDecompressStream>();
}
std::unique_ptr<CompressStream> MakeZstdCompressStream(int level) {
  return std::make_unique<ZstdCompressStream>(level);
}

}  // namespace millrace
