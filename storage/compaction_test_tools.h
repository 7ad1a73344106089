// What the tests of compaction share: records with keys, a store that compacts at once, and reading
// back what is left.
#pragma once

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "storage/compaction/record_filter.h"
#include "storage/log_test_tools.h"
#include "storage/record/batch_builder.h"
#include "storage/record/record.h"

namespace millrace {

using KeyValue = std::pair<std::string, std::optional<std::string>>;

struct CompactedRecord {
  Offset offset;
  std::string key;
  std::optional<std::string> value;
  friend bool operator==(const CompactedRecord&, const CompactedRecord&) = default;
};

inline std::span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

inline BatchView KeyedBatch(const std::vector<KeyValue>& records, Timestamp at,
                            Compression compression = Compression::kNone,
                            std::optional<BatchProducer> producer = std::nullopt) {
  BatchBuilderOptions options;
  options.compression = compression;
  options.producer = producer;
  BatchBuilder builder(options);
  for (const auto& [key, value] : records) {
    std::optional<std::span<const uint8_t>> bytes;
    if (value) bytes = BytesOf(*value);
    builder.Append(at, BytesOf(key), bytes);
  }
  return *builder.Build();
}

// The records of `batches` from `from` on.
inline void AppendKeyed(const Chain& batches, Offset from, std::vector<CompactedRecord>& records) {
  BatchUnpacker unpacker;
  for (const Slice& slice : batches.slices()) {
    BatchReader reader(slice);
    for (;;) {
      auto batch = reader.Next();
      REQUIRE(batch.ok());
      if (!batch->has_value()) break;
      REQUIRE((*batch)->CheckCrc().ok());
      const BatchHeader& header = (*batch)->header();
      RecordReader in(*unpacker.Unpack(**batch), header.record_count);
      for (RecordView record; in.Next(record);) {
        const Offset offset = header.base_offset + OffsetDelta(record.offset_delta);
        if (offset < from) continue;
        CompactedRecord& added = records.emplace_back(CompactedRecord{offset, "", std::nullopt});
        if (record.key) added.key = std::string(record.key->begin(), record.key->end());
        if (record.value) added.value = std::string(record.value->begin(), record.value->end());
      }
    }
    REQUIRE(reader.position() == slice.size());
  }
}

inline std::vector<CompactedRecord> ReadKeyed(SimWorld& world, Env& env, Log& log,
                                              size_t bytes_max = 700) {
  std::vector<CompactedRecord> records;
  Offset at = log.start_offset();
  while (at < log.end_offset()) {
    auto read = world.Run(env, log.Read(at, {bytes_max, log.end_offset(), true}));
    if (!read.ok()) FAIL(read.status().ToString());
    REQUIRE(read->next_offset > at);
    AppendKeyed(read->batches, at, records);
    at = read->next_offset;
  }
  return records;
}

// Small segments, and everything is compacted.
inline LogConfig CompactedConfig() {
  LogConfig config;
  config.segment_bytes = 1200;
  config.index_interval_bytes = 200;
  config.cleanup_compact = true;
  config.cleanup_delete = false;
  config.min_cleanable_dirty_ratio = 0;
  config.delete_retention_ms = 10'000;
  config.file_delete_delay_ms = 100;
  return config;
}

inline LogStoreOptions CleanerStoreOptions() {
  LogStoreOptions options;
  options.segment_write_age = milliseconds(20);
  options.checkpoint_age = milliseconds(50);
  options.tail_cache_bytes_max = 2000;
  options.cold_read_bytes = 1000;
  options.cleaner.backoff = milliseconds(40);
  options.cleaner.map_bytes_max = 64 << 10;
  options.cleaner.buffer_bytes = 700;
  return options;
}

// What is durable is committed, unless said otherwise.
class CommittedObserver final : public LogObserver {
 public:
  void OnDurable(Log&, Offset) override {}
  void OnFailed(Log&, absl::Status) override {}
  Offset CommittedEnd(const Log& log) const override {
    return committed.value_or(log.durable_end());
  }
  std::optional<Offset> committed;
};

inline Task<absl::Status> FlipByteTask(Disk* disk, std::string path, uint64_t at) {
  auto file = co_await disk->Open(std::move(path), OpenOptions{});
  if (!file.ok()) co_return file.status();
  auto bytes = co_await (*file)->ReadAt(at, 1, ReadHint::kNormal);
  absl::Status status = bytes.status();
  if (status.ok()) {
    const uint8_t flipped = (*bytes)[0] ^ 0xff;
    status = co_await (*file)->WriteAt(at, Chain(Slice::Copy(std::span(&flipped, 1))), {});
  }
  status.Update(co_await (*file)->Close());
  co_return status;
}

inline void FlipByte(SimWorld& world, Env& env, std::string path, uint64_t at) {
  REQUIRE(world.Run(env, FlipByteTask(&env.disk, std::move(path), at)).ok());
}

}  // namespace millrace
