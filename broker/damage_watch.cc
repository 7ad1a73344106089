#include "broker/damage_watch.h"

namespace millrace {

Task<void> DamageWatch::Look(absl::Status status) {
  if (!absl::IsDataLoss(status) || has_told_) co_return;
  has_told_ = true;
  co_await told_(std::move(status));
}

Task<absl::StatusOr<std::optional<std::string>>> DamageWatch::Get(KvSpace space, std::string key) {
  auto value = co_await store_->Get(space, std::move(key));
  co_await Look(value.status());
  co_return value;
}

Task<absl::StatusOr<KvPage>> DamageWatch::Scan(KvRange range, size_t entries_max,
                                               size_t bytes_max) {
  auto page = co_await store_->Scan(std::move(range), entries_max, bytes_max);
  co_await Look(page.status());
  co_return page;
}

Task<absl::Status> DamageWatch::Write(KvBatch batch, KvWriteOptions options) {
  absl::Status written = co_await store_->Write(std::move(batch), options);
  co_await Look(written);
  co_return written;
}

Task<absl::Status> DamageWatch::Flush() {
  absl::Status flushed = co_await store_->Flush();
  co_await Look(flushed);
  co_return flushed;
}

}  // namespace millrace
