#include "broker/coordinator/coordinator_loader.h"

#include <optional>
#include <span>
#include <utility>

#include "common/status_macros.h"
#include "storage/record/compression.h"
#include "storage/record/record.h"
#include "storage/record/transaction_marker.h"

namespace millrace {
namespace {

constexpr size_t kBatchBytesMax = 256 << 20;

std::string TextOf(std::span<const uint8_t> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

void CoordinatorLoader::LoadRecord(const CoordinatorRecord& record) {
  const absl::Status loaded =
      machine_.Load(BytesOf(record.key),
                    record.value.has_value() ? std::optional(BytesOf(*record.value)) : std::nullopt,
                    {env_.reactor.Now(), env_.clock.Now()});
  if (loaded.ok()) return;
  env_.logger.Warning("a record of a coordinator's log is passed over: {}",
                      std::string(loaded.message()));
}

void CoordinatorLoader::EndTransaction(const BatchView& batch) {
  absl::StatusOr<std::optional<TransactionMarker>> marker = ParseTransactionMarker(batch);
  if (!marker.ok() || !marker->has_value() || !batch.header().producer.has_value()) return;
  auto open = open_.extract(batch.header().producer->id);
  if (open.empty() || !(*marker)->commit) return;
  for (const CoordinatorRecord& record : open.mapped()) LoadRecord(record);
}

void CoordinatorLoader::LoadBatch(const BatchView& batch) {
  const BatchHeader& header = batch.header();
  std::span<const uint8_t> bytes = batch.records();
  Slice decompressed;
  const Compression codec = *header.attributes.compression();
  absl::Status read;
  if (codec != Compression::kNone) {
    absl::StatusOr<Slice> output = Decompress(codec, bytes, kBatchBytesMax);
    read = output.status();
    if (output.ok()) decompressed = *std::move(output);
    bytes = decompressed.span();
  }
  const bool waits = header.attributes.is_transactional() && header.producer.has_value();
  RecordReader records(bytes, header.record_count);
  RecordView view;
  while (read.ok() && records.Next(view)) {
    if (!view.key.has_value()) continue;
    CoordinatorRecord record{TextOf(*view.key), std::nullopt};
    if (view.value.has_value()) record.value = TextOf(*view.value);
    if (waits) {
      open_[header.producer->id].push_back(std::move(record));
    } else {
      LoadRecord(record);
    }
  }
  if (read.ok()) read = records.status();
  if (!read.ok()) {
    env_.logger.Error("records of a coordinator's log from {} on are passed over: {}",
                      header.base_offset.value(), std::string(read.message()));
  }
}

absl::Status CoordinatorLoader::Load(const Chain& bytes) {
  BatchReader batches(bytes.Flatten());
  for (;;) {
    MR_ASSIGN_OR_RETURN(std::optional<BatchView> batch, batches.Next());
    if (!batch.has_value()) return absl::OkStatus();
    MR_RETURN_IF_ERROR(CheckBatchFields(batch->header()));
    if (batch->header().attributes.is_control()) {
      EndTransaction(*batch);
    } else {
      LoadBatch(*batch);
    }
  }
}

}  // namespace millrace
