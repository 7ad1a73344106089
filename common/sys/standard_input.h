// StandardInput: what the process is given on descriptor 0, as it comes: a line that a person typed
// is there at once.
//
// Shard:    one.
// Lifetime: no ReadSome() pending at destruction (CHECKed): Shutdown() first.
// Errors:   ReadSome(): kCancelled after Shutdown(); as errno otherwise.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <memory>

#include "common/bytes/slice.h"
#include "common/runtime/task.h"
#include "common/sys/file_descriptor.h"
#include "common/sys/io_operation.h"

namespace millrace {

class StandardInput {
 public:
  static absl::StatusOr<std::unique_ptr<StandardInput>> Create(IoPort& port);
  ~StandardInput();

  // At least one byte and at most `bytes_max`, as soon as there are any; empty at the end. One call
  // at a time.
  Task<absl::StatusOr<Slice>> ReadSome(size_t bytes_max);
  // Ends a pending ReadSome(). Idempotent.
  void Shutdown();

 private:
  StandardInput(IoPort& port, FileDescriptor stop, FileDescriptor either)
      : port_(port), stop_(std::move(stop)), either_(std::move(either)) {}

  IoPort& port_;
  FileDescriptor stop_;    // An eventfd.
  FileDescriptor either_;  // An epoll of it and the input; invalid for what is always ready.
  bool waiting_ = false;
  bool shut_down_ = false;
};

}  // namespace millrace
