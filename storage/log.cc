#include "storage/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "common/check.h"
#include "common/error_kind.h"
#include "storage/log_cleaner.h"
#include "storage/log_cut.h"
#include "storage/log_directory.h"
#include "storage/log_files.h"
#include "storage/log_state.h"
#include "storage/producer/producer_snapshot.h"
#include "storage/producer_expiry.h"
#include "storage/recovery.h"
#include "storage/retention.h"
#include "storage/segment_writer.h"
#include "storage/store_context.h"

namespace millrace {

Log::State::State(StoreContext& store_context, LogDirectory& log_directory, TopicPartitionId tp_id,
                  std::string topic_name, IncarnationId replica_incarnation, uint64_t log_number,
                  LogConfig log_config, Offset log_start)
    : context(store_context),
      id(tp_id),
      topic(std::move(topic_name)),
      number(log_number),
      incarnation(replica_incarnation),
      directory(&log_directory),
      config(log_config),
      durability(log_config.durability),
      start(log_start),
      end(log_start),
      durable(log_start),
      written_end(log_start),
      synced_end(log_start),
      recovery_point(log_start),
      checkpoint_segment(log_start),
      producers(store_context.producers),
      gate(store_context.env.reactor),
      path_(JoinPath(log_directory.path(), PartitionDirectoryName(topic, tp_id.partition))) {}

Log::State::~State() {
  MR_CHECK(tail.empty());
  MR_CHECK(!write_hook.linked);
  MR_CHECK(!checkpoint_hook.linked);
  MR_CHECK(!retention_hook.linked);
  MR_CHECK(!retention_due);
  MR_CHECK(!cleaner_hook.linked);
  MR_CHECK(!cleaner_due);
  MR_CHECK(!cleaner_ready);
  MR_CHECK(!flush_due);
}

std::string Log::State::SegmentPath(Offset base, std::string_view suffix) const {
  return JoinPath(path_, SegmentFileName(base, suffix));
}

Segment* Log::State::FindSegment(Offset base) {
  auto at = std::ranges::lower_bound(segments, base, {}, &Segment::base);
  return at != segments.end() && at->base == base ? &*at : nullptr;
}

Segment* Log::State::SegmentFor(Offset offset) {
  auto behind = std::ranges::upper_bound(segments, offset, {}, &Segment::base);
  return behind == segments.begin() ? nullptr : &*std::prev(behind);
}

void Log::State::Relocate(LogDirectory* to, std::string path) {
  if (failure.ok()) {
    directory->ReleasePending(tail.pending_bytes());
    to->AddPending(tail.pending_bytes());
  }
  directory = to;
  path_ = std::move(path);
  ++cuts;
  std::vector<ReadPlace>().swap(places);
}

void Log::State::AdvanceDurable() {
  if (handing_over) return;
  const Offset before = durable;
  while (marks_head < marks.size()) {
    const DurableMark& mark = marks[marks_head];
    const bool in_journal = mark.position && *mark.position <= journal_durable;
    if (!in_journal && mark.end > synced_end) break;
    durable = std::max(durable, mark.end);
    if (mark.appended) context.metrics.append.Observe(context.env.reactor.Now() - *mark.appended);
    ++marks_head;
  }
  if (marks_head == marks.size()) {
    marks_head = 0;
    // An idle log keeps little; a busy one keeps its capacity.
    if (marks.capacity() > 64) {
      std::vector<DurableMark>().swap(marks);
    } else {
      marks.clear();
    }
  } else if (marks_head > 256 && marks_head * 2 > marks.size()) {
    marks.erase(marks.begin(), marks.begin() + static_cast<ptrdiff_t>(marks_head));
    marks_head = 0;
  }
  if (durable > before && observer != nullptr) observer->OnDurable(*log, durable);
}

void Log::State::OnDurabilityChange() {
  if (durability != Durability::kDisk || synced_end >= end) return;
  marks.push_back({std::nullopt, end});
  sync_wanted = true;
}

void Log::State::OnCutStored() {
  if (std::exchange(durable, recovery_point) < recovery_point && observer != nullptr) {
    observer->OnDurable(*log, durable);
  }
}

void Log::State::ReleasePending(size_t bytes) {
  if (!failure.ok() || bytes == 0) return;
  context.pending.Release(bytes);
  directory->ReleasePending(bytes);
}

void Log::State::Fail(const absl::Status& cause) {
  if (!failure.ok()) return;
  ReleasePending(tail.pending_bytes());
  failure = MakeError(ErrorKind::kStorageError, absl::StatusCode::kUnavailable,
                      fmt::format("{}: {}", path_, std::string(cause.message())));
  context.writer->Forget(*this);
  context.retention->Forget(*this);
  context.cleaner->Forget(*this);
  if (directory->journal() != nullptr) directory->journal()->Forget(this);
  if (observer != nullptr) observer->OnFailed(*log, failure);
}

void Log::State::OnJournalDurable(JournalPosition position) {
  journal_durable = std::max(journal_durable, position);
  AdvanceDurable();
}

void Log::State::OnJournalFailed(const absl::Status& status) {
  context.fail_directory(*directory, status);
}

Offset LogObserver::CommittedEnd(const Log& log) const { return log.durable_end(); }

Log::Log(std::unique_ptr<State> state) : state_(std::move(state)) { state_->log = this; }
Log::~Log() = default;

const TopicPartitionId& Log::id() const { return state_->id; }
const std::string& Log::topic() const { return state_->topic; }
const LogConfig& Log::config() const { return state_->config; }
void Log::set_config(LogConfig config) {
  if (state_->config == config) return;
  const int64_t expiration_ms = state_->config.producer_id_expiration_ms;
  state_->config = config;
  state_->context.retention->Changed(*state_);
  state_->context.cleaner->Changed(*state_);
  if (config.producer_id_expiration_ms != expiration_ms) {
    state_->context.expiry->Reschedule(*state_);
  }
}
const std::vector<LogDamage>& Log::damage() const { return state_->damage; }
// Only what lies below the checkpoint's segment is ever compacted. What a round that was broken off
// has done is not in cleaned_to.
bool Log::MayBeCompactedAcross(Offset offset) const {
  const bool ever = state_->config.cleanup_compact || state_->cleaned_to > state_->start;
  return ever && offset < state_->checkpoint_segment;
}

bool Log::has_room() const { return !state_->directory->full() && !state_->cut_unstored; }
std::optional<Instant> Log::last_full() const { return state_->directory->last_full(); }
const std::string& Log::directory() const { return state_->directory->path(); }
Offset Log::start_offset() const { return state_->start; }
Offset Log::end_offset() const { return state_->end; }
Offset Log::durable_end() const { return state_->durable; }
absl::Status Log::failure() const { return state_->failure; }
void Log::set_observer(LogObserver* observer) {
  state_->observer = observer;
  if (observer == nullptr) return;
  state_->context.retention->Changed(*state_);
  state_->context.cleaner->Changed(*state_);
}
const ProducerState& Log::producers() const { return state_->producers; }
ProducerState& Log::producers() { return state_->producers; }
const LeaderEpochCache& Log::epochs() const { return state_->epochs; }

uint64_t Log::size_bytes() const {
  uint64_t bytes = 0;
  for (const Segment& segment : state_->segments) bytes += segment.size;
  return bytes;
}

void Log::BeginEpoch(LeaderEpoch epoch) {
  // A log that never had a record has no files to tell of it: whoever leads it next begins again, and
  // a node with ten thousand of them stops at once.
  if (state_->epochs.Assign(epoch, state_->end) && state_->end > Offset(0)) {
    state_->files_stale = true;
  }
}

void Log::DropEmptyEpochs() {
  if (state_->epochs.TruncateFromEnd(state_->end)) state_->files_stale = true;
}

std::optional<Offset> Log::first_unstable_offset() const {
  std::optional<Offset> first = state_->producers.first_unstable();
  // Its first records may have been deleted.
  return first ? std::max(*first, state_->start) : first;
}

void Log::OnCommitted(Offset high_watermark) {
  state_->committed = high_watermark;
  state_->producers.OnCommitted(high_watermark);
}

std::optional<LeaderEpoch> Log::latest_epoch() const { return state_->epochs.latest_epoch(); }

std::optional<EpochEnd> Log::EndOffsetForEpoch(LeaderEpoch epoch) const {
  std::optional<EpochEndOffset> found = state_->epochs.EndOffsetFor(epoch, state_->end);
  if (!found) return std::nullopt;
  return EpochEnd{found->epoch, found->end_offset};
}

namespace {

// Closes the active segment and begins one at `base`, both in memory: files follow with the bytes.
void Roll(Log::State& state, Offset base, Timestamp now) {
  if (state.active().empty() && !state.active().file_exists) {
    state.active() = Segment(base, now);  // Nothing was ever in it.
  } else {
    state.active().sealed = true;
    state.segments.emplace_back(base, now);
  }
  // Also when there are no producers, as Kafka does: it says so, and no truncation reads the whole
  // log to find out.
  state.active().producer_snapshot = EncodeProducerSnapshot(state.producers);
  DrawRollJitter(state);
  state.durability = state.config.durability;
  state.context.cleaner->Changed(state);
}

// Where a segment for the batch begins: at the log's end, which is where the batch begins, unless a
// follower's leader has compacted away what lies between. So segments always follow each other, and
// recovery can tell what a crash has taken from what a compaction has.
Offset RollBase(const Log::State& state, const BatchHeader& header) {
  const bool far =
      header.last_offset() - state.end > OffsetDelta(std::numeric_limits<int32_t>::max());
  return far ? header.base_offset : state.end;
}

absl::Status CheckWritable(const Log::State& state) {
  if (!state.failure.ok()) return state.failure;
  if (state.deleted) return absl::CancelledError("the log is being deleted");
  if (state.directory->full() || state.cut_unstored) {
    return MakeError(ErrorKind::kStorageError, absl::StatusCode::kResourceExhausted,
                     fmt::format("log directory {} is full", state.directory->path()));
  }
  return absl::OkStatus();
}

// Hands the batch to the journal, or, where it does not take it, to the segment's sync.
absl::Status MakeDurable(Log::State& state, const BatchHeader& header, const Slice& bytes) {
  if (state.durability == Durability::kPageCache) {
    // Acknowledged from memory, but not before what was appended while the log was durable.
    if (!state.marks.empty()) state.marks.push_back({state.journal_last, header.next_offset()});
    return absl::OkStatus();
  }
  const Instant now = state.context.env.reactor.Now();
  Journal& journal = *state.directory->journal();
  JournalEntry entry =
      JournalAppend{state.id, state.incarnation, state.end, *header.leader_epoch, bytes};
  if (Journal::EntryBytes(entry) > journal.entry_bytes_max()) {
    state.marks.push_back({std::nullopt, header.next_offset(), now});
    state.sync_wanted = true;
    return absl::OkStatus();
  }
  absl::StatusOr<JournalPosition> position = journal.Enqueue(entry, &state);
  if (!position.ok()) return position.status();
  state.journaled = true;
  state.marks.push_back({*position, header.next_offset(), now});
  state.journal_last = *position;
  if (!state.journal_first) {
    state.journal_first = *position;
    state.directory->Need(*position, state.number);
  }
  if (state.checkpointing && !state.journal_first_after) state.journal_first_after = *position;
  return absl::OkStatus();
}

// Into the segment's books, the tail cache, producer state and epochs.
void AddToMemory(Log::State& state, const BatchView& batch, Timestamp now) {
  const BatchHeader& header = batch.header();
  if (MustRoll(state.active(), header, state.config, state.roll_jitter_ms, now)) {
    Roll(state, RollBase(state, header), now);
  }
  Segment& segment = state.active();
  if (segment.empty()) segment.created = now;
  const uint64_t position = segment.size;
  segment.appended = now;
  segment.Add(header, state.config);
  state.context.cache.Append(state.tail, batch.bytes(), header.base_offset, header.next_offset(),
                             segment.base, position);
  state.directory->AddPending(batch.bytes().size());
  state.end = header.next_offset();
  if (header.producer) {
    std::optional<CompletedTransaction> completed = state.producers.ApplyBatch(batch, now);
    if (completed && completed->aborted) segment.aborted.Add(AbortedOf(*completed));
    state.context.expiry->Schedule(state);
  }
  if (header.leader_epoch) state.epochs.Assign(*header.leader_epoch, header.base_offset);
  state.files_stale = true;
}

// The common end of every append: the batch has its final offsets and epoch.
absl::StatusOr<AppendInfo> AppendFinal(Log::State& state, const BatchView& batch,
                                       Admission& admission) {
  const BatchHeader& header = batch.header();
  MR_CHECK(admission.bytes() >= batch.bytes().size());
  // A marker that nobody can read would leave its transaction open for ever.
  absl::StatusOr<std::optional<TransactionMarker>> marker = ParseTransactionMarker(batch);
  if (!marker.ok()) return marker.status();
  const Timestamp now = state.context.env.clock.Now();
  const Durability durability = state.durability;  // A roll may change it, for the next append.
  // First what can fail, so that a refused append leaves nothing behind.
  absl::Status journaled = MakeDurable(state, header, batch.bytes());
  if (!journaled.ok()) {
    return MakeError(ErrorKind::kStorageError, absl::StatusCode::kUnavailable,
                     std::string(journaled.message()));
  }
  admission.Take(batch.bytes().size());
  state.context.metrics.appended_bytes.Add(batch.bytes().size());
  AddToMemory(state, batch, now);
  if (durability == Durability::kPageCache && state.marks.empty()) state.durable = state.end;
  if (state.durability != durability) state.OnDurabilityChange();
  state.context.writer->Appended(state);
  state.context.retention->Changed(state);
  return AppendInfo{header.base_offset, header.last_offset()};
}

}  // namespace

void RollActive(Log::State& state) { Roll(state, state.end, state.context.env.clock.Now()); }

void DrawRollJitter(Log::State& state) {
  const int64_t below = std::min(state.config.segment_jitter_ms, state.config.segment_ms);
  state.roll_jitter_ms = 0;
  if (below <= 0) return;
  state.roll_jitter_ms =
      static_cast<int64_t>(state.context.env.random.Below(static_cast<uint64_t>(below)));
}

void AppendReplayed(Log::State& state, const BatchView& batch) {
  AddToMemory(state, batch, state.context.env.clock.Now());
  state.durable = state.end;
}

absl::StatusOr<AppendInfo> Log::Append(BatchView batch, LeaderEpoch epoch, Admission& admission) {
  State& state = *state_;
  if (absl::Status writable = CheckWritable(state); !writable.ok()) return writable;
  batch.SetBaseOffset(state.end);
  batch.SetLeaderEpoch(epoch);
  return AppendFinal(state, batch, admission);
}

absl::StatusOr<AppendInfo> Log::AppendAsFollower(BatchView batch, Admission& admission) {
  State& state = *state_;
  if (absl::Status writable = CheckWritable(state); !writable.ok()) return writable;
  const BatchHeader& header = batch.header();
  if (absl::Status fields = CheckBatchFields(header); !fields.ok()) return fields;
  if (!header.leader_epoch) {
    return MakeError(ErrorKind::kCorruptMessage, "a replicated batch has no leader epoch");
  }
  if (header.base_offset < state.end) {
    return MakeError(ErrorKind::kOffsetOutOfRange,
                     fmt::format("batch at {} where {} is next", header.base_offset, state.end));
  }
  return AppendFinal(state, batch, admission);
}

Task<absl::Status> Log::Flush() {
  co_return co_await state_->context.writer->Checkpoint(*state_, /*complete=*/false);
}

}  // namespace millrace
