#include "broker/coordinator/coordinator_queue.h"

#include <optional>
#include <span>
#include <string>
#include <utility>

#include "storage/record/batch_builder.h"

namespace millrace {
namespace {

size_t SizeOf(const CoordinatorRecord& record) {
  return record.key.size() + (record.value.has_value() ? record.value->size() : 0);
}

std::span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

void CoordinatorQueue::Add(std::vector<CoordinatorRecord> decision) {
  if (decision.empty()) return;
  for (const CoordinatorRecord& record : decision) bytes_ += SizeOf(record);
  decisions_.push_back(std::move(decision));
}

absl::StatusOr<BatchView> CoordinatorQueue::TakeBatch(Timestamp now) {
  BatchBuilder builder;
  size_t bytes_max = kBatchBytes;
  while (!decisions_.empty() && builder.uncompressed_bytes() < bytes_max) {
    const std::vector<CoordinatorRecord>& decision = decisions_.front();
    const CoordinatorRecord& record = decision[next_];
    builder.Append(now, BytesOf(record.key),
                   record.value.has_value() ? std::optional(BytesOf(*record.value)) : std::nullopt);
    bytes_ -= SizeOf(record);
    const bool whole = ++next_ == decision.size();
    bytes_max = whole ? kBatchBytes : kDecisionBytesMax;
    if (!whole) continue;
    decisions_.pop_front();
    next_ = 0;
  }
  return builder.Build();
}

void CoordinatorQueue::Clear() {
  decisions_.clear();
  next_ = 0;
  bytes_ = 0;
}

}  // namespace millrace
