#include "storage/deferred_removals.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "common/status_macros.h"
#include "storage/log_files.h"

namespace millrace {
namespace {

// Delays are counted in nanoseconds: a century is as good as for ever.
constexpr int64_t kDelayMsMax = int64_t{100} * 365 * 24 * 3600 * 1000;

// A large file is let go in such parts, with such pauses. Where the file system tells the device
// what it no longer uses (mount option `discard`), a gigabyte at once holds up every synced write
// beside it for most of a second.
constexpr uint64_t kPartBytes = 8 << 20;
constexpr Duration kPause = milliseconds(20);

bool HoldsRecords(const std::string& path) {
  std::string_view name = path;
  if (name.ends_with(kDeletedSuffix)) name.remove_suffix(kDeletedSuffix.size());
  return name.ends_with(kLogSuffix);
}

}  // namespace

DeferredRemovals::DeferredRemovals(Env& env, const std::vector<std::string>& directories)
    : env_(env), scope_(env.reactor) {
  lanes_.emplace_back("", env.reactor);  // What is in none of them.
  for (const std::string& directory : directories) lanes_.emplace_back(directory, env.reactor);
}

size_t DeferredRemovals::size() const {
  size_t waiting = 0;
  for (const Lane& lane : lanes_) waiting += lane.waiting.size();
  return waiting;
}

DeferredRemovals::Lane& DeferredRemovals::LaneOf(const std::string& path) {
  Lane* found = &lanes_.front();
  for (Lane& lane : lanes_) {  // One may lie within another.
    const bool closer = lane.directory.size() > found->directory.size();
    if (closer && path.starts_with(lane.directory + '/')) found = &lane;
  }
  return *found;
}

// Of what happens to it here nothing is reported: if it cannot be cut, it goes as a whole.
Task<void> DeferredRemovals::Shrink(std::string path) {
  auto file = co_await env_.disk.Open(std::move(path), OpenOptions{});
  if (!file.ok()) co_return;
  absl::StatusOr<uint64_t> size = co_await (*file)->Size();
  const absl::StatusOr<uint64_t> links = co_await (*file)->Links();
  // A backup may be made of links.
  absl::Status cut = links.ok() && *links != 1 ? absl::CancelledError("linked") : links.status();
  cut.Update(size.status());
  while (cut.ok() && *size > kPartBytes && !scope_.stopping()) {
    *size -= kPartBytes;
    cut = co_await (*file)->Truncate(*size);
    co_await Sleep(env_.reactor, kPause, scope_.token());
  }
  (co_await (*file)->Close()).IgnoreError();
}

Task<absl::Status> DeferredRemovals::RemovePath(std::string path) {
  if (HoldsRecords(path)) co_await Shrink(path);
  absl::Status removed = co_await env_.disk.Remove(path);
  if (absl::IsFailedPrecondition(removed)) {  // A folder that is not empty.
    auto entries = co_await env_.disk.List(path);
    if (!entries.ok()) co_return entries.status();
    for (const DirectoryEntry& entry : *entries) {
      // Partition folders hold no folders.
      std::string file = JoinPath(path, entry.name);
      if (entry.size > kPartBytes) co_await Shrink(file);
      if (scope_.stopping()) co_return absl::OkStatus();
      removed = co_await env_.disk.Remove(std::move(file));
      if (!removed.ok() && !absl::IsNotFound(removed)) co_return removed;
    }
    removed = co_await env_.disk.Remove(path);
  }
  co_return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

void DeferredRemovals::Start() {
  for (Lane& lane : lanes_) scope_.Spawn(Run(&lane), SchedClass::kHousekeeping);
}

Task<void> DeferredRemovals::Stop() { co_await scope_.Stop(); }

void DeferredRemovals::Add(std::string path, int64_t delay_ms) {
  const Duration delay = milliseconds(std::clamp<int64_t>(delay_ms, 0, kDelayMsMax));
  const Instant due = env_.reactor.Now() + delay;
  Lane& lane = LaneOf(path);
  const bool first = lane.waiting.empty() || due < lane.waiting.begin()->first;
  lane.waiting.emplace(due, std::move(path));
  if (first) lane.changed.Set();
}

Task<void> DeferredRemovals::Run(Lane* lane) {
  std::multimap<Instant, std::string>& waiting = lane->waiting;
  CancellationToken token = scope_.token();
  while (!scope_.stopping()) {
    if (!waiting.empty() && waiting.begin()->first <= env_.reactor.Now()) {
      std::string path = std::move(waiting.begin()->second);
      waiting.erase(waiting.begin());
      absl::Status removed = co_await RemovePath(path);
      if (!removed.ok()) {
        env_.logger.Warning("[storage] cannot remove {}: {}", path, std::string(removed.message()));
      }
      continue;
    }
    std::optional<Instant> due;
    if (!waiting.empty()) due = waiting.begin()->first;
    co_await lane->changed.Wait(due, token);
    lane->changed.Reset();
  }
}

}  // namespace millrace
