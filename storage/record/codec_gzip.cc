#include <zlib.h>

#include <algorithm>
#include <limits>

#include "storage/record/codec.h"

namespace millrace {
namespace {

constexpr int kGzipWindowBits = 15 + 16;  // + 16: the gzip wrapper, and no other.

class GzipDecompressStream final : public DecompressStream {
 public:
  ~GzipDecompressStream() override {
    if (ready_) inflateEnd(&stream_);
  }

  void Start(std::span<const uint8_t> input) override {
    failed_ = false;
    in_member_ = true;
    if (!ready_) {
      stream_ = {};
      ready_ = inflateInit2(&stream_, kGzipWindowBits) == Z_OK;
      failed_ = !ready_;
    } else {
      failed_ = inflateReset(&stream_) != Z_OK;
    }
    stream_.next_in = const_cast<uint8_t*>(input.data());  // zlib only reads there.
    stream_.avail_in = static_cast<uInt>(input.size());
  }

  absl::StatusOr<size_t> Next(std::vector<uint8_t>& chunk, size_t /*output_bytes_max*/) override {
    if (failed_) return CodecFailed(Compression::kGzip, "no memory");
    stream_.next_out = chunk.data();
    stream_.avail_out = static_cast<uInt>(chunk.size());
    while (stream_.avail_out > 0) {
      if (!in_member_) {
        if (stream_.avail_in == 0) break;
        // Members may follow each other (RFC 1952 section 2.2); what is no member is refused below.
        if (inflateReset(&stream_) != Z_OK) return CodecFailed(Compression::kGzip, "reset failed");
        in_member_ = true;
      }
      int result = inflate(&stream_, Z_NO_FLUSH);
      if (result == Z_STREAM_END) {
        in_member_ = false;
      } else if (result == Z_BUF_ERROR) {
        return CorruptCompressed(Compression::kGzip, "it ends too early");
      } else if (result != Z_OK) {
        return CorruptCompressed(Compression::kGzip, "it cannot be inflated");
      }
    }
    return chunk.size() - stream_.avail_out;
  }

 private:
  z_stream stream_ = {};
  bool ready_ = false;   // inflateInit2 was called.
  bool failed_ = false;  // There was no memory for it.
  bool in_member_ = false;
};

class GzipCompressStream final : public CompressStream {
 public:
  explicit GzipCompressStream(int level) {
    ready_ =
        deflateInit2(&stream_, level, Z_DEFLATED, kGzipWindowBits, 8, Z_DEFAULT_STRATEGY) == Z_OK;
  }
  ~GzipCompressStream() override {
    if (ready_) deflateEnd(&stream_);
  }

  absl::Status Write(std::span<const uint8_t> bytes, std::vector<uint8_t>& output) override {
    return Run(bytes, Z_NO_FLUSH, output);
  }
  absl::Status Finish(std::vector<uint8_t>& output) override { return Run({}, Z_FINISH, output); }

 private:
  absl::Status Run(std::span<const uint8_t> bytes, int flush, std::vector<uint8_t>& output) {
    if (!ready_) return CodecFailed(Compression::kGzip, "the compressor could not be made");
    stream_.next_in = const_cast<uint8_t*>(bytes.data());
    stream_.avail_in = static_cast<uInt>(bytes.size());
    uint8_t piece[16 << 10];
    do {
      stream_.next_out = piece;
      stream_.avail_out = sizeof(piece);
      if (deflate(&stream_, flush) == Z_STREAM_ERROR) {
        return CodecFailed(Compression::kGzip, "deflate failed");
      }
      output.insert(output.end(), piece, piece + (sizeof(piece) - stream_.avail_out));
    } while (stream_.avail_out == 0);
    return absl::OkStatus();
  }

  z_stream stream_ = {};
  bool ready_ = false;
};

}  // namespace

std::unique_ptr<DecompressStream> MakeGzipDecompressStream() {
  return std::make_unique<GzipDecompressStream>();
}
std::unique_ptr<CompressStream> MakeGzipCompressStream(int level) {
  return std::make_unique<GzipCompressStream>(level);
}

}  // namespace millrace
