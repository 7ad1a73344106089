// HelperPool: where blocking calls go (RocksDB, name resolution) and long computations
// (decompression), so that a shard never stalls. Computations use at most half of the helpers, so
// that no blocking call, a journal write among them, waits for one.
//
// Shard:    Run() is awaited on a shard; the work runs elsewhere and must touch nothing of the
// shard.
//           In the simulator it is a task of virtual time on the same thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "common/runtime/reactor.h"
#include "common/runtime/task.h"

namespace millrace {

enum class HelperWork : uint8_t { kBlocking, kComputing };

class HelperPool {
 public:
  virtual ~HelperPool() = default;

  // Runs `work` off the shard and resumes on it. The work must not throw.
  Task<void> Run(std::move_only_function<void()> work) {
    return RunAs(HelperWork::kBlocking, std::move(work));
  }

  // The same for work with a result.
  template <typename T>
  Task<T> Call(std::move_only_function<T()> work) {
    return CallAs<T>(HelperWork::kBlocking, std::move(work));
  }

  // The same for work that keeps a processor busy for longer than a shard may be.
  template <typename T>
  Task<T> Compute(std::move_only_function<T()> work) {
    return CallAs<T>(HelperWork::kComputing, std::move(work));
  }

 protected:
  virtual Task<void> RunAs(HelperWork kind, std::move_only_function<void()> work) = 0;

 private:
  template <typename T>
  Task<T> CallAs(HelperWork kind, std::move_only_function<T()> work) {
    auto result = std::make_shared<std::optional<T>>();
    co_await RunAs(kind, [result, work = std::move(work)]() mutable { result->emplace(work()); });
    co_return std::move(**result);
  }
};

}  // namespace millrace
