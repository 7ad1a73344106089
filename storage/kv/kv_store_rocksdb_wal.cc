#include "storage/kv/kv_store_rocksdb_wal.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <optional>
#include <vector>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"

namespace millrace {
namespace {

constexpr size_t kBlockBytes = 32768;
constexpr size_t kHeaderBytes = 7;
// Of a record: its sequence number and count, then the first entry's tag and length.
constexpr size_t kBatchHeaderBytes = 12;
constexpr uint8_t kLogDataTag = 3;
constexpr std::string_view kMarkMagic = "mr-sync1";
// A batch's header, and an entry of a mark with a name of at most 100 bytes.
constexpr size_t kFrontBytes = kBatchHeaderBytes + 2 + kMarkMagic.size() + 100 + sizeof(uint64_t);

enum FragmentType : uint8_t { kWhole = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

struct Fragment {
  uint8_t type;
  std::span<const uint8_t> payload;
};

uint32_t LoadLittle32(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

// RocksDB stores checksums turned and shifted, so that the checksum of bytes with checksums is one.
uint32_t Masked(uint32_t crc) { return std::rotr(crc, 15) + 0xa282ead8; }

// Where the fragment that follows `at` begins: the rest of a block may be too short for one.
size_t NextHeader(size_t at) {
  const size_t left = kBlockBytes - at % kBlockBytes;
  return left < kHeaderBytes ? at + left : at;
}

std::optional<Fragment> FragmentAt(std::span<const uint8_t> file, size_t at) {
  if (at >= file.size()) return std::nullopt;
  const std::span<const uint8_t> block =
      file.subspan(at, std::min(file.size() - at, kBlockBytes - at % kBlockBytes));
  if (block.size() < kHeaderBytes) return std::nullopt;
  const size_t length = block[4] | size_t{block[5]} << 8;
  const uint8_t type = block[6];
  if (type < kWhole || type > kLast || length > block.size() - kHeaderBytes) return std::nullopt;
  // The type is under the checksum, too.
  if (Masked(Crc32c(block.subspan(kHeaderBytes - 1, length + 1))) != LoadLittle32(block.data())) {
    return std::nullopt;
  }
  return Fragment{type, block.subspan(kHeaderBytes, length)};
}

// A record that was put together; `end` is where the next one may begin.
struct Record {
  std::vector<uint8_t> front;  // As much as a mark needs.
  size_t end;
};

std::optional<Record> RecordAt(std::span<const uint8_t> file, size_t at) {
  std::optional<Fragment> fragment = FragmentAt(file, at);
  if (!fragment.has_value()) return std::nullopt;
  Record record{{}, at + kHeaderBytes + fragment->payload.size()};
  const auto take = [&record](std::span<const uint8_t> payload) {
    const auto wanted = payload.first(std::min(payload.size(), kFrontBytes - record.front.size()));
    record.front.insert(record.front.end(), wanted.begin(), wanted.end());
  };
  take(fragment->payload);
  if (fragment->type == kWhole) return record;
  if (fragment->type != kFirst) return std::nullopt;
  do {
    at = NextHeader(record.end);
    fragment = FragmentAt(file, at);
    if (!fragment.has_value()) return std::nullopt;
    if (fragment->type != kMiddle && fragment->type != kLast) return std::nullopt;
    record.end = at + kHeaderBytes + fragment->payload.size();
    take(fragment->payload);
  } while (fragment->type == kMiddle);
  return record;
}

// What the record's mark says; 0 where it has none.
uint64_t MarkOf(const Record& record, std::string_view store) {
  const size_t bytes = kMarkMagic.size() + store.size() + sizeof(uint64_t);
  if (record.front.size() < kBatchHeaderBytes + 2 + bytes) return 0;
  const std::span<const uint8_t> entry = std::span(record.front).subspan(kBatchHeaderBytes);
  if (entry[0] != kLogDataTag || entry[1] != bytes) return 0;
  const std::string_view mark(reinterpret_cast<const char*>(entry.data()) + 2, bytes);
  if (!mark.starts_with(kMarkMagic) || !mark.substr(kMarkMagic.size()).starts_with(store)) return 0;
  return LoadBig<uint64_t>(entry.data() + 2 + bytes - sizeof(uint64_t));
}

}  // namespace

std::string KvSyncMark(std::string_view store, uint64_t synced_through) {
  std::string mark(kMarkMagic);
  mark += store;
  mark.resize(mark.size() + sizeof(uint64_t));
  StoreBig<uint64_t>(reinterpret_cast<uint8_t*>(mark.data()) + mark.size() - sizeof(uint64_t),
                     synced_through);
  return mark;
}

KvWalScan ScanKvWal(std::span<const uint8_t> file, std::string_view store) {
  KvWalScan scan;
  // Zeros from here on. A record may end within them, but none begins there.
  const auto last =
      std::find_if(file.rbegin(), file.rend(), [](uint8_t byte) { return byte != 0; });
  const size_t end = static_cast<size_t>(file.rend() - last);
  size_t at = 0;
  while (at < end) {
    at = NextHeader(at);
    if (at >= end) break;
    const std::optional<Record> record = RecordAt(file, at);
    if (!record.has_value()) {
      // The length may be what is damaged: the next record can begin anywhere.
      scan.damaged = true;
      ++at;
      continue;
    }
    scan.synced_through = std::max(scan.synced_through, MarkOf(*record, store));
    at = record->end;
  }
  return scan;
}

}  // namespace millrace
