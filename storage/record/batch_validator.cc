#include "storage/record/batch_validator.h"

#include <fmt/format.h>

#include <utility>

#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/record/batch_rebuild.h"
#include "storage/record/record.h"
#include "storage/record/record_stream.h"

namespace millrace {
namespace {

absl::Status Invalid(std::string message) {
  return MakeError(ErrorKind::kInvalidRecord, std::move(message));
}
absl::Status Corrupt(std::string message) {
  return MakeError(ErrorKind::kCorruptMessage, std::move(message));
}

int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b < 0 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
}

// What follows the first batch of a produce: a second batch, or bytes that the first one's length
// left out?
absl::Status ClassifyLeftover(std::span<const uint8_t> rest) {
  if (absl::StatusOr<BatchHeader> second = ParseBatchHeader(rest);
      second.ok() && second->size_bytes <= rest.size()) {
    return Invalid("Produce requests may contain only one record batch per partition");
  }
  return Corrupt(fmt::format("{} bytes follow the end that the record batch gives", rest.size()));
}

// The checks of one record after another, and what the header must say about them.
class RecordChecks {
 public:
  RecordChecks(const BatchHeader& header, const AppendRules& rules, std::string_view partition,
               Timestamp now)
      : rules_(rules),
        partition_(partition),
        base_timestamp_(header.base_timestamp.ms()),
        claims_append_time_(header.attributes.timestamp_type() == TimestampType::kLogAppendTime),
        oldest_(SaturatingAdd(now.ms(), -rules.timestamp_before_ms_max)),
        newest_(SaturatingAdd(now.ms(), rules.timestamp_after_ms_max)) {}

  void Take(int64_t timestamp_delta, int32_t offset_delta, bool has_key) {
    int64_t timestamp = 0;
    bool overflow = __builtin_add_overflow(base_timestamp_, timestamp_delta, &timestamp);
    bool create_time = rules_.timestamp_type == TimestampType::kCreateTime;
    if (rules_.compacted && !has_key) {
      AddError(fmt::format("Compacted topic cannot accept a record without a key (partition {})",
                           partition_));
    } else if (create_time && (overflow || timestamp != kNoTimestamp.ms())) {
      if (overflow || timestamp < oldest_ || timestamp > newest_) {
        timestamp_error_ = true;
        AddError(
            fmt::format("Timestamp {} of the record with offset {} is out of range: it must lie "
                        "within [{}, {}]",
                        timestamp, index_, oldest_, newest_));
      }
    } else if (claims_append_time_) {
      timestamp_error_ = true;
      AddError("Producers must not set the timestamp type to LogAppendTime");
    }
    if (timestamp > max_timestamp_) {
      max_timestamp_ = timestamp;
      max_timestamp_index_ = index_;
    }
    in_order_ &= offset_delta == index_;
    ++index_;
  }

  // Whether the offset deltas are 0..n-1.
  bool in_order() const { return in_order_; }
  Timestamp max_timestamp() const { return Timestamp(max_timestamp_); }
  int32_t max_timestamp_index() const { return max_timestamp_index_; }

  absl::Status status() const {
    if (failed_ == 0) return absl::OkStatus();
    if (timestamp_error_) {
      return MakeError(ErrorKind::kInvalidTimestamp,
                       "One or more records have been rejected because of their timestamp");
    }
    return Invalid(fmt::format("{} records have been rejected; the first: {}", failed_,
                               errors_.front().message));
  }
  std::vector<RecordError> TakeErrors() { return std::move(errors_); }

 private:
  void AddError(std::string message) {
    ++failed_;
    if (errors_.size() < kRecordErrorsMax) errors_.push_back({index_, std::move(message)});
  }

  const AppendRules& rules_;
  std::string_view partition_;
  int64_t base_timestamp_;
  bool claims_append_time_;
  int64_t oldest_;
  int64_t newest_;

  int32_t index_ = 0;
  int64_t max_timestamp_ = kNoTimestamp.ms();
  int32_t max_timestamp_index_ = 0;
  bool in_order_ = true;
  bool timestamp_error_ = false;
  int32_t failed_ = 0;
  std::vector<RecordError> errors_;
};

// All that can be said without walking the records.
absl::Status CheckWhole(const BatchView& batch, const AppendRules& rules, AppendOrigin origin,
                        std::string_view partition) {
  const BatchHeader& header = batch.header();
  bool client = origin == AppendOrigin::kClient;
  if (client && header.base_offset.value() != 0) {
    return Invalid(fmt::format("The base offset of a batch produced to {} must be 0, but is {}",
                               partition, header.base_offset));
  }
  if (header.size_bytes > rules.message_bytes_max) {
    return MakeError(ErrorKind::kMessageTooLarge,
                     fmt::format("The batch for {} has {} bytes, more than the {} of "
                                 "max.message.bytes",
                                 partition, header.size_bytes, rules.message_bytes_max));
  }
  MR_RETURN_IF_ERROR(batch.CheckCrc());
  int64_t span = int64_t{header.last_offset_delta} + 1;
  if (span <= 0 || header.record_count <= 0 || span != header.record_count) {
    return Invalid(fmt::format("The batch for {} has {} records in an offset range of {}",
                               partition, header.record_count, span));
  }
  if (client && header.attributes.is_control()) {
    return Invalid(fmt::format("Clients may not write control records (partition {})", partition));
  }
  // Compaction alone sets it: with it a tombstone would go before anybody has seen it (KIP-534).
  if (client && header.attributes.has_delete_horizon()) {
    return Invalid(
        fmt::format("Clients may not set the delete horizon of a batch (partition {})", partition));
  }
  if (client && header.producer.has_value() && !header.producer->base_sequence.has_value()) {
    return Invalid(fmt::format("The batch of producer {} for {} has no valid sequence number",
                               header.producer->id, partition));
  }
  if (!header.attributes.compression().has_value()) {
    return MakeError(ErrorKind::kUnsupportedCompression,
                     "The batch has an unknown compression codec");
  }
  return absl::OkStatus();
}

absl::Status WalkUncompressed(const BatchView& batch, RecordChecks& checks) {
  RecordReader reader(batch.records(), batch.header().record_count);
  RecordView record;
  while (reader.Next(record)) {
    checks.Take(record.timestamp_delta, record.offset_delta, record.key.has_value());
  }
  return reader.status();
}

absl::Status WalkCompressed(const BatchView& batch, Compression compression,
                            size_t output_bytes_max, Decompressor& decompressor,
                            RecordChecks& checks) {
  RecordStream stream(decompressor);
  stream.Start(compression, batch.records(), batch.header().record_count, output_bytes_max);
  RecordHead head;
  bool has_key = false;
  while (stream.Next(head) && stream.SkipRest(has_key)) {
    checks.Take(head.timestamp_delta, head.offset_delta, has_key);
  }
  return stream.Finish();
}

constexpr ValidationLimits kNoLimits = {
    .records = std::numeric_limits<int32_t>::max(),
    .uncompressed_bytes = std::numeric_limits<size_t>::max(),
    .compressed_bytes = std::numeric_limits<size_t>::max(),
    .decompressed_bytes = std::numeric_limits<size_t>::max(),
    .slowly_rebuilt_bytes = std::numeric_limits<size_t>::max(),
    .rebuilt_bytes = std::numeric_limits<size_t>::max(),
};

size_t RebuildBytesMax(Compression target, const ValidationLimits& limits) {
  const bool slow = target == Compression::kGzip || target == Compression::kLz4;
  return slow ? limits.slowly_rebuilt_bytes : limits.rebuilt_bytes;
}

// How many bytes of records may be walked within the limits; nothing when the batch is more work
// by what its header says.
std::optional<size_t> WalkBytesMax(const BatchHeader& header, Compression target,
                                   const ValidationLimits& limits) {
  const Compression source = *header.attributes.compression();
  const bool plain = source == Compression::kNone;
  size_t bytes_max = plain ? limits.uncompressed_bytes : limits.decompressed_bytes;
  if (target != source) bytes_max = std::min(bytes_max, RebuildBytesMax(target, limits));
  const size_t size_max = plain ? bytes_max : limits.compressed_bytes;
  if (header.record_count > limits.records || header.size_bytes > size_max) return std::nullopt;
  return bytes_max;
}

// Whether it was the limit of work that `status` ran into, and not the one on what may come out.
bool TooMuchWork(const absl::Status& status, size_t bytes_max, size_t output_max) {
  return bytes_max < output_max && KindOf(status) == ErrorKind::kMessageTooLarge;
}

BatchRejection Reject(absl::Status status) {
  return {.status = std::move(status), .record_errors = {}};
}

}  // namespace

absl::StatusOr<BatchView> CheckProduceRecords(const Slice& records, bool zstd_allowed) {
  if (records.empty()) {
    return Invalid("Produce requests must contain a record batch for each partition");
  }
  MR_ASSIGN_OR_RETURN(BatchView batch, BatchView::Parse(records));
  std::optional<Compression> compression = batch.header().attributes.compression();
  if (!compression.has_value()) {
    return MakeError(ErrorKind::kUnsupportedCompression,
                     "The batch has an unknown compression codec");
  }
  if (*compression == Compression::kZstd && !zstd_allowed) {
    return MakeError(ErrorKind::kUnsupportedCompression,
                     "zstd needs version 7 or later of the Produce request");
  }
  if (size_t size = batch.header().size_bytes; size < records.size()) {
    return ClassifyLeftover(records.span().subspan(size));
  }
  return batch;
}

ValidationOutcome BatchValidator::Validate(BatchView batch, const AppendRules& rules,
                                           AppendOrigin origin, std::string_view partition,
                                           Timestamp now) {
  return *TryValidate(std::move(batch), rules, origin, partition, now, kNoLimits);
}

std::optional<ValidationOutcome> BatchValidator::TryValidate(
    BatchView batch, const AppendRules& rules, AppendOrigin origin, std::string_view partition,
    Timestamp now, const ValidationLimits& limits) {
  auto reject = [](absl::Status status) -> ValidationOutcome {
    return std::unexpected(Reject(std::move(status)));
  };
  if (absl::Status status = CheckWhole(batch, rules, origin, partition); !status.ok()) {
    return reject(std::move(status));
  }
  const Compression source = *batch.header().attributes.compression();
  // Control batches are read by brokers in places that know no codec.
  const Compression target =
      batch.header().attributes.is_control() ? source : rules.compression.value_or(source);
  const std::optional<size_t> walk_max = WalkBytesMax(batch.header(), target, limits);
  if (!walk_max.has_value()) return std::nullopt;
  const size_t output_max = UncompressedBytesMax(batch.header().size_bytes);
  RecordChecks checks(batch.header(), rules, partition, now);
  absl::Status walked =
      source == Compression::kNone
          ? WalkUncompressed(batch, checks)
          : WalkCompressed(batch, source, std::min(*walk_max, output_max), decompressor_, checks);
  if (!walked.ok()) {
    if (TooMuchWork(walked, *walk_max, output_max)) return std::nullopt;
    return reject(std::move(walked));
  }
  if (absl::Status status = checks.status(); !status.ok()) {
    return std::unexpected(BatchRejection{std::move(status), checks.TakeErrors()});
  }

  const bool append_time = rules.timestamp_type == TimestampType::kLogAppendTime;
  const Timestamp max_timestamp = append_time ? now : checks.max_timestamp();
  const bool rebuild = target != source || !checks.in_order();
  if (rebuild) {
    // Offsets that are out of order are seen only now, when more may have been read than may be
    // written.
    const size_t rebuild_max = RebuildBytesMax(target, limits);
    RebuildOptions options{.compression = target,
                           .levels = rules.levels,
                           .timestamp_type = rules.timestamp_type,
                           .max_timestamp = max_timestamp,
                           .batch_bytes_max = rules.message_bytes_max,
                           .uncompressed_bytes_max = std::min(rebuild_max, output_max)};
    absl::StatusOr<BatchView> rebuilt = RebuildBatch(batch, options, decompressor_);
    if (!rebuilt.ok()) {
      if (TooMuchWork(rebuilt.status(), rebuild_max, output_max)) return std::nullopt;
      return reject(rebuilt.status());
    }
    batch = *std::move(rebuilt);
  }
  if (size_t size = batch.header().size_bytes; size > rules.segment_bytes_max) {
    return reject(
        MakeError(ErrorKind::kRecordListTooLarge,
                  fmt::format("The batch for {} has {} bytes, more than the {} of segment.bytes",
                              partition, size, rules.segment_bytes_max)));
  }
  // Last, because a rejected batch must not have been changed.
  batch.SetMaxTimestamp(rules.timestamp_type, max_timestamp);
  return ValidatedBatch{
      .batch = std::move(batch),
      .rebuilt = rebuild,
      .max_timestamp = max_timestamp,
      .max_timestamp_delta = OffsetDelta(append_time ? 0 : checks.max_timestamp_index()),
      .log_append_time = append_time ? std::optional(now) : std::nullopt,
  };
}

}  // namespace millrace
