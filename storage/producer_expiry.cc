#include "storage/producer_expiry.h"

#include <algorithm>
#include <limits>

#include "common/check.h"
#include "storage/store_context.h"

namespace millrace {
namespace {

// So many logs are looked at in one turn of the loop.
constexpr int kLooksPerTurn = 16;

Timestamp After(Timestamp t, int64_t ms) {
  int64_t sum = 0;
  if (__builtin_add_overflow(t.ms(), ms, &sum)) sum = std::numeric_limits<int64_t>::max();
  return Timestamp(sum);
}

}  // namespace

ProducerExpiry::ProducerExpiry(StoreContext& context)
    : context_(context), wake_(context.env.reactor), scope_(context.env.reactor) {}

void ProducerExpiry::Start() { scope_.Spawn(Loop(), SchedClass::kHousekeeping); }

Task<void> ProducerExpiry::Stop() { co_await scope_.Stop(); }

void ProducerExpiry::Enter(Log::State& state, Timestamp due) {
  MR_CHECK(!state.producers_due.has_value());
  state.producers_due = due;
  auto [at, added] = schedule_.emplace(Key(due, state.number), &state);
  MR_CHECK(added);
  if (at == schedule_.begin()) wake_.Set();
}

void ProducerExpiry::Schedule(Log::State& state) {
  if (state.producers_due.has_value() || state.deleted) return;
  Enter(state, After(context_.env.clock.Now(), state.config.producer_id_expiration_ms));
}

void ProducerExpiry::Reschedule(Log::State& state) {
  if (!state.producers_due.has_value()) return;
  Forget(state);
  // The look finds out when the next one is due.
  Enter(state, context_.env.clock.Now());
}

void ProducerExpiry::Forget(Log::State& state) {
  if (!state.producers_due.has_value()) return;
  schedule_.erase(Key(*state.producers_due, state.number));
  state.producers_due.reset();
}

void ProducerExpiry::LookAt(Log::State& state, Timestamp now) {
  ++looks_;
  Forget(state);
  const int64_t expiration_ms = state.config.producer_id_expiration_ms;
  const ProducerState::ExpiryPass pass = state.producers.Expire(now, milliseconds(expiration_ms));
  // The stored snapshot names them still; a clean stop writes it anew.
  if (pass.dropped > 0) state.files_stale = true;
  if (!pass.oldest.has_value()) return;
  Enter(state, std::max(After(*pass.oldest, expiration_ms),
                        After(now, context_.options.producer_check_interval.count())));
}

Task<void> ProducerExpiry::Loop() {
  CancellationToken token = scope_.token();
  while (!token.cancelled()) {
    wake_.Reset();
    const Timestamp now = context_.env.clock.Now();
    int looked = 0;
    while (!schedule_.empty() && schedule_.begin()->first.first <= now && looked < kLooksPerTurn) {
      LookAt(*schedule_.begin()->second, now);
      ++looked;
    }
    if (looked == kLooksPerTurn) {
      co_await Yield(context_.env.reactor);
      continue;
    }
    std::optional<Instant> deadline;
    if (!schedule_.empty()) {
      // The wall clock may be set meanwhile: look again before long.
      const int64_t wait_ms = std::min(schedule_.begin()->first.first.ms() - now.ms(),
                                       context_.options.producer_check_interval.count());
      deadline = context_.env.reactor.Now() + milliseconds(std::max<int64_t>(wait_ms, 1));
    }
    co_await wake_.Wait(deadline, token);
  }
}

}  // namespace millrace
