#include "common/runtime/semaphore.h"

#include <algorithm>

namespace millrace {
namespace {

// Who waits looks again by itself after so long: a release that found the inbox full could not wake
// it, and may have been the last one.
constexpr Duration kLookAgain = milliseconds(100);

}  // namespace

bool ByteBudget::Take(size_t bytes) {
  size_t used = used_.load(std::memory_order_seq_cst);
  while (used == 0 || (bytes <= bytes_max_ && used <= bytes_max_ - bytes)) {
    if (used_.compare_exchange_weak(used, used + bytes, std::memory_order_seq_cst)) return true;
  }
  return false;
}

bool ByteBudget::Fits(size_t bytes) const {
  const size_t used = used_.load(std::memory_order_seq_cst);
  return line_.empty() && (used == 0 || (bytes <= bytes_max_ && used <= bytes_max_ - bytes));
}

bool ByteBudget::TryAcquire(size_t bytes) { return line_.empty() && Take(bytes); }

Task<absl::Status> ByteBudget::Acquire(size_t bytes, CancellationToken token) {
  if (TryAcquire(bytes)) co_return absl::OkStatus();
  const uint64_t ticket = next_ticket_++;
  line_.push_back(ticket);
  bool taken = false;
  while (!token.cancelled()) {
    // Contended is raised before the last look, so that a release between look and sleep still
    // wakes us.
    contended_.store(true, std::memory_order_seq_cst);
    if (line_.front() == ticket && Take(bytes)) {
      taken = true;
      break;
    }
    if (co_await freed_.Wait(reactor_.Now() + kLookAgain, token) == WaitResult::kCancelled) break;
  }
  std::erase(line_, ticket);
  if (line_.empty()) {
    contended_.store(false, std::memory_order_seq_cst);
  } else {
    freed_.Pulse();  // The next in line may fit into what is left.
  }
  co_return taken ? absl::OkStatus() : absl::CancelledError("cancelled while waiting for memory");
}

void ByteBudget::Release(size_t bytes) noexcept {
  used_.fetch_sub(bytes, std::memory_order_seq_cst);
  if (!contended_.load(std::memory_order_seq_cst)) return;
  // When the inbox is full nobody is woken: those who wait look again before long.
  reactor_.Post([this] { freed_.Pulse(); });
}

}  // namespace millrace
