#include "test/bench/steady_journal.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "common/bytes/block.h"
#include "common/runtime/event.h"
#include "common/status_macros.h"

namespace millrace::bench {
namespace {

constexpr size_t kFileBytes = size_t{8} << 20;
constexpr Duration kTimerTick = milliseconds(1);  // reactor.h: how late a timer may be.

// Not the reactor's, which is that of the turn's beginning.
Instant ReadClock() {
  return Instant(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}

Slice Filled(size_t bytes) {
  MutableBuffer buffer(bytes, kPageSize);
  std::memset(buffer.data(), 'j', bytes);
  return std::move(buffer).Freeze(bytes);
}

}  // namespace

Task<absl::StatusOr<std::unique_ptr<SteadyJournal>>> SteadyJournal::Open(Env* env,
                                                                         std::string path) {
  auto file = co_await env->disk.Open(
      std::move(path), OpenOptions{.create = true, .exclusive = true, .direct = true});
  if (!file.ok()) co_return file.status();
  MR_CO_RETURN_IF_ERROR(co_await (*file)->WriteAt(0, Chain(Filled(kFileBytes)), WriteFlags{}));
  MR_CO_RETURN_IF_ERROR(co_await (*file)->Sync());
  co_return std::unique_ptr<SteadyJournal>(new SteadyJournal(*env, *std::move(file)));
}

SteadyJournal::SteadyJournal(Env& env, std::unique_ptr<File> file)
    : env_(env), file_(std::move(file)), block_(Filled(kPageSize)), scope_(env.reactor) {}

SteadyJournal::~SteadyJournal() = default;

void SteadyJournal::Start(Duration period) {
  scope_.Spawn(WriteSteadily(period), SchedClass::kProduce);
}

Task<absl::Status> SteadyJournal::Stop() {
  co_await scope_.Stop();
  const absl::Status closed = co_await file_->Close();
  co_return status_.ok() ? closed : status_;
}

Task<void> SteadyJournal::WriteSteadily(Duration period) {
  CancellationToken token = scope_.token();
  uint64_t position = 0;
  Instant due = env_.reactor.Now() + period;
  while (status_.ok()) {
    if (env_.reactor.Now() < due) co_await Sleep(env_.reactor, due, token);
    if (token.cancelled()) co_return;
    const Instant begin = std::min(ReadClock(), due + kTimerTick);
    status_ = co_await file_->WriteAt(position, Chain(block_), WriteFlags{.durable = true});
    latencies_us_.push_back(static_cast<double>((ReadClock() - begin).count()) / 1000);
    position = (position + kPageSize) % kFileBytes;
    // What was due meanwhile would have gone into one frame.
    due = std::max(due + period, ReadClock());
  }
}

}  // namespace millrace::bench
