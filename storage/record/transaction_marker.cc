#include "storage/record/transaction_marker.h"

#include <fmt/format.h>

#include <span>

#include "common/bytes/endian.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/record/record.h"

namespace millrace {
namespace {

constexpr size_t kKeyBytes = 4;
constexpr size_t kValueBytes = 6;
constexpr int16_t kAbort = 0;
constexpr int16_t kCommit = 1;

absl::Status Unreadable(const BatchHeader& header, std::string_view what) {
  return MakeError(ErrorKind::kCorruptMessage,
                   fmt::format("the control batch at {} {}", header.base_offset, what));
}

}  // namespace

absl::StatusOr<std::optional<TransactionMarker>> ParseTransactionMarker(const BatchView& batch) {
  const BatchHeader& header = batch.header();
  if (!header.attributes.is_control() || !header.producer.has_value()) return std::nullopt;
  // Compaction may have taken the record and left the header.
  if (header.record_count == 0) return std::nullopt;
  if (header.attributes.compression() != Compression::kNone) {
    return Unreadable(header, "is compressed");
  }
  RecordReader reader(batch.records(), header.record_count);
  RecordView record;
  if (!reader.Next(record)) return Unreadable(header, "has no whole record");
  if (!record.key.has_value() || record.key->size() < kKeyBytes) {
    return Unreadable(header, "has no control key");
  }
  const int16_t type = LoadBig<int16_t>(record.key->data() + 2);
  if (type != kAbort && type != kCommit) return std::nullopt;
  if (!record.value.has_value() || record.value->size() < kValueBytes) {
    return Unreadable(header, "has no coordinator epoch");
  }
  return TransactionMarker{type == kCommit, LoadBig<int32_t>(record.value->data() + 2)};
}

}  // namespace millrace
