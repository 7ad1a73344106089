// ConnectionAdmission: the quotas of connections, for the whole node: asked when a connection is
// accepted, told when it has ended. The count is kept on shard 0.
//
// Shard:    the caller's. With one shard both answer at once.
// Lifetime: outlives every Server that asks it. LocalAdmission outlives every RemoteAdmission.
// Errors:   a verdict, see ConnectionQuota.
#pragma once

#include <string>
#include <utility>

#include "broker/server/connection_quota.h"
#include "common/runtime/shards.h"
#include "common/runtime/task.h"

namespace millrace {

class ConnectionAdmission {
 public:
  virtual ~ConnectionAdmission() = default;
  // When admitted, Leave() must follow once.
  virtual Task<ConnectionQuota::Verdict> Admit(ConnectionOrigin origin) = 0;
  virtual Task<void> Leave(std::string address) = 0;
};

// On shard 0.
class LocalAdmission final : public ConnectionAdmission {
 public:
  explicit LocalAdmission(ConnectionQuotaOptions options) : quota_(std::move(options)) {}
  Task<ConnectionQuota::Verdict> Admit(ConnectionOrigin origin) override {
    co_return quota_.TryAdmit(origin);
  }
  Task<void> Leave(std::string address) override {
    quota_.Leave(address);
    co_return;
  }
  int64_t total() const { return quota_.total(); }
  // Of connections from now on; those there are stay.
  void SetLimits(int64_t total_max, int64_t per_address_max) {
    quota_.SetLimits(total_max, per_address_max);
  }

 private:
  ConnectionQuota quota_;
};

// On the other shards: asks `local` on shard 0.
class RemoteAdmission final : public ConnectionAdmission {
 public:
  RemoteAdmission(Shards& shards, ShardId here, ConnectionAdmission& local)
      : shards_(shards), here_(here), local_(local) {}
  Task<ConnectionQuota::Verdict> Admit(ConnectionOrigin origin) override {
    co_return co_await shards_.Call<ConnectionQuota::Verdict>(
        here_, ShardId(0), [local = &local_, origin = std::move(origin)]() mutable {
          return local->Admit(std::move(origin));
        });
  }
  Task<void> Leave(std::string address) override {
    co_await shards_.Call<void>(here_, ShardId(0),
                                [local = &local_, address = std::move(address)]() mutable {
                                  return local->Leave(std::move(address));
                                });
  }

 private:
  Shards& shards_;
  const ShardId here_;
  ConnectionAdmission& local_;
};

}  // namespace millrace
