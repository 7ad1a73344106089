#include <snappy.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/bytes/endian.h"
#include "common/error_kind.h"
#include "storage/record/codec.h"

namespace millrace {
namespace {

// The framing of Java's SnappyOutputStream: this, two versions (int32 1), then blocks behind their
// size.
constexpr std::array<uint8_t, 8> kXerialMagic = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
constexpr size_t kXerialHeaderBytes = 16;
constexpr size_t kXerialBlockBytes = 32 << 10;  // As Kafka's Java client cuts them.

bool StartsWithXerialMagic(std::span<const uint8_t> bytes) {
  return bytes.size() >= kXerialHeaderBytes &&
         std::memcmp(bytes.data(), kXerialMagic.data(), kXerialMagic.size()) == 0;
}

absl::Status Corrupt(const char* what) { return CorruptCompressed(Compression::kSnappy, what); }

class SnappyDecompressStream final : public DecompressStream {
 public:
  void Start(std::span<const uint8_t> input) override {
    input_ = input;
    framed_ = StartsWithXerialMagic(input);
    started_ = false;
  }

  absl::StatusOr<size_t> Next(std::vector<uint8_t>& chunk, size_t output_bytes_max) override {
    while (true) {
      if (input_.empty() && (framed_ || started_)) return 0;
      started_ = true;
      std::span<const uint8_t> block = input_;
      if (framed_) {
        if (StartsWithXerialMagic(input_)) {  // Streams may follow each other.
          input_ = input_.subspan(kXerialHeaderBytes);
          continue;
        }
        if (input_.size() < 4) return Corrupt("a block size is cut off");
        uint32_t size = LoadBig<uint32_t>(input_.data());
        if (size > input_.size() - 4) return Corrupt("a block is cut off");
        block = input_.subspan(4, size);
      }
      input_ = input_.subspan(static_cast<size_t>(block.data() - input_.data()) + block.size());
      absl::StatusOr<size_t> size = Uncompress(block, chunk, output_bytes_max);
      if (!size.ok() || *size > 0) return size;
    }
  }

 private:
  static absl::StatusOr<size_t> Uncompress(std::span<const uint8_t> block,
                                           std::vector<uint8_t>& chunk, size_t output_bytes_max) {
    const char* data = reinterpret_cast<const char*>(block.data());
    size_t size = 0;
    if (!snappy::GetUncompressedLength(data, block.size(), &size)) {
      return Corrupt("a block has no valid size");
    }
    if (size > block.size() * kSnappyExpansionMax) {
      return Corrupt("a block claims more than its bytes can hold");
    }
    if (size > output_bytes_max) {
      return MakeError(ErrorKind::kMessageTooLarge, "Decompressed records exceed the limit");
    }
    if (size > chunk.size()) chunk.resize(size);
    if (!snappy::RawUncompress(data, block.size(), reinterpret_cast<char*>(chunk.data()))) {
      return Corrupt("a block cannot be uncompressed");
    }
    return size;
  }

  std::span<const uint8_t> input_;
  bool framed_ = false;
  bool started_ = false;
};

class SnappyCompressStream final : public CompressStream {
 public:
  absl::Status Write(std::span<const uint8_t> bytes, std::vector<uint8_t>& output) override {
    WriteHeaderOnce(output);
    while (!bytes.empty()) {
      size_t take = std::min(bytes.size(), kXerialBlockBytes - block_.size());
      block_.insert(block_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(take));
      bytes = bytes.subspan(take);
      if (block_.size() == kXerialBlockBytes) WriteBlock(output);
    }
    return absl::OkStatus();
  }
  absl::Status Finish(std::vector<uint8_t>& output) override {
    WriteHeaderOnce(output);
    if (!block_.empty()) WriteBlock(output);
    return absl::OkStatus();
  }

 private:
  void WriteHeaderOnce(std::vector<uint8_t>& output) {
    if (header_written_) return;
    header_written_ = true;
    std::array<uint8_t, kXerialHeaderBytes> header;
    std::copy(kXerialMagic.begin(), kXerialMagic.end(), header.begin());
    StoreBig<int32_t>(header.data() + 8, 1);   // Version.
    StoreBig<int32_t>(header.data() + 12, 1);  // Oldest version that can read it.
    output.insert(output.end(), header.begin(), header.end());
  }

  void WriteBlock(std::vector<uint8_t>& output) {
    size_t at = output.size();
    output.resize(at + 4 + snappy::MaxCompressedLength(block_.size()));
    size_t size = 0;
    snappy::RawCompress(reinterpret_cast<const char*>(block_.data()), block_.size(),
                        reinterpret_cast<char*>(output.data() + at + 4), &size);
    StoreBig<int32_t>(output.data() + at, static_cast<int32_t>(size));
    output.resize(at + 4 + size);
    block_.clear();
  }

  bool header_written_ = false;
  std::vector<uint8_t> block_;
};

}  // namespace

std::unique_ptr<DecompressStream> MakeSnappyDecompressStream() {
  return std::make_unique<SnappyDecompressStream>();
}
std::unique_ptr<CompressStream> MakeSnappyCompressStream() {
  return std::make_unique<SnappyCompressStream>();
}

}  // namespace millrace
