// Recovery: the journals, replayed into what was loaded.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <variant>

#include "common/status_macros.h"
#include "storage/log_cut.h"
#include "storage/recovery.h"
#include "storage/segment_writer.h"

namespace millrace {
namespace {

std::pair<TopicPartitionId, IncarnationId> OwnerOf(const JournalEntry& entry) {
  return std::visit([](const auto& one) { return std::pair(one.partition, one.incarnation); },
                    entry);
}

// Whose the entries of each partition are: the last incarnation that has any.
class LastIncarnations final : public JournalVisitor {
 public:
  Task<absl::Status> OnJournalEntry(JournalReplay replay) override {
    const auto [partition, incarnation] = OwnerOf(replay.entry);
    last_.insert_or_assign(partition, incarnation);
    co_return absl::OkStatus();
  }
  std::optional<IncarnationId> Of(const TopicPartitionId& partition) const {
    const auto found = last_.find(partition);
    return found == last_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  std::map<TopicPartitionId, IncarnationId> last_;
};

}  // namespace

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::AdoptIncarnations(LogDirectory& directory) {
  const auto unknown = [&](const auto& entry) {
    return entry.second->state().directory == &directory &&
           loaded_.at(entry.first).checkpoint == nullptr;
  };
  if (logs_unknown_ == 0 || std::ranges::none_of(logs_, unknown)) co_return absl::OkStatus();
  LastIncarnations last;
  MR_CO_RETURN_IF_ERROR(
      (co_await RecoverJournals(context_.env.disk, directory.path(), last)).status());
  for (const auto& entry : logs_) {
    if (!unknown(entry)) continue;
    const std::optional<IncarnationId> incarnation = last.Of(entry.first);
    if (incarnation.has_value()) entry.second->state().incarnation = *incarnation;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Recovery::OnJournalEntry(JournalReplay replay) {
  const auto [partition, incarnation] = OwnerOf(replay.entry);
  auto found = logs_.find(partition);
  if (found == logs_.end()) co_return absl::OkStatus();  // Deleted since, or another shard's.
  Log::State& state = found->second->state();
  if (state.incarnation != incarnation || state.directory != replaying_) {
    co_return absl::OkStatus();
  }
  Loaded& loaded = loaded_.at(partition);
  if (loaded.checkpoint != nullptr && loaded.checkpoint->journal_generation == replay.generation &&
      replay.position <= loaded.checkpoint->journal_position) {
    co_return absl::OkStatus();  // The checkpoint has seen it.
  }
  state.replayed_generation = replay.generation;
  state.replayed_position = replay.position;
  if (auto* append = std::get_if<JournalAppend>(&replay.entry)) {
    co_return co_await ReplayAppend(state, loaded, std::move(*append));
  }
  if (auto* truncate = std::get_if<JournalTruncate>(&replay.entry)) {
    if (truncate->end_offset >= state.end) co_return absl::OkStatus();
    ++report_.entries_replayed;
    context_.writer->MarkDirty(state);
    MR_CO_RETURN_IF_ERROR(co_await CutEnd(state, truncate->end_offset));
    std::erase_if(loaded.scanned,
                  [&](const ScannedBatch& batch) { return batch.base >= state.end; });
  } else if (auto* reset = std::get_if<JournalReset>(&replay.entry)) {
    ++report_.entries_replayed;
    context_.writer->MarkDirty(state);
    MR_CO_RETURN_IF_ERROR(co_await CutAll(state, reset->start_offset));
    loaded.scanned.clear();
    loaded.start = reset->start_offset;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Recovery::ReplayAppend(Log::State& state, Loaded& loaded, JournalAppend append) {
  absl::StatusOr<BatchView> batch = BatchView::Parse(append.bytes);
  if (!batch.ok()) co_return batch.status();
  const BatchHeader& header = batch->header();
  if (append.base_offset < state.end) {
    auto at = std::ranges::lower_bound(loaded.scanned, header.base_offset, {}, &ScannedBatch::base);
    const bool same = at != loaded.scanned.end() && at->base == header.base_offset &&
                      at->next == header.next_offset() && at->crc == header.crc;
    if (same && loaded.checkpoint == nullptr &&
        (!loaded.journaled.has_value() || at->base < loaded.journaled->base)) {
      loaded.journaled = *at;
    }
    // Below the recovery point it is in synced segments; above it, it was found when scanning.
    if (same || append.base_offset < state.recovery_point) co_return absl::OkStatus();
    context_.env.logger.Info("[log {}] the journal has another batch at {}: cut there",
                             state.path(), append.base_offset);
    MR_CO_RETURN_IF_ERROR(co_await CutEnd(state, append.base_offset));
    std::erase_if(loaded.scanned, [&](const ScannedBatch& old) { return old.base >= state.end; });
  }
  if (append.base_offset != state.end || header.base_offset < state.end) {
    // What lies between was never durable, so neither was this acknowledged (durable_end advances
    // in order), nor is anything behind it.
    co_return absl::OkStatus();
  }
  while (!context_.pending.TryAcquire(append.bytes.size())) {
    MR_CO_RETURN_IF_ERROR(co_await MakeRoom());
  }
  AppendReplayed(state, *batch);
  loaded.scanned.push_back({header.base_offset, header.next_offset(), header.crc, /*position=*/0});
  ++report_.entries_replayed;
  context_.writer->MarkDirty(state);
  co_return absl::OkStatus();
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::WriteJournaledAgain(LogDirectory& directory) {
  for (auto& [id, log] : logs_) {
    Log::State& state = log->state();
    const std::optional<ScannedBatch>& first = loaded_.at(id).journaled;
    if (state.directory != &directory || !first.has_value() || first->base >= state.end) continue;
    // What the replay has cut off since is not written again, nor is what it has added.
    const Offset base = state.SegmentFor(first->base)->base;
    for (size_t i = 0; i < state.segments.size(); ++i) {
      const Segment& segment = state.segments[i];
      if (segment.base < base) continue;
      const uint64_t begin = segment.base == base ? first->position : 0;
      MR_CO_RETURN_IF_ERROR(co_await WriteAgain(state, segment.base, begin, segment.written));
    }
  }
  co_return absl::OkStatus();
}

}  // namespace millrace
