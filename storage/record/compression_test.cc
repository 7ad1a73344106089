#include "storage/record/compression.h"

#include <catch2/catch.hpp>
#include <string>

#include "common/bytes/endian.h"
#include "common/error_kind.h"

namespace millrace {
namespace {

constexpr Compression kCodecs[] = {Compression::kGzip, Compression::kSnappy, Compression::kLz4,
                                   Compression::kZstd};
constexpr size_t kNoLimit = size_t{1} << 40;

std::vector<uint8_t> Compressed(Compression codec, std::span<const uint8_t> bytes,
                                const CompressionLevels& levels = {}) {
  Compressor compressor(codec, levels);
  REQUIRE(compressor.Write(bytes).ok());
  REQUIRE(compressor.Finish().ok());
  return compressor.output();
}

// Neither all equal nor random: some of it compresses.
std::vector<uint8_t> Sample(size_t size) {
  std::vector<uint8_t> bytes(size);
  uint32_t state = 12345;
  for (uint8_t& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = (state >> 28) == 0 ? static_cast<uint8_t>(state >> 20) : 'a';
  }
  return bytes;
}

std::optional<ErrorKind> KindOfDecompressing(Compression codec, std::span<const uint8_t> bytes,
                                             size_t limit = kNoLimit) {
  auto output = Decompress(codec, bytes, limit);
  return output.ok() ? std::nullopt : KindOf(output.status());
}

}  // namespace

TEST_CASE("Compression: what a codec wrote comes back, in any size and level") {
  for (Compression codec : kCodecs) {
    for (size_t size : {0, 1, 100, 32 << 10, (64 << 10) + 1, 200'000}) {
      for (CompressionLevels levels :
           {CompressionLevels{}, CompressionLevels{1, 1, 1}, CompressionLevels{9, 12, -7}}) {
        INFO(CompressionName(codec) << " " << size);
        auto sample = Sample(size);
        auto compressed = Compressed(codec, sample, levels);
        auto again = Decompress(codec, compressed, size);
        REQUIRE(again.ok());
        CHECK(std::vector<uint8_t>(again->begin(), again->end()) == sample);
      }
    }
  }
}

TEST_CASE("Compression: our own highest zstd level stays within the window that readers accept") {
  // More than the library is told the size of, so that the level alone chooses the window.
  auto sample = Sample(140'000);
  auto compressed = Compressed(Compression::kZstd, sample, {.zstd = 22});
  CHECK(Decompress(Compression::kZstd, compressed, kNoLimit)->size() == sample.size());
}

TEST_CASE("Compression: output beyond the limit is refused before it is made") {
  auto sample = Sample(300'000);
  for (Compression codec : kCodecs) {
    INFO(CompressionName(codec));
    auto compressed = Compressed(codec, sample);
    CHECK(KindOfDecompressing(codec, compressed, sample.size() - 1) == ErrorKind::kMessageTooLarge);
    CHECK_FALSE(KindOfDecompressing(codec, compressed, sample.size()).has_value());
  }
}

TEST_CASE("Compression: a bomb of 64 MiB is stopped at its limit, a chunk at a time") {
  std::vector<uint8_t> zeroes(1 << 20);
  for (Compression codec : {Compression::kGzip, Compression::kLz4, Compression::kZstd}) {
    INFO(CompressionName(codec));
    Compressor compressor(codec, {});
    for (int i = 0; i < 64; ++i) REQUIRE(compressor.Write(zeroes).ok());
    REQUIRE(compressor.Finish().ok());
    Decompressor decompressor;
    decompressor.Start(codec, compressor.output(), 1 << 20);
    size_t made = 0;
    auto chunk = decompressor.Next();
    while (chunk.ok()) {
      REQUIRE(chunk->size() <= kDecompressChunkBytes);
      made += chunk->size();
      chunk = decompressor.Next();
    }
    CHECK(KindOf(chunk.status()) == ErrorKind::kMessageTooLarge);
    CHECK(made <= 1 << 20);
  }
}

TEST_CASE("Compression: a snappy block cannot ask for more memory than its bytes can fill") {
  std::vector<uint8_t> raw = {0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 'a'};  // Claims 4 GiB.
  CHECK(KindOfDecompressing(Compression::kSnappy, raw) == ErrorKind::kCorruptMessage);
}

TEST_CASE("Compression: cut off input is corrupt") {
  auto sample = Sample(5000);
  for (Compression codec : kCodecs) {
    auto compressed = Compressed(codec, sample);
    for (size_t cut = 0; cut < compressed.size(); ++cut) {
      INFO(CompressionName(codec) << " cut at " << cut << " of " << compressed.size());
      auto output = Decompress(codec, std::span(compressed).first(cut), kNoLimit);
      // A framed snappy stream has no end mark: a cut between blocks reads as a shorter stream.
      if (codec == Compression::kSnappy && cut == 16) {
        CHECK(output->empty());
        continue;
      }
      REQUIRE_FALSE(output.ok());
      CHECK(KindOf(output.status()) == ErrorKind::kCorruptMessage);
    }
  }
}

TEST_CASE("Compression: damaged bytes never crash and mostly are corrupt") {
  auto sample = Sample(3000);
  for (Compression codec : kCodecs) {
    auto compressed = Compressed(codec, sample);
    for (size_t i = 0; i < compressed.size(); ++i) {
      std::vector<uint8_t> damaged = compressed;
      damaged[i] ^= 0x55;
      auto output = Decompress(codec, damaged, 1 << 20);
      if (!output.ok()) CHECK(KindOf(output.status()).has_value());
    }
  }
}

TEST_CASE("Compression: bytes behind the end are corrupt") {
  auto sample = Sample(100);
  for (Compression codec : kCodecs) {
    INFO(CompressionName(codec));
    auto compressed = Compressed(codec, sample);
    compressed.insert(compressed.end(), {1, 2, 3});
    CHECK(KindOfDecompressing(codec, compressed) == ErrorKind::kCorruptMessage);
  }
}

TEST_CASE("Compression: snappy is read raw, framed, and with frames in a row") {
  // Raw: size 5, then a literal of 5.
  std::vector<uint8_t> raw = {5, 4 << 2, 'h', 'e', 'l', 'l', 'o'};
  CHECK(Decompress(Compression::kSnappy, raw, 100)->view() == "hello");

  std::vector<uint8_t> framed = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
  std::vector<uint8_t> header = framed;
  framed.insert(framed.end(), {0, 0, 0, 7});
  framed.insert(framed.end(), raw.begin(), raw.end());
  CHECK(Decompress(Compression::kSnappy, framed, 100)->view() == "hello");

  std::vector<uint8_t> two = framed;
  two.insert(two.end(), framed.begin(), framed.end());
  CHECK(Decompress(Compression::kSnappy, two, 100)->view() == "hellohello");

  framed[19] = 8;  // The block would end behind the bytes.
  CHECK(KindOfDecompressing(Compression::kSnappy, framed) == ErrorKind::kCorruptMessage);
}

TEST_CASE("Compression: gzip members in a row are one stream") {
  auto sample = Sample(100);
  auto one = Compressed(Compression::kGzip, sample);
  auto two = one;
  two.insert(two.end(), one.begin(), one.end());
  CHECK(Decompress(Compression::kGzip, two, 1000)->size() == 200);
}

TEST_CASE(
    "Compression: LZ4 frames with linked blocks are refused, as Java clients cannot read them") {
  auto compressed = Compressed(Compression::kLz4, Sample(100));
  REQUIRE((compressed[4] & 0x20) != 0);
  compressed[4] &= static_cast<uint8_t>(~0x20);
  auto output = Decompress(Compression::kLz4, compressed, kNoLimit);
  CHECK(KindOf(output.status()) == ErrorKind::kCorruptMessage);
  CHECK(output.status().message().find("linked") != absl::string_view::npos);
}

TEST_CASE("Compression: a zstd window above 8 MiB is refused, one of 8 MiB is not") {
  // Frame header: magic, descriptor 0 (window descriptor follows), window exponent << 3. Then an
  // empty raw last block.
  auto frame = [](int window_log) {
    return std::vector<uint8_t>{
        0x28, 0xb5, 0x2f, 0xfd, 0, static_cast<uint8_t>((window_log - 10) << 3), 1, 0, 0};
  };
  CHECK_FALSE(KindOfDecompressing(Compression::kZstd, frame(23)).has_value());
  CHECK(KindOfDecompressing(Compression::kZstd, frame(24)) == ErrorKind::kCorruptMessage);
  CHECK(KindOfDecompressing(Compression::kZstd, frame(31)) == ErrorKind::kCorruptMessage);
}

TEST_CASE("Compression: a decompressor can be started anew after an error") {
  auto sample = Sample(1000);
  Decompressor decompressor;
  for (Compression codec : kCodecs) {
    auto compressed = Compressed(codec, sample);
    decompressor.Start(codec, std::span(compressed).first(compressed.size() / 2), kNoLimit);
    while (true) {
      auto chunk = decompressor.Next();
      if (!chunk.ok()) break;
      REQUIRE_FALSE(chunk->empty());
    }
    decompressor.Start(codec, compressed, kNoLimit);
    auto chunk = decompressor.Next();
    REQUIRE(chunk.ok());
    CHECK(std::vector<uint8_t>(chunk->begin(), chunk->end()) == sample);
    CHECK(decompressor.Next()->empty());
  }
}

TEST_CASE("Compression: a compressor stops at its limit") {
  for (Compression codec : {Compression::kNone, Compression::kGzip, Compression::kSnappy,
                            Compression::kLz4, Compression::kZstd}) {
    INFO(CompressionName(codec));
    Compressor compressor(codec, {}, 0, 1000);
    absl::Status status = compressor.Write(Sample(400'000));
    if (status.ok()) status = compressor.Finish();
    CHECK(KindOf(status) == ErrorKind::kMessageTooLarge);
    CHECK(compressor.output().size() < 200'000);
  }
}

}  // namespace millrace
