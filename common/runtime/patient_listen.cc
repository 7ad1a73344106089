#include "common/runtime/patient_listen.h"

#include "common/runtime/event.h"
#include "common/runtime/reactor.h"

namespace millrace {
namespace {

constexpr Duration kPause = milliseconds(10);

}  // namespace

Task<absl::StatusOr<std::unique_ptr<Listener>>> ListenPatiently(Env& env, SocketAddress address,
                                                                ListenOptions options,
                                                                CancellationToken token) {
  const Instant deadline = env.reactor.Now() + kListenPatience;
  for (;;) {
    auto listener = co_await env.network.Listen(address, options);
    const bool gives_up = env.reactor.Now() >= deadline || token.cancelled();
    if (!absl::IsFailedPrecondition(listener.status()) || gives_up) co_return listener;
    (void)co_await Sleep(env.reactor, kPause, token);
  }
}

}  // namespace millrace
