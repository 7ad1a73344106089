// Signals: SIGTERM and SIGINT as something a task awaits.
//
// Shard:    Block() in main(), before any thread is started (threads inherit it); everything else
//           on one shard.
// Lifetime: no Next() pending at destruction (CHECKed): Shutdown() first.
// Errors:   Create(): kResourceExhausted (descriptors). Next(): kCancelled after Shutdown().
#pragma once

#include <absl/status/statusor.h>

#include <memory>

#include "common/runtime/task.h"
#include "common/sys/file_descriptor.h"
#include "common/sys/io_operation.h"

namespace millrace {

class Signals {
 public:
  // From now on SIGTERM and SIGINT wait to be awaited, and SIGPIPE is ignored.
  static void Block();

  static absl::StatusOr<std::unique_ptr<Signals>> Create(IoPort& port);
  ~Signals();

  // The number of the next signal: SIGTERM or SIGINT. One call at a time.
  Task<absl::StatusOr<int>> Next();
  // Ends a pending Next().
  void Shutdown();

 private:
  Signals(IoPort& port, FileDescriptor signals, FileDescriptor stop, FileDescriptor either)
      : port_(port),
        signals_(std::move(signals)),
        stop_(std::move(stop)),
        either_(std::move(either)) {}

  IoPort& port_;
  FileDescriptor signals_;
  FileDescriptor stop_;    // An eventfd.
  FileDescriptor either_;  // An epoll of the two above: what Next() polls.
  bool waiting_ = false;
  bool shut_down_ = false;
};

}  // namespace millrace
