// HelperPool: where blocking calls go (RocksDB, name resolution), so that a shard never blocks.
//
// Shard:    Run() is awaited on a shard; the work runs elsewhere and must touch nothing of the
// shard.
//           In the simulator it is a task of virtual time on the same thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "common/runtime/reactor.h"
#include "common/runtime/task.h"

namespace millrace {

class HelperPool {
 public:
  virtual ~HelperPool() = default;

  // Runs `work` off the shard and resumes on it. The work must not throw.
  virtual Task<void> Run(std::move_only_function<void()> work) = 0;

  // The same for work with a result.
  template <typename T>
  Task<T> Call(std::move_only_function<T()> work) {
    auto result = std::make_shared<std::optional<T>>();
    co_await Run([result, work = std::move(work)]() mutable { result->emplace(work()); });
    co_return std::move(**result);
  }
};

}  // namespace millrace
