#include "storage/producer/producer_snapshot.h"

#include <fmt/format.h>

#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

constexpr int16_t kVersion = 1;
constexpr size_t kCrcAt = 2;
constexpr size_t kCoveredFrom = 6;
constexpr size_t kHeaderBytes = 10;
constexpr size_t kEntryBytes = 46;
constexpr std::string_view kWindowMagic = "MRwindow";

class Writer {
 public:
  template <typename T>
  void Put(T value) {
    bytes_.resize(bytes_.size() + sizeof(T));
    StoreBig<T>(bytes_.data() + bytes_.size() - sizeof(T), value);
  }
  void Put(std::string_view text) { bytes_.insert(bytes_.end(), text.begin(), text.end()); }
  std::vector<uint8_t>& bytes() { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

// Fails once and stays failed.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  template <typename T>
  T Take() {
    if (bytes_.size() < sizeof(T)) {
      failed_ = true;
      return T{};
    }
    T value = LoadBig<T>(bytes_.data());
    bytes_ = bytes_.subspan(sizeof(T));
    return value;
  }
  bool TakeMagic(std::string_view magic) {
    if (bytes_.size() < magic.size() ||
        std::memcmp(bytes_.data(), magic.data(), magic.size()) != 0) {
      return false;
    }
    bytes_ = bytes_.subspan(magic.size());
    return true;
  }
  size_t left() const { return bytes_.size(); }
  bool failed() const { return failed_; }

 private:
  std::span<const uint8_t> bytes_;
  bool failed_ = false;
};

absl::Status Damaged(std::string what) {
  return absl::DataLossError(fmt::format("Producer snapshot: {}", what));
}

bool Sensible(const ProducerBatch& batch) {
  return batch.last_sequence.value() >= 0 && batch.offset_delta >= 0 &&
         batch.last_offset.value() >= batch.offset_delta;
}

void PutEntry(Writer& to, ProducerId id, const ProducerEntry& entry) {
  const ProducerBatch* last = entry.batches().empty() ? nullptr : &entry.batches().back();
  to.Put<int64_t>(id.value());
  to.Put<int16_t>(entry.epoch().value());
  to.Put<int32_t>(last == nullptr ? -1 : last->last_sequence.value());
  to.Put<int64_t>(last == nullptr ? -1 : last->last_offset.value());
  to.Put<int32_t>(last == nullptr ? 0 : last->offset_delta);
  to.Put<int64_t>(entry.last_timestamp.ms());
  to.Put<int32_t>(entry.coordinator_epoch.value_or(-1));
  to.Put<int64_t>(entry.open_transaction.has_value() ? entry.open_transaction->value() : -1);
}

struct StoredEntry {
  ProducerEntry entry{ProducerEpoch(0)};
  std::optional<ProducerBatch> last;
  std::vector<ProducerBatch> older;
};

absl::Status TakeEntry(Reader& from, std::map<ProducerId, StoredEntry>& entries) {
  ProducerId id(from.Take<int64_t>());
  StoredEntry stored{
      .entry = ProducerEntry(ProducerEpoch(from.Take<int16_t>())), .last = {}, .older = {}};
  int32_t last_sequence = from.Take<int32_t>();
  int64_t last_offset = from.Take<int64_t>();
  int32_t offset_delta = from.Take<int32_t>();
  Timestamp timestamp(from.Take<int64_t>());
  int32_t coordinator_epoch = from.Take<int32_t>();
  int64_t transaction = from.Take<int64_t>();

  stored.entry.last_timestamp = timestamp;
  if (coordinator_epoch >= 0) stored.entry.coordinator_epoch = coordinator_epoch;
  if (transaction >= 0) stored.entry.open_transaction = Offset(transaction);
  if (last_offset >= 0 && last_sequence >= 0) {
    stored.last = ProducerBatch{.last_sequence = Sequence(last_sequence),
                                .offset_delta = offset_delta,
                                .last_offset = Offset(last_offset),
                                .timestamp = timestamp};
    if (!Sensible(*stored.last)) return Damaged(fmt::format("bad batch of producer {}", id));
  }
  if (!entries.emplace(id, std::move(stored)).second) {
    return Damaged(fmt::format("producer {} stands in it twice", id));
  }
  return absl::OkStatus();
}

absl::Status TakeWindows(Reader& from, std::map<ProducerId, StoredEntry>& entries) {
  int32_t count = from.Take<int32_t>();
  for (int32_t i = 0; i < count && !from.failed(); ++i) {
    ProducerId id(from.Take<int64_t>());
    auto batches = static_cast<size_t>(from.Take<uint8_t>());
    auto it = entries.find(id);
    if (it == entries.end() || batches >= kProducerBatchesKept || !it->second.older.empty()) {
      return Damaged(fmt::format("bad window of producer {}", id));
    }
    for (size_t b = 0; b < batches; ++b) {
      ProducerBatch batch;
      batch.last_sequence = Sequence(from.Take<int32_t>());
      batch.last_offset = Offset(from.Take<int64_t>());
      batch.offset_delta = from.Take<int32_t>();
      batch.timestamp = Timestamp(from.Take<int64_t>());
      if (!Sensible(batch)) return Damaged(fmt::format("bad window of producer {}", id));
      it->second.older.push_back(batch);
    }
  }
  if (count < 0 || from.failed() || from.left() > 0) return Damaged("bad windows");
  return absl::OkStatus();
}

}  // namespace

Slice EncodeProducerSnapshot(const ProducerState& state) {
  Writer writer;
  size_t windows = 0;
  writer.Put<int16_t>(kVersion);
  writer.Put<uint32_t>(0);  // The CRC, below.
  writer.Put<int32_t>(static_cast<int32_t>(state.size()));
  for (const auto& [id, entry] : state.entries()) {
    PutEntry(writer, id, entry);
    if (entry.batches().size() > 1) ++windows;
  }
  if (windows > 0) {
    writer.Put(kWindowMagic);
    writer.Put<int32_t>(static_cast<int32_t>(windows));
    for (const auto& [id, entry] : state.entries()) {
      if (entry.batches().size() <= 1) continue;
      std::span<const ProducerBatch> older = entry.batches().first(entry.batches().size() - 1);
      writer.Put<int64_t>(id.value());
      writer.Put<uint8_t>(static_cast<uint8_t>(older.size()));
      for (const ProducerBatch& batch : older) {
        writer.Put<int32_t>(batch.last_sequence.value());
        writer.Put<int64_t>(batch.last_offset.value());
        writer.Put<int32_t>(batch.offset_delta);
        writer.Put<int64_t>(batch.timestamp.ms());
      }
    }
  }
  std::span<const uint8_t> bytes(writer.bytes());
  StoreBig<uint32_t>(writer.bytes().data() + kCrcAt, Crc32c(bytes.subspan(kCoveredFrom)));
  return Slice::Copy(bytes);
}

absl::StatusOr<ProducerState> DecodeProducerSnapshot(std::span<const uint8_t> bytes,
                                                     Timestamp now) {
  if (bytes.size() < kHeaderBytes) return Damaged(fmt::format("only {} bytes", bytes.size()));
  Reader reader(bytes);
  int16_t version = reader.Take<int16_t>();
  if (version != kVersion) return Damaged(fmt::format("version {}", version));
  uint32_t crc = reader.Take<uint32_t>();
  if (crc != Crc32c(bytes.subspan(kCoveredFrom))) return Damaged("its CRC does not match");
  int32_t count = reader.Take<int32_t>();
  if (count < 0 || static_cast<size_t>(count) > reader.left() / kEntryBytes) {
    return Damaged(fmt::format("it cannot hold {} producers", count));
  }
  std::map<ProducerId, StoredEntry> entries;
  for (int32_t i = 0; i < count; ++i) MR_RETURN_IF_ERROR(TakeEntry(reader, entries));
  // Whatever else stands behind the entries is none of ours to judge: Kafka ignores it too.
  if (reader.TakeMagic(kWindowMagic)) MR_RETURN_IF_ERROR(TakeWindows(reader, entries));

  ProducerState state;
  for (auto& [id, stored] : entries) {
    for (const ProducerBatch& batch : stored.older) stored.entry.AddBatch(batch);
    if (stored.last.has_value()) stored.entry.AddBatch(*stored.last);
    stored.entry.last_active = now;
    state.Restore(id, stored.entry);
  }
  return state;
}

}  // namespace millrace
