#include "storage/deferred_removals.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/status_macros.h"
#include "storage/log_files.h"

namespace millrace {
namespace {

// Delays are counted in nanoseconds: a century is as good as for ever.
constexpr int64_t kDelayMsMax = int64_t{100} * 365 * 24 * 3600 * 1000;

// A file, or a folder and what is in it; partition folders hold no folders.
Task<absl::Status> RemovePath(Disk& disk, std::string path) {  // Borrowed: awaited in place.
  absl::Status removed = co_await disk.Remove(path);
  if (absl::IsFailedPrecondition(removed)) {  // A folder that is not empty.
    auto entries = co_await disk.List(path);
    if (!entries.ok()) co_return entries.status();
    for (const DirectoryEntry& entry : *entries) {
      removed = co_await disk.Remove(JoinPath(path, entry.name));
      if (!removed.ok() && !absl::IsNotFound(removed)) co_return removed;
    }
    removed = co_await disk.Remove(path);
  }
  co_return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

}  // namespace

void DeferredRemovals::Start() { scope_.Spawn(Run(), SchedClass::kHousekeeping); }

Task<void> DeferredRemovals::Stop() { co_await scope_.Stop(); }

void DeferredRemovals::Add(std::string path, int64_t delay_ms) {
  const Duration delay = milliseconds(std::clamp<int64_t>(delay_ms, 0, kDelayMsMax));
  const Instant due = env_.reactor.Now() + delay;
  const bool first = waiting_.empty() || due < waiting_.begin()->first;
  waiting_.emplace(due, std::move(path));
  if (first) changed_.Set();
}

Task<void> DeferredRemovals::Run() {
  CancellationToken token = scope_.token();
  while (!scope_.stopping()) {
    if (!waiting_.empty() && waiting_.begin()->first <= env_.reactor.Now()) {
      std::string path = std::move(waiting_.begin()->second);
      waiting_.erase(waiting_.begin());
      absl::Status removed = co_await RemovePath(env_.disk, path);
      if (!removed.ok()) {
        env_.logger.Warning("[storage] cannot remove {}: {}", path, std::string(removed.message()));
      }
      continue;
    }
    std::optional<Instant> due;
    if (!waiting_.empty()) due = waiting_.begin()->first;
    co_await changed_.Wait(due, token);
    changed_.Reset();
  }
}

}  // namespace millrace
