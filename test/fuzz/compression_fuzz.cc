// Any bytes as the compressed records of a batch, in each of the four codecs: what comes out stays
// below the limit, in pieces or at once the same, and packs and unpacks to itself.
//
// The first byte chooses codec, limit and level.
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "common/check.h"
#include "storage/record/compression.h"

namespace millrace {
namespace {

constexpr Compression kCodecs[] = {Compression::kGzip, Compression::kSnappy, Compression::kLz4,
                                   Compression::kZstd};
constexpr size_t kOutputBytesMax[] = {0, 100, 64 << 10, 1 << 20};

void CheckRoundTrip(Compression codec, int level, std::span<const uint8_t> bytes) {
  Compressor compressor(codec, {.gzip = level, .lz4 = level, .zstd = level}, bytes.size());
  MR_CHECK(compressor.Write(bytes).ok());
  MR_CHECK(compressor.Finish().ok());
  auto again = Decompress(codec, compressor.output(), bytes.size());
  MR_CHECK(again.ok());
  MR_CHECK(std::ranges::equal(again->span(), bytes));
}

void Unpack(Compression codec, size_t bytes_max, int level, std::span<const uint8_t> packed) {
  // Kept from input to input, as a shard keeps it: what one leaves behind must not reach the next.
  static Decompressor decompressor;
  decompressor.Start(codec, packed, bytes_max);
  std::vector<uint8_t> output;
  absl::Status status;
  for (;;) {
    absl::StatusOr<std::span<const uint8_t>> chunk = decompressor.Next();
    if (!chunk.ok()) status = chunk.status();
    if (!chunk.ok() || chunk->empty()) break;
    output.insert(output.end(), chunk->begin(), chunk->end());
    MR_CHECK(output.size() <= bytes_max);
  }
  auto at_once = Decompress(codec, packed, bytes_max);
  MR_CHECK(at_once.ok() == status.ok());
  if (!at_once.ok()) return;
  MR_CHECK(std::ranges::equal(at_once->span(), output));
  CheckRoundTrip(codec, level, output);
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t choice = data[0];
  const int level = 1 + (choice >> 4) % 9;
  millrace::Unpack(millrace::kCodecs[choice & 3], millrace::kOutputBytesMax[(choice >> 2) & 3],
                   level, std::span(data + 1, size - 1));
  return 0;
}
