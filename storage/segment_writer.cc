#include "storage/segment_writer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "storage/checkpoint_round.h"
#include "storage/log_cut.h"
#include "storage/log_directory.h"
#include "storage/log_files.h"
#include "storage/producer/producer_snapshot.h"
#include "storage/segment_index.h"

namespace millrace {
namespace {

constexpr size_t kWritesMax = 4;
// At a start or a stop, when many logs want one and nobody waits for his turn: they share a sync.
constexpr size_t kCheckpointsTogetherMax = 256;
// One gathered write; the kernel splits at 2 GiB and iovecs at 1024, the disk adapter minds the
// latter.
constexpr size_t kWriteBytesMax = 8 << 20;
// Index entries wait for this many, or for the checkpoint: two small writes saved per segment
// write.
constexpr size_t kIndexEntriesMax = 1024;
constexpr Duration kRetryAfter = seconds(1);
// Longer than this is never: instants are counted in nanoseconds.
constexpr int64_t kFlushMsMax = int64_t{100} * 365 * 24 * 3600 * 1000;
// Below this share of the journal in use, checkpoints go by age again.
constexpr double kJournalCalmRatio = 0.4;
// Of logs that are held, for one of a directory that has become free; then all are looked at anew.
constexpr int kHeldLooksMax = 64;

// As of now, but for what is encoded.
LogCheckpoint CheckpointOf(const Log::State& state) {
  Journal* journal = state.directory->journal();
  const Segment& active = state.segments.back();
  return {
      .topic = state.topic,
      .incarnation = state.incarnation,
      .log_start = state.start,
      .recovery_point = state.end,
      .segment_base = active.base,
      .position = active.size,
      .segment_created = active.created,
      .first_timestamp = active.first_timestamp,
      .max_time = active.max_time,
      .aborted_transactions =
          static_cast<uint32_t>(active.aborted.written + active.aborted.pending.size()),
      // While recovering, the journal that is being replayed.
      .journal_generation = journal == nullptr ? state.replayed_generation : journal->generation(),
      .journal_position = journal == nullptr ? state.replayed_position : journal->last_position(),
      .producers = {},
      .epochs = {},
      .directory = state.directory->id(),
      .cleaned_to = state.cleaned_to,
  };
}

}  // namespace

SegmentWriter::SegmentWriter(StoreContext& context)
    : context_(context),
      write_wake_(context.env.reactor),
      checkpoint_wake_(context.env.reactor),
      scope_(context.env.reactor) {}

SegmentWriter::~SegmentWriter() = default;

void SegmentWriter::Start() {
  scope_.Spawn(WriteLoop(), SchedClass::kProduce);
  for (LogDirectory* directory : context_.directories) {
    scope_.Spawn(CheckpointLoop(directory), SchedClass::kHousekeeping);
  }
}

Task<void> SegmentWriter::Stop() { co_await scope_.Stop(); }

void SegmentWriter::Appended(Log::State& state) {
  const Instant now = context_.env.reactor.Now();
  NoteUnsynced(state, now);
  if (!WriteList::Contains(state)) {
    state.write_since = now;
    if (aging_.empty()) write_wake_.Set();
    Queue(state, WriteQueue::kAging);
  }
  const bool urgent =
      state.sync_wanted || state.tail.pending_bytes() >= context_.options.segment_write_bytes;
  if (urgent && state.write_queue == WriteQueue::kAging) {
    Queue(state, WriteQueue::kUrgent);
    write_wake_.Set();
  }
  if (context_.pending.used() * 2 > context_.options.pending_bytes_max) write_wake_.Set();
  MarkDirty(state);
}

void SegmentWriter::NoteUnsynced(Log::State& state, Instant now) {
  // A topic that waits for the disk has nothing to gain from another sync.
  if (state.durability != Durability::kPageCache || state.end <= state.synced_end) return;
  if ((state.end - state.synced_end).value() >= state.config.flush_messages) {
    state.sync_wanted = true;
  }
  if (state.flush_due || state.config.flush_ms > kFlushMsMax) return;
  state.flush_due = now + milliseconds(state.config.flush_ms);
  flushes_.emplace(std::pair(*state.flush_due, state.number), &state);
  if (flushes_.begin()->second == &state) write_wake_.Set();
}

void SegmentWriter::EndFlush(Log::State& state) {
  if (!state.flush_due) return;
  flushes_.erase({*state.flush_due, state.number});
  state.flush_due.reset();
}

void SegmentWriter::StartDueFlushes() {
  const Instant now = context_.env.reactor.Now();
  while (!flushes_.empty() && flushes_.begin()->first.first <= now) {
    Log::State& state = *flushes_.begin()->second;
    EndFlush(state);
    state.sync_wanted = true;
    if (!WriteList::Contains(state) || state.write_queue == WriteQueue::kAging) {
      Queue(state, WriteQueue::kUrgent);
    }
  }
}

void SegmentWriter::MarkDirty(Log::State& state) {
  // Also of one that waits already: it may have moved there.
  if (std::exchange(state.directory->awaits_dirty, false)) checkpoint_wake_.Set();
  if (CheckpointList::Contains(state)) return;
  state.checkpoint_since = context_.env.reactor.Now();
  dirty_.PushBack(state);
}

void SegmentWriter::Forget(Log::State& state) {
  Unqueue(state);
  EndFlush(state);
  dirty_.Remove(state);
}

SegmentWriter::WriteList& SegmentWriter::ListOf(WriteQueue queue) {
  switch (queue) {
    case WriteQueue::kAging:
      return aging_;
    case WriteQueue::kUrgent:
      return urgent_;
    case WriteQueue::kHeld:
      return held_;
  }
  std::unreachable();
}

void SegmentWriter::Unqueue(Log::State& state) { ListOf(state.write_queue).Remove(state); }

void SegmentWriter::Queue(Log::State& state, WriteQueue queue) {
  Unqueue(state);
  state.write_queue = queue;
  ListOf(queue).PushBack(state);
}

void SegmentWriter::ReturnHeld() {
  if (held_.empty() || context_.env.reactor.Now() < held_until_) return;
  while (!held_.empty()) Queue(held_.front(), WriteQueue::kUrgent);
}

void SegmentWriter::ReturnOne(const LogDirectory& directory) {
  const Log::State* first = held_.empty() ? nullptr : &held_.front();
  for (int looked = 0; looked < kHeldLooksMax && !held_.empty(); ++looked) {
    Log::State& state = held_.front();
    if (looked > 0 && &state == first) return;  // None of them is.
    if (state.directory == &directory) {
      Queue(state, WriteQueue::kUrgent);
      return;
    }
    Queue(state, WriteQueue::kHeld);  // Behind the others.
  }
  if (!held_.empty()) held_until_ = context_.env.reactor.Now();
}

std::optional<Instant> SegmentWriter::Waits(const LogDirectory& directory, Instant now) const {
  if (directory.full() && directory.retry_at > now) return directory.retry_at;
  // Until one of them has ended.
  if (directory.segment_writes >= kWritesMax) return Instant::Max();
  return std::nullopt;
}

Log::State* SegmentWriter::NextFrom(WriteList& list, Instant since_max) {
  const Instant now = context_.env.reactor.Now();
  while (!list.empty() && list.front().write_since <= since_max) {
    Log::State& state = list.front();
    const std::optional<Instant> until = Waits(*state.directory, now);
    if (!until.has_value()) return &list.PopFront();
    held_until_ = held_.empty() ? *until : std::min(held_until_, *until);
    Queue(state, WriteQueue::kHeld);
  }
  return nullptr;
}

Log::State* SegmentWriter::NextToWrite() {
  ReturnHeld();
  if (Log::State* urgent = NextFrom(urgent_, Instant::Max()); urgent != nullptr) return urgent;
  if (aging_.empty()) return nullptr;
  // Half of the budget in use: producers are about to wait, so bytes go out early, oldest first.
  const bool short_of_memory = context_.pending.used() * 2 > context_.options.pending_bytes_max;
  const Instant old = context_.env.reactor.Now() - context_.options.segment_write_age;
  return NextFrom(aging_, short_of_memory ? Instant::Max() : old);
}

Task<void> SegmentWriter::WriteLoop() {
  CancellationToken token = scope_.token();
  const size_t writes_max = kWritesMax * context_.directories.size();
  while (!token.cancelled()) {
    StartDueFlushes();
    while (writing_ < writes_max) {
      Log::State* state = NextToWrite();
      if (state == nullptr) break;
      Gate::Holder inside = state->gate.TryEnter();
      if (!inside) continue;
      ++writing_;
      ++state->directory->segment_writes;
      scope_.Spawn(WriteLog(state, std::move(inside), state->directory));
    }
    std::optional<Instant> deadline;
    const auto by = [&](Instant at) { deadline = deadline ? std::min(*deadline, at) : at; };
    if (!held_.empty() && held_until_ < Instant::Max()) by(held_until_);
    if (!aging_.empty() && writing_ < writes_max) {
      by(aging_.front().write_since + context_.options.segment_write_age);
    }
    if (!flushes_.empty()) by(flushes_.begin()->first.first);
    co_await write_wake_.Wait(deadline, token);
    write_wake_.Reset();
  }
}

Task<void> SegmentWriter::WriteLog(Log::State* state, Gate::Holder inside,
                                   LogDirectory* directory) {
  MR_CHECK(static_cast<bool>(inside));
  {
    IoLock lock = co_await LockIo(*state);
    if (state->failure.ok()) {
      const bool sync = std::exchange(state->sync_wanted, false);
      absl::Status status = co_await WriteOut(*state);
      if (status.ok() && sync) status = co_await SyncAlone(*state, /*complete=*/false);
      if (!status.ok()) {
        state->sync_wanted = state->sync_wanted || sync;
        HandleFailure(*state, status);
      }
      if (state->failure.ok() && state->HasPending()) Appended(*state);
    }
  }
  --writing_;
  // The log may lie elsewhere by now.
  if (directory->segment_writes-- == kWritesMax) ReturnOne(*directory);
  write_wake_.Set();
}

Task<absl::Status> SegmentWriter::WriteOut(Log::State& state) {
  const Offset target = state.end;
  while (state.HasPending() && state.written_end < target) {
    const size_t first = state.tail.first_pending();
    const Offset base = state.tail.run(first).segment_base;
    const uint64_t position = state.tail.run(first).position;
    context_.cache.Seal(state.tail);
    Chain bytes;
    size_t count = 0;
    Offset next = state.written_end;
    for (size_t i = first; i < state.tail.size(); ++i, ++count) {
      const TailRun& run = state.tail.run(i);
      if (run.segment_base != base || (count > 0 && bytes.size() >= kWriteBytesMax)) break;
      bytes.Append(run.bytes);
      next = run.next;
    }
    Segment* segment = state.FindSegment(base);
    MR_CHECK(segment != nullptr);
    if (segment->index_state == IndexState::kUnchecked) {
      // Entries of batches that a power loss took look like those of the batches that come in their place.
      MR_CO_RETURN_IF_ERROR(co_await EnsureIndexes(state, base));
      segment = state.FindSegment(base);
    }
    MR_CHECK(segment->written == position);
    const size_t size = bytes.size();

    auto file = co_await context_.files.Acquire(state.SegmentPath(base, kLogSuffix), true);
    if (!file.ok()) co_return file.status();
    MR_CO_RETURN_IF_ERROR(co_await (*file)->WriteAt(
        position, std::move(bytes),
        WriteFlags{.write_back_soon = state.durability == Durability::kDisk}));

    // We hold the lock, so nothing was cut; appends may have added runs and segments.
    segment = state.FindSegment(base);
    if (!segment->file_exists) {
      segment->file_exists = true;
      state.names_unsynced = true;
    }
    segment->written += size;
    context_.metrics.segment_bytes.Add(size);
    segment->written_next = next;
    state.written_end = next;
    state.directory->SetFull(false);
    context_.cache.MarkWritten(state.tail, count);
    state.ReleasePending(size);
    if (segment->sealed || segment->indexes.pending.size() >= kIndexEntriesMax) {
      const bool complete = segment->sealed && segment->written == segment->size;
      MR_CO_RETURN_IF_ERROR(co_await WriteIndexes(state, base, complete));
    }
  }
  co_return absl::OkStatus();
}

Task<absl::Status> SegmentWriter::SyncAlone(Log::State& state, bool complete) {
  absl::StatusOr<LogSync> sync = co_await BeginSync(state, complete);
  absl::Status status = sync.status();
  // Appends too large for the journal wait for it.
  DirectoryPace::Write timed;
  if (state.durability == Durability::kDisk) timed = state.directory->pace().Begin();
  if (status.ok()) status = co_await SyncFiles(*sync);
  if (status.ok()) status = co_await FinishSync(*sync);
  co_return status;
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> SegmentWriter::FinishSync(LogSync& sync) {
  MR_CO_RETURN_IF_ERROR(co_await EndSync(sync));
  EndFlush(*sync.state);
  NoteUnsynced(*sync.state, context_.env.reactor.Now());
  sync.state->AdvanceDurable();
  co_return absl::OkStatus();
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<WrittenCheckpoint>> SegmentWriter::WriteForCheckpoint(Log::State& state,
                                                                          bool complete) {
  // The checkpoint carries the largest timestamp, which may still have to be read.
  if (!state.active().times_known) {
    MR_CO_RETURN_IF_ERROR(co_await EnsureIndexes(state, state.active().base));
  }
  // Everything from here to the first suspension describes one moment.
  LogCheckpoint checkpoint = CheckpointOf(state);
  if (!state.producers.empty()) {
    checkpoint.producers = std::string(EncodeProducerSnapshot(state.producers).view());
  }
  if (!state.epochs.empty()) checkpoint.epochs = state.epochs.Encode();
  // A checkpoint may be lost, and the segments in front of it are about to be removed, or are gone.
  const bool emptied = state.active().empty() && state.active().base > Offset(0);
  state.checkpointing = true;
  state.journal_first_after.reset();

  absl::Status status;
  if (emptied) status = co_await MakeEmptyFile(state, checkpoint.segment_base);
  if (status.ok()) status = co_await WriteOut(state);
  if (status.ok()) {
    absl::StatusOr<LogSync> sync = co_await BeginSync(state, complete);
    if (sync.ok()) co_return WrittenCheckpoint{std::move(checkpoint), *std::move(sync)};
    status = sync.status();
  }
  state.checkpointing = false;
  co_return status;
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<LogCheckpoint>> SegmentWriter::FinishCheckpoint(WrittenCheckpoint written,
                                                                    bool complete) {
  Log::State& state = *written.sync.state;
  absl::Status status = co_await FinishSync(written.sync);
  if (status.ok() && complete) status = co_await WriteSideFiles(state, &written.checkpoint);
  if (!status.ok()) {
    state.checkpointing = false;
    co_return status;
  }
  MR_CHECK(state.synced_end >= written.checkpoint.recovery_point);
  co_return std::move(written.checkpoint);
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<LogCheckpoint>> SegmentWriter::Prepare(Log::State& state, bool complete) {
  absl::StatusOr<WrittenCheckpoint> written = co_await WriteForCheckpoint(state, complete);
  if (!written.ok()) co_return written.status();
  if (absl::Status synced = co_await SyncFiles(written->sync); !synced.ok()) {
    state.checkpointing = false;
    co_return synced;
  }
  co_return co_await FinishCheckpoint(*std::move(written), complete);
}

Task<absl::Status> SegmentWriter::WriteSideFiles(Log::State& state,
                                                 const LogCheckpoint* checkpoint) {
  if (checkpoint->recovery_point > Offset(0)) {
    const std::string producers = checkpoint->producers.empty()
                                      ? std::string(EncodeProducerSnapshot({}).view())
                                      : checkpoint->producers;
    MR_CO_RETURN_IF_ERROR(co_await ReplaceFile(
        context_.env.disk, state.SegmentPath(checkpoint->recovery_point, kSnapshotSuffix),
        producers));
  }
  if (!checkpoint->epochs.empty()) {
    MR_CO_RETURN_IF_ERROR(co_await ReplaceFile(
        context_.env.disk, JoinPath(state.path(), kLeaderEpochFile), checkpoint->epochs));
  }
  state.files_stale = state.end != checkpoint->recovery_point;
  co_return absl::OkStatus();
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> SegmentWriter::StoreFirst(const std::vector<Log::State*>& states) {
  KvBatch batch;
  for (const Log::State* state : states) {
    batch.Put(KvSpace::kLogCheckpoint, LogCheckpointKey(state->id),
              EncodeLogCheckpoint(CheckpointOf(*state)));
  }
  if (batch.empty()) co_return absl::OkStatus();
  co_return co_await context_.kv.Write(std::move(batch), KvWriteOptions{.sync = true});
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> SegmentWriter::Store(Log::State& state, LogCheckpoint checkpoint) {
  KvBatch batch;
  batch.Put(KvSpace::kLogCheckpoint, LogCheckpointKey(state.id), EncodeLogCheckpoint(checkpoint));
  absl::Status status = co_await context_.kv.Write(std::move(batch), KvWriteOptions{.sync = true});
  state.checkpointing = false;
  if (!status.ok()) co_return status;
  Stored(state, checkpoint);
  co_return absl::OkStatus();
}

void SegmentWriter::Stored(Log::State& state, const LogCheckpoint& checkpoint) {
  state.checkpointing = false;
  state.recovery_point = checkpoint.recovery_point;
  state.checkpoint_segment = checkpoint.segment_base;
  // Or the next write says so again. What needed no room to be stored says nothing of it.
  state.directory->NoteRoom();
  if (std::exchange(state.cut_unstored, false)) state.OnCutStored();
  if (state.journal_first) state.directory->Unneed(*state.journal_first, state.number);
  state.journal_first = std::exchange(state.journal_first_after, std::nullopt);
  if (state.journal_first) state.directory->Need(*state.journal_first, state.number);
  state.directory->RecycleJournal();
  if (state.end > state.recovery_point && state.failure.ok() && !state.deleted) {
    MarkDirty(state);
  } else {
    dirty_.Remove(state);
  }
}

Task<absl::Status> SegmentWriter::Checkpoint(Log::State& state, bool complete) {
  Gate::Holder inside = state.gate.TryEnter();
  if (!inside) co_return absl::CancelledError("the log is going away");
  IoLock lock = co_await LockIo(state);
  if (!state.failure.ok()) co_return state.failure;
  dirty_.Remove(state);
  auto checkpoint = co_await Prepare(state, complete);
  absl::Status status = checkpoint.status();
  if (status.ok()) status = co_await Store(state, *std::move(checkpoint));
  if (!status.ok()) HandleFailure(state, status);
  co_return status;
}

Log::State* SegmentWriter::NextDirty(Log::State* after, const LogDirectory* of) {
  if (after == nullptr && dirty_.empty()) return nullptr;
  Log::State* next = after == nullptr ? &dirty_.front() : dirty_.Next(*after);
  while (next != nullptr && of != nullptr && next->directory != of) next = dirty_.Next(*next);
  return next;
}

Task<absl::StatusOr<size_t>> SegmentWriter::CheckpointSome(size_t logs_max, bool complete,
                                                           Locked locked, const LogDirectory* of) {
  CheckpointRound round(context_);
  std::vector<Log::State*> skipped;
  Log::State* next = NextDirty(nullptr, of);
  while (next != nullptr && round.HasRoom(logs_max)) {
    Log::State& state = *next;
    next = NextDirty(&state, of);
    dirty_.Remove(state);
    if (state.io_locked && locked == Locked::kSkip) {
      skipped.push_back(&state);
      continue;
    }
    Gate::Holder inside = state.gate.TryEnter();
    if (!inside || !state.failure.ok()) continue;
    // Held from now on, or somebody else takes it before this log's turn.
    IoLock lock = state.io_locked ? IoLock() : IoLock(state);
    round.Add(state, std::move(inside), std::move(lock));
  }
  for (Log::State* state : skipped) dirty_.PushBack(*state);
  const absl::Status result = co_await round.Run(complete);
  if (!result.ok()) co_return result;
  co_return round.size();
}

Task<absl::Status> SegmentWriter::CheckpointAll(bool complete) {
  absl::Status result;
  // A log that fails takes its directory offline and leaves the list; one without room comes back
  // to it, so the round ends there.
  while (!dirty_.empty() && !absl::IsResourceExhausted(result)) {
    const absl::Status some =
        (co_await CheckpointSome(kCheckpointsTogetherMax, complete, Locked::kWait, nullptr))
            .status();
    if (result.ok() || absl::IsResourceExhausted(some)) result = some;
  }
  co_return result;
}

Task<void> SegmentWriter::CheckpointLoop(LogDirectory* directory) {
  CancellationToken token = scope_.token();
  while (!token.cancelled()) {
    std::optional<Instant> deadline;
    const Log::State* first = NextDirty(nullptr, directory);
    directory->awaits_dirty = first == nullptr;
    if (first != nullptr) {
      deadline = first->checkpoint_since + context_.options.checkpoint_age;
      if (directory->journal_short || *deadline <= context_.env.reactor.Now()) {
        const absl::StatusOr<size_t> some = co_await CheckpointSome(
            context_.options.checkpoints_max, /*complete=*/false, Locked::kSkip, directory);
        const Journal* journal = directory->journal();
        directory->journal_short = directory->journal_short && journal != nullptr &&
                                   journal->status().ok() &&
                                   journal->fill_ratio() > kJournalCalmRatio;
        if (!some.ok()) {
          co_await Sleep(context_.env.reactor, kRetryAfter, token);
        } else if (*some == 0) {
          co_await context_.io_unlocked.Wait(context_.env.reactor.Now() + kRetryAfter, token);
        }
        continue;
      }
    }
    co_await checkpoint_wake_.Wait(deadline, token);
    checkpoint_wake_.Reset();
  }
}

void SegmentWriter::OnJournalPressure() {
  for (LogDirectory* directory : context_.directories) {
    // Entries may have become durable since that checkpoints cover already.
    directory->RecycleJournal();
    directory->journal_short = true;
  }
  checkpoint_wake_.Set();
}

void SegmentWriter::HandleFailure(Log::State& state, const absl::Status& status) {
  if (!absl::IsResourceExhausted(status)) {
    context_.fail_directory(*state.directory, status);
    return;
  }
  // No room: what was acknowledged stays in memory and in the journal, and is tried again.
  if (!state.directory->full()) {
    context_.env.logger.Error(
        "[dir {}] the disk is full, appends are refused until there is room: {}",
        state.directory->path(), std::string(status.message()));
  }
  state.directory->retry_at = context_.env.reactor.Now() + kRetryAfter;
  state.directory->SetFull(true);
  if (!state.deleted) MarkDirty(state);
}

}  // namespace millrace
