// DamageWatch: a node's key-value store that tells when it turns out to be damaged while it is open.
// RocksDB reads a rotten table when somebody asks for what is in it, or when it compacts it, which
// from then on fails every write. Only the next start can do something about it, so it has to know.
//
// Shard:    that of `store`.
// Lifetime: whatever `told` uses outlives it.
// Errors:   those of `store`.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <memory>
#include <utility>

#include "storage/kv/kv_store.h"

namespace millrace {

class DamageWatch final : public KvStore {
 public:
  // `told` is awaited at the first kDataLoss, before that is returned; once.
  using Told = std::function<Task<void>(absl::Status why)>;
  DamageWatch(std::unique_ptr<KvStore> store, Told told)
      : store_(std::move(store)), told_(std::move(told)) {}

  Task<absl::StatusOr<std::optional<std::string>>> Get(KvSpace space, std::string key) override;
  Task<absl::StatusOr<KvPage>> Scan(KvRange range, size_t entries_max, size_t bytes_max) override;
  Task<absl::Status> Write(KvBatch batch, KvWriteOptions options) override;
  Task<absl::Status> Flush() override;
  Task<absl::Status> Close() override { return store_->Close(); }

 private:
  Task<void> Look(absl::Status status);

  const std::unique_ptr<KvStore> store_;
  const Told told_;
  bool has_told_ = false;
};

}  // namespace millrace
