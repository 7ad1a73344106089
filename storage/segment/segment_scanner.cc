#include "storage/segment/segment_scanner.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/bytes/endian.h"
#include "common/status_macros.h"

namespace millrace {

Task<absl::Status> SegmentScanner::Fill(size_t bytes) {
  if (position_ >= window_position_ && position_ - window_position_ <= window_.size() &&
      available() >= bytes) {
    co_return absl::OkStatus();
  }
  const uint64_t left = options_.end - position_;
  const size_t length =
      static_cast<size_t>(std::min<uint64_t>(std::max(bytes, kScanWindowBytes), left));
  absl::StatusOr<Slice> read = co_await file_.ReadAt(position_, length, options_.hint);
  if (!read.ok()) co_return read.status();
  window_ = *std::move(read);
  window_position_ = position_;
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::optional<BatchView>>> SegmentScanner::Next() {
  constexpr std::optional<BatchView> kNothing;
  if (!defect_.empty() || position_ >= options_.end) co_return kNothing;
  MR_CO_RETURN_IF_ERROR(co_await Fill(kBatchHeaderBytes));
  if (available() < kBatchHeaderBytes) {
    defect_ = fmt::format("{} bytes are no batch header", available());
    co_return kNothing;
  }
  const uint8_t* at = window_.data() + (position_ - window_position_);
  const int64_t size =
      int64_t{LoadBig<int32_t>(at + 8)} + static_cast<int64_t>(kBatchLengthOverhead);
  if (size < static_cast<int64_t>(kBatchHeaderBytes) ||
      size > static_cast<int64_t>(options_.batch_bytes_max)) {
    defect_ = fmt::format("batch length {}", size);
    co_return kNothing;
  }
  if (static_cast<uint64_t>(size) > options_.end - position_) {
    defect_ =
        fmt::format("a batch of {} bytes is cut off after {}", size, options_.end - position_);
    co_return kNothing;
  }
  MR_CO_RETURN_IF_ERROR(co_await Fill(static_cast<size_t>(size)));
  if (available() < static_cast<size_t>(size)) {
    defect_ = "the file ends inside a batch";
    co_return kNothing;
  }
  absl::StatusOr<BatchView> batch = BatchView::Parse(
      window_.Sub(static_cast<size_t>(position_ - window_position_), static_cast<size_t>(size)));
  absl::Status sound = batch.ok() ? CheckBatchFields(batch->header()) : batch.status();
  if (sound.ok() && options_.check_crc) sound = batch->CheckCrc();
  if (!sound.ok()) {
    defect_ = std::string(sound.message());
    co_return kNothing;
  }
  if (batch->header().base_offset < next_offset_) {
    defect_ = fmt::format("base offset {} where at least {} follows", batch->header().base_offset,
                          next_offset_);
    co_return kNothing;
  }
  if (options_.offset_max.has_value() && batch->header().next_offset() > *options_.offset_max) {
    defect_ = fmt::format("base offset {} where all ends at {}", batch->header().base_offset,
                          *options_.offset_max);
    co_return kNothing;
  }
  batch_position_ = position_;
  position_ += static_cast<uint64_t>(size);
  next_offset_ = batch->header().next_offset();
  co_return std::optional<BatchView>(*std::move(batch));
}

}  // namespace millrace
