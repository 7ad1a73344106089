#include "storage/log_state.h"

#include "storage/store_context.h"

namespace millrace {

Task<IoLock> LockIo(Log::State& state) {
  while (state.io_locked) co_await state.context.io_unlocked.Wait();
  co_return IoLock(state);
}

Task<void> WaitForSwap(Log::State& state) {
  while (state.swapping) co_await state.context.io_unlocked.Wait();
}

}  // namespace millrace
