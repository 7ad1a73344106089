// Recovery: the journals, replayed into what was loaded.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "common/status_macros.h"
#include "storage/log_cut.h"
#include "storage/recovery.h"
#include "storage/segment_writer.h"

namespace millrace {

// The directory outlives the call. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<const Recovery::Survey*> Recovery::SurveyOf(LogDirectory& directory) {
  const auto [found, first] = surveys_.try_emplace(directory.path(), context_.env.reactor);
  Survey& survey = found->second;
  if (first) {
    survey.status =
        (co_await RecoverJournals(context_.env.disk, directory.path(), survey.journals)).status();
    survey.read.Set();
  }
  co_await survey.read.Wait();  // Logs are loaded beside each other.
  co_return &survey;
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> Recovery::AskJournals(Log::State& state, Loaded& loaded) {
  const Survey* survey = co_await SurveyOf(*state.directory);
  if (!survey->status.ok()) {
    // The directory goes offline, but not before all logs are known that it has.
    loaded.scanned.LimitTo(std::nullopt);
    co_return;
  }
  if (loaded.checkpoint == nullptr) {
    state.incarnation = survey->journals.LastOf(state.id).value_or(state.incarnation);
  }
  const JournalSurvey::Said said = survey->journals.Of(state.id, state.incarnation);
  loaded.cuts = said.cuts;
  loaded.scanned.LimitTo(said.appended);
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
    loaded.scanned.CutFrom(state.end);
  } else if (auto* reset = std::get_if<JournalReset>(&replay.entry)) {
    ++report_.entries_replayed;
    context_.writer->MarkDirty(state);
    MR_CO_RETURN_IF_ERROR(co_await CutAll(state, reset->start_offset));
    loaded.scanned.Clear();
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
// But where the files hold nothing, the last reset says where the log begins: power was lost between
// the removal of the old files and the beginning of the new one. A batch does not: who empties a log
// leaves a file that says where it goes on (MakeEmptyFile()), so what lies below a batch behind that was
// never on the disk, and nothing of it was acknowledged. Were the log to begin there, a follower
// would never ask its leader for what is missing.
// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::ReplayUnknown(Log::State& state, Loaded& loaded, JournalEntry entry) {
  if (auto* append = std::get_if<JournalAppend>(&entry)) {
    absl::StatusOr<BatchView> batch = BatchView::Parse(append->bytes);
    if (!batch.ok()) co_return batch.status();
    const bool left = batch->header().next_offset() <= loaded.cuts.kept_end;
    if (loaded.cuts.count > 1 || (loaded.cuts.count == 1 && !left)) co_return absl::OkStatus();
    co_return co_await ReplayAppend(state, loaded, std::move(*append));
  }
  if (std::holds_alternative<JournalDelete>(entry)) co_return absl::OkStatus();
  --loaded.cuts.count;
  const auto* reset = std::get_if<JournalReset>(&entry);
  if (reset == nullptr || loaded.cuts.count > 0) co_return absl::OkStatus();
  co_return co_await BeginUnknown(state, loaded, reset->start_offset);
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::BeginUnknown(Log::State& state, Loaded& loaded, Offset start) {
  if (state.start != state.end || start <= state.end) co_return absl::OkStatus();
  context_.env.logger.Info("[log {}] its files hold nothing: begun at {}, as its journal says",
                           state.path(), start);
  ++report_.entries_replayed;
  context_.writer->MarkDirty(state);
  MR_CO_RETURN_IF_ERROR(co_await CutAll(state, start));
  loaded.scanned.Clear();
  loaded.journaled.reset();
  loaded.start = start;
  co_return absl::OkStatus();
}

Task<absl::Status> Recovery::ReplayAppend(Log::State& state, Loaded& loaded, JournalAppend append) {
  absl::StatusOr<BatchView> batch = BatchView::Parse(append.bytes);
  if (!batch.ok()) co_return batch.status();
  const BatchHeader& header = batch->header();
  if (append.base_offset < state.end) {
    const bool same = loaded.scanned.Has(header);
    if (same && loaded.checkpoint == nullptr) {
      loaded.journaled =
          std::min(loaded.journaled.value_or(header.base_offset), header.base_offset);
    }
    // Below the recovery point it is in synced segments; above it, it was found when scanning.
    const bool vouched = append.base_offset < state.recovery_point;
    if (same || vouched || loaded.checkpoint == nullptr) co_return absl::OkStatus();
    context_.env.logger.Info("[log {}] the journal has another batch at {}: cut there",
                             state.path(), append.base_offset);
    MR_CO_RETURN_IF_ERROR(co_await CutEnd(state, append.base_offset));
    loaded.scanned.CutFrom(state.end);
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
  loaded.scanned.Add({header.base_offset, header.next_offset(), header.crc,
                      static_cast<uint32_t>(header.size_bytes), std::nullopt});
  if (!loaded.journaled.has_value()) loaded.journaled = header.base_offset;
  ++report_.entries_replayed;
  context_.writer->MarkDirty(state);
  co_return absl::OkStatus();
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::WriteJournaledAgain(LogDirectory& directory) {
  for (auto& [id, log] : logs_) {
    Log::State& state = log->state();
    const Loaded& loaded = loaded_.at(id);
    if (state.directory != &directory || loaded.checkpoint != nullptr) continue;
    const ScannedBatch* first = loaded.scanned.FirstUnsynced(loaded.journaled);
    // What the replay has added is not written again.
    if (first == nullptr || !first->position.has_value()) continue;
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
