// ListenPatiently: Network::Listen() for a process that is started where another was ended a moment
// ago. The kernel takes the sockets of a killed process down when it has taken down the process's
// ring, which may be after the process is gone: whoever starts it again at once finds its ports in
// use, and has no more to do than to wait.
//
// Shard:  one. Lifetime: `env` outlives the call.
// Errors: as Network::Listen(); kFailedPrecondition (in use) only after kListenPatience, or when
//         `token` is cancelled.
#pragma once

#include <absl/status/statusor.h>

#include <memory>

#include "common/env.h"
#include "common/network.h"
#include "common/runtime/cancellation.h"
#include "common/runtime/task.h"
#include "common/time.h"

namespace millrace {

inline constexpr Duration kListenPatience = seconds(2);

Task<absl::StatusOr<std::unique_ptr<Listener>>> ListenPatiently(
    Env& env, SocketAddress address, ListenOptions options,
    CancellationToken token = {});  // Borrowed: awaited in place.

}  // namespace millrace
