#include <lz4frame.h>

#include <algorithm>

#include "storage/record/codec.h"

namespace millrace {
namespace {

constexpr uint8_t kIndependentBlocksFlag = 0x20;
constexpr size_t kFlagsAt = 4;  // Behind the frame's magic number.

absl::Status Corrupt(const char* what) { return CorruptCompressed(Compression::kLz4, what); }

class Lz4DecompressStream final : public DecompressStream {
 public:
  ~Lz4DecompressStream() override { LZ4F_freeDecompressionContext(context_); }

  void Start(std::span<const uint8_t> input) override {
    input_ = input;
    checked_ = false;
    ended_ = false;
    if (context_ == nullptr) {
      if (LZ4F_isError(LZ4F_createDecompressionContext(&context_, LZ4F_VERSION))) {
        context_ = nullptr;
      }
    } else {
      LZ4F_resetDecompressionContext(context_);
    }
  }

  absl::StatusOr<size_t> Next(std::vector<uint8_t>& chunk, size_t /*output_bytes_max*/) override {
    if (context_ == nullptr) return CodecFailed(Compression::kLz4, "no memory");
    if (!checked_) {
      if (input_.size() <= kFlagsAt) return Corrupt("it ends too early");
      // What we take, every consumer must be able to read: Java's reader knows no linked blocks.
      if ((input_[kFlagsAt] & kIndependentBlocksFlag) == 0) return Corrupt("its blocks are linked");
      checked_ = true;
    }
    size_t made = 0;
    while (!ended_ && made < chunk.size()) {
      size_t output_size = chunk.size() - made;
      size_t input_size = input_.size();
      size_t more = LZ4F_decompress(context_, chunk.data() + made, &output_size, input_.data(),
                                    &input_size, nullptr);
      if (LZ4F_isError(more)) return Corrupt(LZ4F_getErrorName(more));
      input_ = input_.subspan(input_size);
      made += output_size;
      ended_ = more == 0;
      if (!ended_ && input_size == 0 && output_size == 0) return Corrupt("it ends too early");
    }
    // A second frame would be invisible to Java's reader, which stops at the first one's end.
    if (ended_ && !input_.empty()) return Corrupt("bytes are left over behind its frame");
    return made;
  }

 private:
  std::span<const uint8_t> input_;
  LZ4F_dctx* context_ = nullptr;
  bool checked_ = false;
  bool ended_ = false;
};

class Lz4CompressStream final : public CompressStream {
 public:
  Lz4CompressStream(int level, size_t size_hint) {
    preferences_.frameInfo.blockMode = LZ4F_blockIndependent;
    // Large inputs gain from large blocks; a small one must not cost its consumers a large buffer.
    preferences_.frameInfo.blockSizeID = size_hint > (64 << 10) ? LZ4F_max256KB : LZ4F_max64KB;
    preferences_.compressionLevel = level;
    if (LZ4F_isError(LZ4F_createCompressionContext(&context_, LZ4F_VERSION))) context_ = nullptr;
  }
  ~Lz4CompressStream() override { LZ4F_freeCompressionContext(context_); }

  absl::Status Write(std::span<const uint8_t> bytes, std::vector<uint8_t>& output) override {
    if (absl::Status begun = BeginOnce(output); !begun.ok()) return begun;
    size_t at = output.size();
    output.resize(at + LZ4F_compressBound(bytes.size(), &preferences_));
    return Took(at,
                LZ4F_compressUpdate(context_, output.data() + at, output.size() - at, bytes.data(),
                                    bytes.size(), nullptr),
                output);
  }
  absl::Status Finish(std::vector<uint8_t>& output) override {
    if (absl::Status begun = BeginOnce(output); !begun.ok()) return begun;
    size_t at = output.size();
    output.resize(at + LZ4F_compressBound(0, &preferences_));
    return Took(at, LZ4F_compressEnd(context_, output.data() + at, output.size() - at, nullptr),
                output);
  }

 private:
  absl::Status BeginOnce(std::vector<uint8_t>& output) {
    if (context_ == nullptr) return CodecFailed(Compression::kLz4, "no memory");
    if (begun_) return absl::OkStatus();
    begun_ = true;
    size_t at = output.size();
    output.resize(at + LZ4F_HEADER_SIZE_MAX);
    return Took(
        at, LZ4F_compressBegin(context_, output.data() + at, LZ4F_HEADER_SIZE_MAX, &preferences_),
        output);
  }

  // `result` bytes were written from `at` on, or it is an error.
  static absl::Status Took(size_t at, size_t result, std::vector<uint8_t>& output) {
    if (LZ4F_isError(result)) return CodecFailed(Compression::kLz4, LZ4F_getErrorName(result));
    output.resize(at + result);
    return absl::OkStatus();
  }

  LZ4F_preferences_t preferences_ = LZ4F_INIT_PREFERENCES;
  LZ4F_cctx* context_ = nullptr;
  bool begun_ = false;
};

}  // namespace

std::unique_ptr<DecompressStream> MakeLz4DecompressStream() {
  return std::make_unique<Lz4DecompressStream>();
}
std::unique_ptr<CompressStream> MakeLz4CompressStream(int level, size_t size_hint) {
  return std::make_unique<Lz4CompressStream>(level, size_hint);
}

}  // namespace millrace
