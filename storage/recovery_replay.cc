// Recovery: the journals, replayed into what was loaded.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>
#include <variant>

#include "common/status_macros.h"
#include "storage/journal/journal.h"
#include "storage/journal/journal_frame.h"
#include "storage/log_cut.h"
#include "storage/recovery.h"
#include "storage/segment_writer.h"

namespace millrace {
namespace {

std::pair<TopicPartitionId, IncarnationId> OwnerOf(const JournalEntry& entry) {
  return std::visit([](const auto& one) { return std::pair(one.partition, one.incarnation); },
                    entry);
}

}  // namespace

// Whose the entries of each partition are, the last incarnation that has any, and how each was cut.
class Recovery::JournalSurvey final : public JournalVisitor {
 public:
  using Owner = std::pair<TopicPartitionId, IncarnationId>;

  Task<absl::Status> OnJournalEntry(JournalReplay replay) override {
    const Owner owner = OwnerOf(replay.entry);
    last_.insert_or_assign(owner.first, owner.second);
    if (const auto* truncate = std::get_if<JournalTruncate>(&replay.entry)) {
      AddCut(owner, truncate->end_offset);
    } else if (std::holds_alternative<JournalReset>(replay.entry)) {
      AddCut(owner, Offset(0));
    }
    co_return absl::OkStatus();
  }
  std::optional<IncarnationId> LastOf(const TopicPartitionId& partition) const {
    const auto found = last_.find(partition);
    return found == last_.end() ? std::nullopt : std::optional(found->second);
  }
  Cuts CutsOf(const Owner& owner) const {
    const auto found = cuts_.find(owner);
    return found == cuts_.end() ? Cuts() : found->second;
  }

 private:
  void AddCut(const Owner& owner, Offset kept_end) {
    Cuts& cuts = cuts_[owner];
    ++cuts.count;
    cuts.kept_end = kept_end;
  }

  std::map<TopicPartitionId, IncarnationId> last_;
  std::map<Owner, Cuts> cuts_;
};

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::AdoptIncarnations(LogDirectory& directory) {
  const auto unknown = [&](const auto& entry) {
    return entry.second->state().directory == &directory &&
           loaded_.at(entry.first).checkpoint == nullptr;
  };
  if (logs_unknown_ == 0 || std::ranges::none_of(logs_, unknown)) co_return absl::OkStatus();
  JournalSurvey survey;
  MR_CO_RETURN_IF_ERROR(
      (co_await RecoverJournals(context_.env.disk, directory.path(), survey)).status());
  for (const auto& entry : logs_) {
    if (!unknown(entry)) continue;
    const std::optional<IncarnationId> incarnation = survey.LastOf(entry.first);
    if (!incarnation.has_value()) continue;
    entry.second->state().incarnation = *incarnation;
    loaded_.at(entry.first).cuts = survey.CutsOf({entry.first, *incarnation});
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
  if (loaded.checkpoint == nullptr) {
    co_return co_await ReplayUnknown(state, loaded, std::move(replay.entry));
  }
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

// Without a checkpoint nothing says which entries the files have had already, and a cut of hours ago
// looks like one that a crash has interrupted. What was appended since may be in the files alone:
// batches that the journal does not take, and all of a topic that does not wait for the disk. So
// nothing in the files is given up for an entry:
//
//   1. Nothing is appended before a cut has ended and its checkpoint is stored (`cut_unstored`). So of
//      all cuts only the last may not have ended, and only where nothing was appended behind it.
//   2. What was appended before the last but one is therefore in synced files as far as any cut has
//      left it. So is what was appended between the two, if the last has ended; if not, the journal
//      may have it alone, and what the cut was to leave is wanted still.
//   3. A cut itself is not repeated. One that has not ended was never answered: whoever asked for it
//      finds the log as long as it is, and asks again.
//   4. Where the files have another batch than the journal, theirs is the later one: of a compaction,
//      or behind a cut.
//
// But where the files have nothing at all, the log begins where a reset says, or the first batch that
// the journal has: a reset or retention may have emptied it, and a power loss may have taken the file
// that was begun then. Were it not that but records of before, they were never durable, nor acknowledged.
// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::ReplayUnknown(Log::State& state, Loaded& loaded, JournalEntry entry) {
  if (auto* append = std::get_if<JournalAppend>(&entry)) {
    absl::StatusOr<BatchView> batch = BatchView::Parse(append->bytes);
    if (!batch.ok()) co_return batch.status();
    const bool left = batch->header().next_offset() <= loaded.cuts.kept_end;
    if (loaded.cuts.count > 1 || (loaded.cuts.count == 1 && !left)) co_return absl::OkStatus();
    MR_CO_RETURN_IF_ERROR(co_await BeginUnknown(state, loaded, append->base_offset));
    co_return co_await ReplayAppend(state, loaded, std::move(*append));
  }
  if (std::holds_alternative<JournalTruncate>(entry)) --loaded.cuts.count;
  if (const auto* reset = std::get_if<JournalReset>(&entry)) {
    --loaded.cuts.count;
    co_return co_await BeginUnknown(state, loaded, reset->start_offset);
  }
  co_return absl::OkStatus();
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::BeginUnknown(Log::State& state, Loaded& loaded, Offset start) {
  if (state.start != state.end || start <= state.end) co_return absl::OkStatus();
  context_.env.logger.Info("[log {}] its files hold nothing: begun at {}, as its journal says",
                           state.path(), start);
  ++report_.entries_replayed;
  context_.writer->MarkDirty(state);
  MR_CO_RETURN_IF_ERROR(co_await CutAll(state, start));
  loaded.scanned.clear();
  loaded.journaled.reset();
  loaded.start = start;
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
    if (same && loaded.checkpoint == nullptr) {
      loaded.journaled = std::min(loaded.journaled.value_or(at->base), at->base);
    }
    // Below the recovery point it is in synced segments; above it, it was found when scanning.
    const bool vouched = append.base_offset < state.recovery_point;
    if (same || vouched || loaded.checkpoint == nullptr) co_return absl::OkStatus();
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
  loaded.scanned.push_back({header.base_offset, header.next_offset(), header.crc,
                            static_cast<uint32_t>(header.size_bytes), std::nullopt});
  if (!loaded.journaled.has_value()) loaded.journaled = header.base_offset;
  ++report_.entries_replayed;
  context_.writer->MarkDirty(state);
  co_return absl::OkStatus();
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::WriteJournaledAgain(LogDirectory& directory) {
  const size_t bytes_max = Journal::Options().entry_bytes_max();
  for (auto& [id, log] : logs_) {
    Log::State& state = log->state();
    const Loaded& loaded = loaded_.at(id);
    if (state.directory != &directory || loaded.checkpoint != nullptr) continue;
    auto first = loaded.scanned.end();
    if (loaded.journaled.has_value()) {
      first = std::ranges::lower_bound(loaded.scanned, *loaded.journaled, {}, &ScannedBatch::base);
    }
    // Those in front of it that no journal takes may have waited for the same sync.
    while (first != loaded.scanned.begin() &&
           JournalAppendBytes(std::prev(first)->bytes) > bytes_max) {
      --first;
    }
    // What the replay has added is not written again.
    if (first == loaded.scanned.end() || !first->position.has_value()) continue;
    const Segment* holder = state.SegmentFor(first->base);
    if (holder == nullptr) continue;
    const Offset base = holder->base;
    for (size_t i = 0; i < state.segments.size(); ++i) {
      const Segment& segment = state.segments[i];
      if (segment.base < base) continue;
      const uint64_t begin = segment.base == base ? *first->position : 0;
      MR_CO_RETURN_IF_ERROR(co_await WriteAgain(state, segment.base, begin, segment.written));
    }
  }
  co_return absl::OkStatus();
}

}  // namespace millrace
