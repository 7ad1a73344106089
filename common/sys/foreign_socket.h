// ForeignSocket: a connection of ours whose other end a library holds as a descriptor and works on
// with threads of its own (gRPC). Bytes are all that passes.
//
// Shard:  `ours` belongs to the shard of `port`; `theirs` to whom it is given. Both in one process.
// Errors: kResourceExhausted: out of descriptors or memory.
#pragma once

#include <absl/status/statusor.h>

#include <memory>

#include "common/network.h"
#include "common/sys/file_descriptor.h"
#include "common/sys/io_operation.h"

namespace millrace {

struct ForeignSocket {
  std::unique_ptr<Connection> ours;
  FileDescriptor theirs;  // Non-blocking.
};

absl::StatusOr<ForeignSocket> MakeForeignSocket(IoPort& port);

}  // namespace millrace
