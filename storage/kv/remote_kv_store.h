// RemoteKvStore: the node's one KvStore as the other shards see it: every call is made on the shard
// that owns it.
//
// Shard:    the one it was made on. A batch or a page is moved across, not copied.
// Lifetime: `store` (of shard `owner`) and `shards` outlive it. Close() must have finished before
//           destruction (CHECKed).
// Errors:   those of `store`; kUnavailable once Close() has begun.
// Order:    that of the calls, within this shard. What another shard writes meanwhile comes before
// or
//           after; no two shards write the same key.
// Note:     Close() is local: it waits for the calls made here. The store itself is closed by its
//           owner, after this.
#pragma once

#include "common/runtime/gate.h"
#include "common/runtime/shards.h"
#include "storage/kv/kv_store.h"

namespace millrace {

class RemoteKvStore final : public KvStore {
 public:
  RemoteKvStore(Shards& shards, ShardId here, ShardId owner, KvStore& store)
      : shards_(shards), here_(here), owner_(owner), store_(store), gate_(shards.reactor(here)) {}
  ~RemoteKvStore() override;

  Task<absl::StatusOr<std::optional<std::string>>> Get(KvSpace space, std::string key) override;
  Task<absl::StatusOr<KvPage>> Scan(KvRange range, size_t entries_max, size_t bytes_max) override;
  Task<absl::Status> Write(KvBatch batch, KvWriteOptions options) override;
  Task<absl::Status> Flush() override;
  Task<absl::Status> Close() override;

 private:
  Shards& shards_;
  const ShardId here_;
  const ShardId owner_;
  KvStore& store_;
  Gate gate_;
};

}  // namespace millrace
