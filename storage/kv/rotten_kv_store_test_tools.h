// RottenKvStore: a store that turns out to be damaged while it is open.
//
// Shard:    that of the store behind it.
// Lifetime: `rotten` outlives it; it is sound until that is set.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "storage/kv/kv_store.h"

namespace millrace {

// RocksDB reads a rotten table only when it compacts it: from then on every write fails so.
class RottenKvStore final : public KvStore {
 public:
  RottenKvStore(std::unique_ptr<KvStore> kv, const bool* rotten)
      : kv_(std::move(kv)), rotten_(rotten) {}
  Task<absl::StatusOr<std::optional<std::string>>> Get(KvSpace space, std::string key) override {
    return kv_->Get(space, std::move(key));
  }
  Task<absl::StatusOr<KvPage>> Scan(KvRange range, size_t entries_max, size_t bytes_max) override {
    return kv_->Scan(std::move(range), entries_max, bytes_max);
  }
  Task<absl::Status> Write(KvBatch batch, KvWriteOptions options) override {
    if (*rotten_) co_return absl::DataLossError("block checksum mismatch");
    co_return co_await kv_->Write(std::move(batch), options);
  }
  Task<absl::Status> Flush() override { return kv_->Flush(); }
  Task<absl::Status> Close() override { return kv_->Close(); }

 private:
  std::unique_ptr<KvStore> kv_;
  const bool* rotten_;
};

}  // namespace millrace
