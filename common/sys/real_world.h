// RealWorld: the process's Env per shard, made of the operating system. Built by main() (and by
// tests of the reactors); everything else is lent what it needs.
//
// Shard:    Create() and Run() on one thread, which becomes shard 0.
// Lifetime: outlives everything that was lent an Env of it.
// Errors:   Create(): why the wanted kind of I/O cannot be used; kResourceExhausted.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "common/env.h"
#include "common/runtime/shards.h"
#include "common/runtime/task.h"
#include "common/sys/file_writes.h"
#include "common/sys/helper_threads.h"
#include "common/sys/io_operation.h"
#include "common/sys/real_reactor.h"

namespace millrace {

// How the kernel is asked for I/O. kAuto: io_uring, or epoll where that is not allowed, with a line
// in the log that says why.
enum class IoBackend { kAuto, kUring, kEpoll };

// "auto", "io_uring", "epoll"; nothing for any other text.
std::optional<IoBackend> ParseIoBackend(std::string_view name);

struct RealWorldOptions {
  IoBackend io = IoBackend::kAuto;
  // Reactors, each on a thread; UsableCpus() is the usual choice. More than processors only adds
  // switches.
  size_t shards = 1;
  // Threads for blocking calls, shared by all shards, started when first needed. More: more of them
  // at a time, and more switches.
  size_t helper_threads_max = 4;
  size_t inbox_max = 4096;  // Closures that may wait per shard.
  // Another than the chosen one: to compare them.
  WritesBy buffered_writes_by = kBufferedWritesBy;
  // Both only where the cores are ours alone: each shard on a core of its own, and how long it
  // looks for work before it sleeps.
  bool pin = false;
  Duration spin{0};
  StallDetectorOptions stalls{};
};

class RealWorld {
 public:
  static absl::StatusOr<std::unique_ptr<RealWorld>> Create(RealWorldOptions options,
                                                           Logger& logger);
  ~RealWorld();

  // Runs `task` on this thread as shard 0, the other shards on threads of their own, until it has
  // ended and nothing that it called on them is running. May be called again when there is one
  // shard (each other one would be on another thread than before).
  void Run(Task<void> task);

  // "io_uring" or "epoll".
  std::string_view io_name() const;
  Shards& shards() { return *shards_; }
  Env& env(ShardId shard);
  // For Signals.
  IoPort& port(ShardId shard);

 private:
  struct Seat;  // One shard's Env and what it refers to.

  explicit RealWorld(RealWorldOptions options);
  Seat& seat(ShardId shard);
  static Task<void> ServeUntilStopped(Shards* shards, ShardId shard, Event* stop);
  static Task<void> RunFirst(Task<void> task, Shards* shards);

  const RealWorldOptions options_;
  std::unique_ptr<HelperThreads> helper_threads_;
  std::vector<std::unique_ptr<Seat>> seats_;
  std::unique_ptr<Shards> shards_;
  bool ran_ = false;
};

}  // namespace millrace
