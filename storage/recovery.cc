#include "storage/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/error_kind.h"
#include "common/runtime/task_scope.h"
#include "common/status_macros.h"
#include "storage/log_cut.h"
#include "storage/log_files.h"
#include "storage/producer/producer_snapshot.h"
#include "storage/producer_expiry.h"
#include "storage/producer_recovery.h"
#include "storage/segment/segment_scanner.h"
#include "storage/segment_aborted.h"
#include "storage/segment_swap.h"
#include "storage/segment_writer.h"

namespace millrace {
namespace {

// Loaded beside each other, because some of their logs have to be read.
constexpr size_t kFoldersAtOnce = 16;
// Listed by one call, because most of them are not.
constexpr size_t kFoldersPerCall = 64;
constexpr size_t kSmallFileBytesMax = 16 << 20;

// What a crash may leave of work on files that did not finish.
bool IsLeftover(std::string_view name) {
  return name.ends_with(kDeletedSuffix) || name.ends_with(kCleanedSuffix) || name.ends_with(".tmp");
}

}  // namespace

Task<absl::Status> Recovery::Run() {
  Listings listings;
  MR_CO_RETURN_IF_ERROR(co_await ReadAll(&listings));
  for (LogDirectory* directory : context_.directories) {
    if (!directory->failure().ok()) continue;
    absl::Status& listed = listings.at(directory);
    if (!listed.ok()) co_await Abandon(*directory, std::move(listed));
  }
  for (LogDirectory* directory : context_.directories) {
    if (!directory->failure().ok()) continue;
    absl::Status settled = co_await SettleFutures(*directory);
    if (!settled.ok()) co_await Abandon(*directory, std::move(settled));
  }
  for (LogDirectory* directory : context_.directories) {
    if (!directory->failure().ok()) continue;
    absl::Status loaded = co_await LoadDirectory(*directory);
    if (!loaded.ok()) co_await Abandon(*directory, std::move(loaded));
  }
  for (LogDirectory* directory : context_.directories) {
    if (!directory->failure().ok()) continue;
    replaying_ = directory;
    const auto survey = surveys_.find(directory->path());
    absl::Status replayed = survey == surveys_.end() ? absl::OkStatus() : survey->second.status;
    if (replayed.ok()) {
      replayed = (co_await RecoverJournals(context_.env.disk, directory->path(), *this)).status();
    }
    if (absl::IsUnimplemented(replayed)) co_return replayed;
    if (replayed.ok()) replayed = co_await WriteJournaledAgain(*directory);
    if (!replayed.ok()) co_await Abandon(*directory, std::move(replayed));
  }
  for (LogDirectory* directory : context_.directories) {
    if (!directory->failure().ok()) continue;
    absl::Status applied = co_await ApplyStarts(*directory);
    if (!applied.ok()) co_await Abandon(*directory, std::move(applied));
  }
  loaded_.clear();
  listed_.clear();
  for (LogDirectory* directory : context_.directories) {
    if (directory->was_clean() || !directory->failure().ok()) continue;
    absl::Status synced = co_await context_.env.disk.SyncDirectory(directory->path());
    if (!synced.ok()) co_await Abandon(*directory, std::move(synced));
  }
  // What fails here takes the log's directory offline.
  for (bool again = true; again;) {
    again = false;
    absl::Status settled = co_await context_.writer->CheckpointAll(/*complete=*/false);
    if (!absl::IsResourceExhausted(settled)) break;
    // What was replayed finds no room, and its journal must stay until it does.
    for (LogDirectory* directory : context_.directories) {
      if (!directory->full() || !directory->failure().ok()) continue;
      co_await Abandon(*directory, settled);
      again = true;
    }
    if (!again) co_return settled;
  }
  for (LogDirectory* directory : context_.directories) {
    if (!directory->failure().ok()) co_await Abandon(*directory, directory->failure());
  }
  for (auto& [id, log] : logs_) {
    Log::State& state = log->state();
    state.durable = state.end;
    MR_CO_RETURN_IF_ERROR(co_await RemoveSegmentsBelowStart(state, /*delay_ms=*/0));
  }
  FindOffline();
  report_.logs = logs_.size();
  co_return co_await RemoveStaleCheckpoints();
}

Task<absl::Status> Recovery::ReadCheckpoints() {
  auto entries = co_await context_.kv.ScanAll(KvRange::Prefix(KvSpace::kLogCheckpoint, ""));
  if (!entries.ok()) co_return entries.status();
  checkpointed_.reserve(entries->size());
  for (const KvEntry& entry : *entries) {
    absl::StatusOr<TopicPartitionId> id = ParseLogCheckpointKey(entry.key);
    if (!id.ok()) co_return id.status();
    absl::StatusOr<LogCheckpoint> checkpoint = DecodeLogCheckpoint(entry.value);
    if (!checkpoint.ok()) {
      // Without it the log is read whole; nothing is lost but time.
      context_.env.logger.Warning("[log {}-{}] unreadable checkpoint, the log will be scanned: {}",
                                  id->topic_id, id->partition,
                                  std::string(checkpoint.status().message()));
      continue;
    }
    std::string folder = PartitionDirectoryName(checkpoint->topic, id->partition);
    // They come in the order of ids.
    auto known = checkpoints_.emplace_hint(checkpoints_.end(), *id, Known{*std::move(checkpoint)});
    auto [named, first] = checkpointed_.emplace(std::move(folder), &*known);
    if (!first) named->second = nullptr;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Recovery::LoadDirectory(LogDirectory& directory) {
  Loading loading{.directory = &directory, .folders = {}};
  bool all_known = true;
  const std::set<std::string>& folders = listed_[directory.path()].folders;
  loading.folders.reserve(folders.size());
  for (const std::string& folder : folders) {
    loading.folders.push_back(
        {folder, *ParsePartitionDirectoryName(folder), CheckpointedIn(directory, folder)});
    all_known = all_known && loading.folders.back().checkpointed != nullptr;
  }
  loaded_.reserve(loaded_.size() + folders.size());
  starts_.clear();
  if (!all_known) co_await ReadStarts(directory);
  TaskScope group(context_.env.reactor);
  for (size_t i = 0; i < kFoldersAtOnce; ++i) group.Spawn(LoadFolders(&loading));
  co_await group.Join();
  co_return loading.result;
}

Task<void> Recovery::LoadFolders(Loading* loading) {
  LogDirectory& directory = *loading->directory;
  while (loading->result.ok() && loading->next < loading->folders.size()) {
    // Of few folders each takes one, so that their logs are read beside each other.
    const size_t left = loading->folders.size() - loading->next;
    const size_t count = std::clamp<size_t>(left / kFoldersAtOnce, 1, kFoldersPerCall);
    std::vector<Folder> ours;
    std::vector<std::string> names;
    const size_t end = loading->next + count;
    for (size_t at = std::exchange(loading->next, end); at < end; ++at) {
      auto& [name, place, checkpointed] = loading->folders[at];
      absl::StatusOr<TopicPartitionId> id = TopicPartitionId{Uuid(0, 0), place.partition};
      if (checkpointed != nullptr) {
        // One checkpoint with that name: it is that one. This saves a file per partition.
        id = checkpointed->first;
      } else {
        id = co_await IdOf(directory, name, place.partition);
      }
      if (!id.ok()) {
        context_.env.logger.Warning("[dir {}] {} is no partition and is left alone: {}",
                                    directory.path(), name, std::string(id.status().message()));
        continue;
      }
      if (ShardOf(*id, context_.options.shards) != context_.options.shard) continue;
      names.push_back(name);
      ours.push_back({*id, KnownOf(*id, checkpointed), std::move(place.topic), std::move(name)});
    }
    auto lists = co_await context_.env.disk.ListEach(directory.path(), std::move(names));
    for (size_t i = 0; i < ours.size() && loading->result.ok(); ++i) {
      absl::Status loaded = lists[i].status();
      if (loaded.ok()) {
        loaded = co_await LoadFolder(directory, std::move(ours[i]), *std::move(lists[i]));
      }
      loading->result.Update(loaded);
    }
  }
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> Recovery::ReadStarts(LogDirectory& directory) {
  auto text = co_await ReadWholeFile(context_.env.disk, JoinPath(directory.path(), kLogStartFile),
                                     kSmallFileBytesMax);
  if (absl::IsNotFound(text.status())) co_return;
  absl::StatusOr<std::vector<OffsetCheckpointEntry>> entries =
      text.ok() ? ParseOffsetCheckpoint(text->view()) : text.status();
  if (!entries.ok()) {
    // As Kafka: logs then start where their first segment does.
    context_.env.logger.Warning("[dir {}] {} is left aside: {}", directory.path(), kLogStartFile,
                                std::string(entries.status().message()));
    co_return;
  }
  for (const OffsetCheckpointEntry& entry : *entries) {
    starts_.emplace(PartitionDirectoryName(entry.topic, entry.partition), entry.offset);
  }
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<TopicPartitionId>> Recovery::IdOf(LogDirectory& directory, std::string folder,
                                                      PartitionId partition) {
  const std::string path = JoinPath(JoinPath(directory.path(), folder), kPartitionMetadataFile);
  auto text = co_await ReadWholeFile(context_.env.disk, path, kSmallFileBytesMax);
  if (!text.ok()) co_return text.status();
  absl::StatusOr<TopicId> topic_id = ParsePartitionMetadata(text->view());
  if (!topic_id.ok()) co_return topic_id.status();
  co_return TopicPartitionId{*topic_id, partition};
}

Task<absl::Status> Recovery::LoadFolder(LogDirectory& directory, Folder folder,
                                        std::vector<DirectoryEntry> entries) {
  const TopicPartitionId id = folder.id;
  Known* known = folder.known;
  Loaded loaded{known == nullptr ? nullptr : &known->checkpoint, {}, Offset(0)};
  auto [place, is_first] = logs_.try_emplace(id);
  if (!is_first || IsElsewhere(directory, loaded.checkpoint, folder.name)) {
    if (is_first) logs_.erase(place);
    context_.env.logger.Warning("[dir {}] {} is a second copy of a partition and is left alone",
                                directory.path(), folder.name);
    co_return absl::OkStatus();
  }
  const IncarnationId incarnation = loaded.checkpoint != nullptr ? loaded.checkpoint->incarnation
                                                                 : context_.env.random.NextUuid();
  auto state =
      std::make_unique<Log::State>(context_, directory, id, std::move(folder.topic), incarnation,
                                   context_.next_log_number++, LogConfig(), Offset(0));
  Log::State& log_state = *state;
  place->second = std::make_unique<Log>(std::move(state));
  if (known != nullptr) known->loaded = true;
  ++directory.log_count;
  std::vector<Offset> snapshots;
  auto settled = co_await SettleSwaps(context_.env, log_state.path(), std::move(entries));
  if (!settled.ok()) co_return settled.status();
  for (const DirectoryEntry& entry : *settled) {
    if (auto at = ParseSegmentFileName(entry.name, kSnapshotSuffix)) snapshots.push_back(*at);
  }
  absl::Status result =
      co_await LoadSegments(log_state, loaded, directory.was_clean(), *std::move(settled));
  if (result.ok()) result = co_await RemoveStraySnapshots(log_state, std::move(snapshots));
  if (!log_state.producers.empty()) context_.expiry->Schedule(log_state);
  loaded_.emplace(id, std::move(loaded));
  co_return result;
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::FindSegments(Log::State& state, std::vector<DirectoryEntry> entries) {
  for (const DirectoryEntry& entry : entries) {
    if (entry.is_directory) continue;
    if (IsLeftover(entry.name)) {
      MR_CO_RETURN_IF_ERROR(co_await context_.env.disk.Remove(JoinPath(state.path(), entry.name)));
      continue;
    }
    std::optional<Offset> base = ParseSegmentFileName(entry.name, kLogSuffix);
    if (!base) continue;
    Segment& segment = state.segments.emplace_back(*base, context_.env.clock.Now());
    segment.size = segment.written = segment.synced = entry.size;
    segment.file_exists = true;
    segment.sealed = true;
    segment.index_state = IndexState::kAbsent;
    segment.times_known = false;
  }
  // The list was sorted by name, and names have 20 digits.
  for (size_t i = 0; i + 1 < state.segments.size(); ++i) {
    state.segments[i].next = state.segments[i].written_next = state.segments[i + 1].base;
  }
  std::vector<std::string> lost;
  for (const DirectoryEntry& entry : entries) {
    for (std::string_view suffix : {kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix}) {
      const std::optional<Offset> of = ParseSegmentFileName(entry.name, suffix);
      if (!of || entry.is_directory) continue;
      Segment* segment = state.FindSegment(*of);
      if (segment == nullptr) {
        lost.push_back(entry.name);
      } else if (entry.size > 0) {
        (suffix == kTxnIndexSuffix ? segment->aborted.state : segment->index_state) =
            IndexState::kUnchecked;
      }
    }
  }
  co_return co_await RemoveLostIndexes(state, std::move(lost));
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::RemoveLostIndexes(Log::State& state, std::vector<std::string> names) {
  if (names.empty()) co_return absl::OkStatus();
  for (const std::string& name : names) {
    MR_CO_RETURN_IF_ERROR(co_await context_.env.disk.Remove(JoinPath(state.path(), name)));
  }
  co_return co_await context_.env.disk.SyncDirectory(state.path());
}

Task<absl::Status> Recovery::LoadSegments(Log::State& state, Loaded& loaded, bool clean,
                                          std::vector<DirectoryEntry> entries) {
  const LogCheckpoint* known = loaded.checkpoint;
  MR_CO_RETURN_IF_ERROR(co_await FindSegments(state, std::move(entries)));
  // After kill -9 the kernel still shows names that a power loss would take, and what Kafka wants
  // to find after a clean stop is of the one before.
  state.names_unsynced = !clean;
  state.files_stale = !clean && !state.segments.empty();
  if (known == nullptr) co_return co_await LoadUnknown(state, loaded, clean);

  loaded.start = known->log_start;
  state.checkpoint_segment = known->segment_base;
  state.cleaned_to = known->cleaned_to.value_or(Offset(0));
  absl::StatusOr<LeaderEpochCache> epochs = LeaderEpochCache::Decode(known->epochs);
  if (!known->epochs.empty() && epochs.ok()) state.epochs = *std::move(epochs);
  absl::StatusOr<ProducerState> producers = ProducerState();
  if (!known->producers.empty()) {
    producers =
        DecodeProducerSnapshot(std::span(reinterpret_cast<const uint8_t*>(known->producers.data()),
                                         known->producers.size()),
                               context_.env.clock.Now());
  }
  Segment* segment = state.FindSegment(known->segment_base);
  const bool reaches = (segment == nullptr ? 0 : segment->size) >= known->position;
  if (!reaches || !producers.ok()) {
    state.cleaned_to = Offset(0);
    // Files are missing or shorter than what was synced: someone else's work, or a cut that a crash
    // interrupted (the journal then repeats it). Believe the files.
    context_.env.logger.Warning(
        "[log {}] {} its recovery point {}, scanning all of it", state.path(),
        reaches ? "cannot read the producers of" : "does not reach", known->recovery_point);
    state.epochs.Clear();
    co_return co_await LoadUnknown(state, loaded, /*clean=*/false);
  }
  state.producers = *std::move(producers);
  state.end = state.written_end = state.synced_end = state.recovery_point = known->recovery_point;
  // The start may have been moved beyond the recovery point; it takes effect when the rest is here.
  state.start = std::min(loaded.start, state.recovery_point);
  // In front of a log's first segment there is nothing to tell.
  const bool begins_anew = known->position == 0 && known->segment_base > Offset(0);
  if (segment == nullptr) {
    // Nothing of the active segment was synced; what lies behind it has lost what it followed.
    const auto behind =
        std::ranges::upper_bound(state.segments, known->segment_base, {}, &Segment::base);
    if (behind != state.segments.end()) {
      MR_CO_RETURN_IF_ERROR(
          co_await DropSegmentsFrom(state, static_cast<size_t>(behind - state.segments.begin())));
    }
    if (!state.segments.empty()) {
      state.segments.back().next = state.segments.back().written_next = known->segment_base;
    }
    Segment& begun = state.segments.emplace_back(known->segment_base, known->segment_created);
    // Its snapshot waited for its first bytes, and was lost with the process.
    if (begins_anew) begun.producer_snapshot = EncodeProducerSnapshot(state.producers);
    // Emptied by a version that left such a log without a file: it gets one.
    if (begun.base > Offset(0)) context_.writer->MarkDirty(state);
    co_return absl::OkStatus();
  }
  if (begins_anew) segment->producer_snapshot = EncodeProducerSnapshot(state.producers);
  segment->created = known->segment_created;
  segment->first_timestamp = known->first_timestamp;
  segment->max_time = known->max_time;
  segment->times_known = true;
  const size_t index = static_cast<size_t>(segment - state.segments.data());
  co_return co_await ScanFrom(state, loaded, index, known->position, /*gaps_allowed=*/false);
}

Task<absl::Status> Recovery::LoadUnknown(Log::State& state, Loaded& loaded, bool clean) {
  co_await AskJournals(state, loaded);
  if (state.segments.empty()) {
    state.segments.emplace_back(loaded.start, context_.env.clock.Now());
    state.start = state.end = state.written_end = state.synced_end = state.recovery_point =
        loaded.start;
    context_.writer->MarkDirty(state);
    co_return absl::OkStatus();
  }
  state.start = state.segments.front().base;
  loaded.start = std::max(loaded.start, state.start);
  const Offset stored = loaded.start;
  if (loaded.checkpoint == nullptr) {
    auto said = starts_.find(PartitionDirectoryName(state.topic, state.id.partition));
    if (said != starts_.end()) loaded.start = std::max(loaded.start, said->second);
  }
  // A clean stop of another broker: only the active segment's end is not in any name.
  size_t first = clean ? state.segments.size() - 1 : 0;
  // Segments below the start were removed, and a power loss has brought them back, perhaps without
  // the snapshots in front of them: the one in front of the start knows more than they do. What
  // kLogStartFile says may be of another log, and nothing is left unread for it.
  while (first + 1 < state.segments.size() && state.segments[first + 1].base <= stored) {
    ++first;
  }
  const Offset from = state.segments[first].base;
  state.end = state.written_end = state.synced_end = state.recovery_point = from;
  if (clean) {
    auto text = co_await ReadWholeFile(context_.env.disk, JoinPath(state.path(), kLeaderEpochFile),
                                       kSmallFileBytesMax);
    if (text.ok()) {
      absl::StatusOr<LeaderEpochCache> epochs = LeaderEpochCache::Decode(text->view());
      if (epochs.ok()) state.epochs = *std::move(epochs);
    }
  }
  state.files_stale = true;
  // Below `from` only what snapshots and segments say; the scan adds the rest.
  MR_CO_RETURN_IF_ERROR(co_await RebuildProducers(state, from));
  if (from > Offset(0)) {
    state.segments[first].producer_snapshot = EncodeProducerSnapshot(state.producers);
  }
  context_.writer->MarkDirty(state);
  co_return co_await ScanFrom(state, loaded, first, 0, /*gaps_allowed=*/true);
}

Task<absl::Status> Recovery::ScanFrom(Log::State& state, Loaded& loaded, size_t index,
                                      uint64_t position, bool gaps_allowed) {
  const Timestamp now = context_.env.clock.Now();
  for (;; ++index, position = 0) {
    const uint64_t size = state.segments[index].size;
    const Offset base = state.segments[index].base;
    std::string defect;
    uint64_t sound_end = position;
    // What is read adds them again. A snapshot knows no transaction that has ended before it
    // either.
    const bool whole = position == 0;
    MR_CO_RETURN_IF_ERROR(co_await CutAborted(state, base, whole ? base : state.end,
                                              whole ? 0 : loaded.checkpoint->aborted_transactions));
    state.producers.OnCommitted(state.end);
    if (size > position) {
      auto file = co_await context_.files.Acquire(state.SegmentPath(base, kLogSuffix), false);
      if (!file.ok()) co_return file.status();
      SegmentScanner scanner(**file, {.begin = position, .end = size, .offset_min = state.end});
      for (;;) {
        auto batch = co_await scanner.Next();
        if (!batch.ok()) co_return batch.status();
        if (!batch->has_value()) break;
        const BatchHeader& header = (*batch)->header();
        Segment& segment = state.segments[index];
        if (scanner.batch_position() == 0) segment.first_timestamp = header.max_timestamp;
        if (segment.times_known && header.record_count > 0 &&
            (!segment.max_time || header.max_timestamp > segment.max_time->timestamp)) {
          segment.max_time = TimeIndexEntry{header.max_timestamp, header.last_offset()};
        }
        auto completed = state.producers.ApplyBatch(**batch, now);
        if (completed && completed->aborted) segment.aborted.Add(AbortedOf(*completed));
        if (header.leader_epoch) state.epochs.Assign(*header.leader_epoch, header.base_offset);
        loaded.scanned.Add({header.base_offset, header.next_offset(), header.crc,
                            static_cast<uint32_t>(header.size_bytes),
                            static_cast<uint32_t>(scanner.batch_position())});
        state.end = header.next_offset();
      }
      sound_end = scanner.position();
      defect = scanner.defect();
      report_.bytes_scanned += sound_end - position;
    }
    MR_CO_RETURN_IF_ERROR(
        co_await WriteAgain(state, base, VouchedFor(loaded, base, position), sound_end));
    Segment& segment = state.segments[index];
    segment.size = segment.written = sound_end;
    segment.synced = position;  // What was scanned may be in the page cache only.
    segment.next = segment.written_next = state.end;
    state.written_end = state.end;
    const bool last = index + 1 == state.segments.size();
    // Behind our recovery point segments follow each other: one that does not was made by a life
    // whose earlier writes were lost. Elsewhere compaction, or another broker, may leave gaps, but
    // not in front of an empty segment.
    const bool gap = !last && state.segments[index + 1].base != state.end &&
                     (!gaps_allowed || state.segments[index + 1].size == 0);
    if (sound_end < size || gap) {
      context_.env.logger.Info("[log {}] cut at {}, {} bytes of {} dropped: {}", state.path(),
                               state.end, size - sound_end, SegmentFileName(base, kLogSuffix),
                               defect.empty() ? "the next segment does not follow" : defect);
      ++report_.logs_cut;
      if (sound_end < size) {
        auto file = co_await context_.files.Acquire(state.SegmentPath(base, kLogSuffix), true);
        if (!file.ok()) co_return file.status();
        MR_CO_RETURN_IF_ERROR(co_await (*file)->Truncate(sound_end));
        // Or a later crash brings back whole batches from behind the torn one.
        MR_CO_RETURN_IF_ERROR(co_await (*file)->Sync());
      }
      // A segment without one sound batch says nothing about where the log ends.
      const bool hollow = sound_end == 0 && index > 0;
      MR_CO_RETURN_IF_ERROR(co_await DropSegmentsFrom(state, hollow ? index : index + 1));
      if (hollow) state.end = state.written_end = state.segments.back().next;
      context_.writer->MarkDirty(state);
      break;
    }
    if (last) break;
    state.end = state.written_end = state.segments[index + 1].base;
    // Its snapshot, if there was one, is of batches that were not synced then: made anew from
    // these.
    state.segments[index + 1].producer_snapshot = EncodeProducerSnapshot(state.producers);
  }
  state.active().sealed = false;
  if (state.end > state.recovery_point) context_.writer->MarkDirty(state);
  co_return absl::OkStatus();
}

uint64_t Recovery::VouchedFor(const Loaded& loaded, Offset base, uint64_t position) {
  // It is another broker's, whose promises are not ours to keep, or the store with its checkpoint is
  // gone. The log may be large, and of what a checkpoint had not covered there is a copy in the
  // journal: that tells what to write again (WriteJournaledAgain()).
  if (loaded.checkpoint == nullptr) return UINT64_MAX;
  if (base < loaded.checkpoint->segment_base) return UINT64_MAX;
  return base == loaded.checkpoint->segment_base ? std::max(position, loaded.checkpoint->position)
                                                 : position;
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::WriteAgain(Log::State& state, Offset base, uint64_t begin,
                                        uint64_t end) {
  if (begin >= end) co_return absl::OkStatus();
  auto file = co_await context_.files.Acquire(state.SegmentPath(base, kLogSuffix), true);
  if (!file.ok()) co_return file.status();
  for (uint64_t at = begin; at < end;) {
    const size_t wanted = std::min<uint64_t>(kScanWindowBytes, end - at);
    absl::StatusOr<Slice> bytes = co_await (*file)->ReadAt(at, wanted, ReadHint::kNormal);
    if (!bytes.ok()) co_return bytes.status();
    // The scan has just read it.
    if (bytes->empty()) co_return absl::DataLossError("a segment became shorter while it was read");
    const uint64_t next = at + bytes->size();
    MR_CO_RETURN_IF_ERROR(co_await (*file)->WriteAt(at, Chain(*std::move(bytes)), WriteFlags{}));
    at = next;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Recovery::DropSegmentsFrom(Log::State& state, size_t index) {
  while (state.segments.size() > index) {
    const Offset base = state.segments.back().base;
    state.segments.pop_back();
    for (std::string_view suffix : {kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix, kLogSuffix}) {
      const std::string path = state.SegmentPath(base, suffix);
      context_.files.Forget(path);
      absl::Status removed = co_await context_.env.disk.Remove(path);
      if (!removed.ok() && !absl::IsNotFound(removed)) co_return removed;
    }
  }
  co_return co_await context_.env.disk.SyncDirectory(state.path());
}

Task<absl::Status> Recovery::ApplyStarts(LogDirectory& directory) {
  for (auto& [id, log] : logs_) {
    if (log->state().directory != &directory) continue;
    MR_CO_RETURN_IF_ERROR(co_await ApplyStart(log->state(), loaded_.at(id)));
  }
  co_return absl::OkStatus();
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> Recovery::ApplyStart(Log::State& state, const Loaded& loaded) {
  Offset start = loaded.start;
  if (!state.segments.empty() && start < state.segments.front().base) {
    context_.env.logger.Warning("[log {}] records [{}, {}) are missing; it starts behind them",
                                state.path(), start, state.segments.front().base);
    start = state.segments.front().base;
  }
  if (start <= state.start) co_return absl::OkStatus();
  if (start <= state.end) {
    state.start = start;
    state.epochs.TruncateFromStart(start);
    co_return absl::OkStatus();
  }
  if (loaded.checkpoint == nullptr) {
    // A log-start-offset-checkpoint names a topic and not its id: it may be of one that had that name
    // before, and is not worth a record.
    context_.env.logger.Warning("[log {}] ends at {}, and {} says that it starts at {}: left aside",
                                state.path(), state.end, kLogStartFile, start);
    co_return absl::OkStatus();
  }
  // Records below the start that a power loss took, of a topic that does not wait for the disk.
  // Their offsets were given out and are not given out again.
  context_.env.logger.Info("[log {}] ends at {}, below its start {}: begun anew there",
                           state.path(), state.end, start);
  context_.writer->MarkDirty(state);
  co_return co_await CutAll(state, start);
}

Task<absl::Status> Recovery::MakeRoom() {
  for (auto& [id, log] : logs_) {
    if (!log->state().HasPending() || !log->state().failure.ok()) continue;
    IoLock lock = co_await LockIo(log->state());
    absl::Status written = co_await context_.writer->WriteOut(log->state());
    if (!written.ok() && log->state().directory == replaying_) co_return written;
    // Another directory's trouble: its logs give their memory back as they fail.
    if (!written.ok()) context_.fail_directory(*log->state().directory, written);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Recovery::RemoveStaleCheckpoints() {
  KvBatch batch;
  for (const auto& [id, known] : checkpoints_) {
    if (known.loaded || offline_.contains(id) ||
        ShardOf(id, context_.options.shards) != context_.options.shard) {
      continue;
    }
    context_.env.logger.Warning("[log {}-{}] its folder is gone", known.checkpoint.topic,
                                id.partition);
    batch.Delete(KvSpace::kLogCheckpoint, LogCheckpointKey(id));
  }
  if (batch.empty()) co_return absl::OkStatus();
  co_return co_await context_.kv.Write(std::move(batch), KvWriteOptions{.sync = true});
}

}  // namespace millrace
