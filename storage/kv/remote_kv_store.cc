#include "storage/kv/remote_kv_store.h"

#include <utility>

#include "common/check.h"

namespace millrace {
namespace {

absl::Status Closed() { return absl::UnavailableError("the key-value store is closed"); }

}  // namespace

RemoteKvStore::~RemoteKvStore() { MR_CHECK(gate_.closed()); }

Task<absl::StatusOr<std::optional<std::string>>> RemoteKvStore::Get(KvSpace space,
                                                                    std::string key) {
  using Value = absl::StatusOr<std::optional<std::string>>;
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return Closed();
  co_return co_await shards_.Call<Value>(here_, owner_,
                                         [store = &store_, space, key = std::move(key)]() mutable {
                                           return store->Get(space, std::move(key));
                                         });
}

Task<absl::StatusOr<KvPage>> RemoteKvStore::Scan(KvRange range, size_t entries_max,
                                                 size_t bytes_max) {
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return Closed();
  co_return co_await shards_.Call<absl::StatusOr<KvPage>>(
      here_, owner_, [store = &store_, range = std::move(range), entries_max, bytes_max]() mutable {
        return store->Scan(std::move(range), entries_max, bytes_max);
      });
}

Task<absl::Status> RemoteKvStore::Write(KvBatch batch, KvWriteOptions options) {
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return Closed();
  co_return co_await shards_.Call<absl::Status>(
      here_, owner_, [store = &store_, batch = std::move(batch), options]() mutable {
        return store->Write(std::move(batch), options);
      });
}

Task<absl::Status> RemoteKvStore::Flush() {
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return Closed();
  co_return co_await shards_.Call<absl::Status>(here_, owner_,
                                                [store = &store_] { return store->Flush(); });
}

Task<absl::Status> RemoteKvStore::Close() {
  co_await gate_.Close();
  co_return absl::OkStatus();
}

}  // namespace millrace
