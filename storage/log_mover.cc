#include "storage/log_mover.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/check.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "storage/deferred_removals.h"
#include "storage/log_cleaner.h"
#include "storage/log_copy.h"
#include "storage/log_directory.h"
#include "storage/log_files.h"
#include "storage/log_scrubber.h"
#include "storage/retention.h"
#include "storage/segment/segment_scanner.h"
#include "storage/segment_index.h"
#include "storage/segment_writer.h"
#include "storage/store_context.h"

namespace millrace {
namespace {

constexpr size_t kCopyBytes = 1 << 20;
// With less than this missing of what is written, the rest is copied while the writer waits.
constexpr uint64_t kSwitchBytesMax = 8 << 20;
constexpr std::array kIndexSuffixes = {kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix};

bool IsSegmentPart(std::string_view name) {
  return name.ends_with(kLogSuffix) || name.ends_with(kIndexSuffix) ||
         name.ends_with(kTimeIndexSuffix) || name.ends_with(kTxnIndexSuffix);
}

// Files that are not the log's any more, or not yet.
bool IsPassing(std::string_view name) {
  return name.ends_with(".tmp") || name.ends_with(".deleted") || name.ends_with(".cleaned") ||
         name.ends_with(".swap");
}

Task<absl::Status> RemoveSegmentParts(Disk* disk, std::string folder) {
  auto entries = co_await disk->List(folder);
  if (!entries.ok()) co_return entries.status();
  for (const DirectoryEntry& entry : *entries) {
    if (entry.is_directory || !IsSegmentPart(entry.name)) continue;
    MR_CO_RETURN_IF_ERROR(co_await disk->Remove(JoinPath(folder, entry.name)));
  }
  co_return absl::OkStatus();
}

// Appends `bytes` at `position` of the file at `path`.
Task<absl::Status> WriteTo(Disk* disk, std::string path, uint64_t position, Chain bytes) {
  auto file = co_await disk->Open(path, OpenOptions{.create = true});
  if (!file.ok()) co_return file.status();
  absl::Status status = co_await (*file)->WriteAt(position, std::move(bytes), WriteFlags{});
  status.Update(co_await (*file)->Close());
  co_return status;
}

Task<absl::Status> MakeFile(Disk* disk, std::string path) {
  auto file = co_await disk->Open(path, OpenOptions{.create = true});
  if (!file.ok()) co_return file.status();
  co_return co_await (*file)->Close();
}

Task<absl::Status> SyncFile(Disk* disk, std::string path) {
  auto file = co_await disk->Open(path, OpenOptions{});
  if (!file.ok()) co_return file.status();
  absl::Status status = co_await (*file)->Sync();
  status.Update(co_await (*file)->Close());
  co_return status;
}

void ForgetFiles(Log::State& state) {
  for (const Segment& segment : state.segments) {
    for (std::string_view suffix : {kLogSuffix, kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix}) {
      state.context.files.Forget(state.SegmentPath(segment.base, suffix));
    }
  }
}

// Its journal goes round in the extents it has, and writes no more when segments cannot be written.
absl::Status CheckHasRoom(const LogDirectory& target) {
  if (!target.full()) return absl::OkStatus();
  return absl::ResourceExhaustedError(fmt::format("{} is full", target.path()));
}

uint64_t MissingBytes(const Log::State& state, const std::map<Offset, uint64_t>& copied) {
  uint64_t missing = 0;
  for (const Segment& segment : state.segments) {
    auto found = copied.find(segment.base);
    const uint64_t has = found == copied.end() ? 0 : found->second;
    missing += segment.written - std::min(has, segment.written);
  }
  return missing;
}

}  // namespace

LogMover::LogMover(StoreContext& context)
    : context_(context), wake_(context.env.reactor), scope_(context.env.reactor) {}

LogMover::~LogMover() = default;

void LogMover::Start() { scope_.Spawn(Loop(), SchedClass::kHousekeeping); }

Task<void> LogMover::Stop() { co_await scope_.Stop(); }

Task<absl::Status> LogMover::Begin(TopicPartitionId id, LogDirectory* target) {
  if (!target->failure().ok()) {
    co_return MakeError(ErrorKind::kStorageError,
                        fmt::format("Log directory {} is offline", target->path()));
  }
  for (;;) {
    if (auto found = moves_.find(id); found != moves_.end() && !found->second->cancelled) {
      if (found->second->target == target) co_return absl::OkStatus();
      Cancel(id);
    }
    if (!moves_.contains(id) && beginning_.insert(id).second) break;
    co_await Sleep(context_.env.reactor, milliseconds(1), scope_.token());
    if (scope_.stopping()) co_return absl::CancelledError("the store is stopping");
  }
  absl::Status begun = co_await MakeMove(id, target);
  beginning_.erase(id);
  co_return begun;
}

Task<absl::Status> LogMover::MakeMove(TopicPartitionId id, LogDirectory* target) {
  Log* log = context_.find_log(id);
  if (log == nullptr) {
    co_return MakeError(ErrorKind::kUnknownTopicOrPartition, absl::StatusCode::kNotFound,
                        "there is no such log");
  }
  MR_CO_RETURN_IF_ERROR(log->failure());
  if (log->state().directory == target) co_return absl::OkStatus();

  const std::string topic = log->topic();
  auto move = std::make_unique<Move>(Move{.id = id, .target = target, .topic = topic});
  move->name = FutureDirectoryName(topic, id.partition, context_.env.random.NextUuid());
  move->folder = JoinPath(target->path(), move->name);
  const std::string folder = move->folder;
  const std::string name = JoinPath(target->path(), PartitionDirectoryName(topic, id.partition));
  auto present = co_await context_.env.disk.List(name);
  if (present.ok()) {
    co_return MakeError(ErrorKind::kStorageError, absl::StatusCode::kAlreadyExists,
                        fmt::format("{} is there already", name));
  }
  if (!absl::IsNotFound(present.status())) co_return present.status();
  absl::Status made = co_await RetireCopies(target, {topic, id.partition});
  if (made.ok()) made = co_await context_.env.disk.CreateDirectories(folder);
  if (made.ok()) made = co_await context_.env.disk.SyncDirectory(target->path());
  if (!made.ok()) co_return MakeError(ErrorKind::kStorageError, std::string(made.message()));
  moves_.emplace(id, std::move(move));
  wake_.Set();
  context_.env.logger.Info("[log {}-{}] moves to {}", topic, id.partition, target->path());
  co_return absl::OkStatus();
}

// A start that lost the checkpoints leaves what it finds alone. Beside ours a later one would take it
// for the log.
Task<absl::Status> LogMover::RetireCopies(LogDirectory* target, PartitionDirectory of) {
  Disk& disk = context_.env.disk;
  auto entries = co_await disk.List(target->path());
  if (!entries.ok()) co_return entries.status();
  for (const DirectoryEntry& entry : *entries) {
    const auto copy = ParseFutureDirectoryName(entry.name);
    if (!copy || copy->topic != of.topic || copy->partition != of.partition) continue;
    MR_CO_ASSIGN_OR_RETURN(
        const std::optional<TopicPartitionId> whole,
        co_await LogIn(disk, JoinPath(target->path(), entry.name), of.partition));
    const Uuid unique = context_.env.random.NextUuid();
    const std::string name = whole ? StrayDirectoryName(of.topic, of.partition, unique)
                                   : DeletedDirectoryName(of.topic, of.partition, unique);
    absl::Status renamed = co_await RenameFolder(disk, target->path(), entry.name, name);
    if (absl::IsNotFound(renamed)) continue;  // Of a move that has just ended.
    MR_CO_RETURN_IF_ERROR(renamed);
    const std::string path = JoinPath(target->path(), name);
    if (!whole) {
      context_.removals->Add(path, 0);
      continue;
    }
    ++target->strays;
    context_.env.logger.Warning(
        "[dir {}] {} is a copy of an earlier replica, and is set aside as {}: nothing here will "
        "remove it",
        target->path(), entry.name, name);
  }
  co_return absl::OkStatus();
}

void LogMover::Cancel(const TopicPartitionId& id) {
  auto found = moves_.find(id);
  if (found == moves_.end()) return;
  found->second->cancelled = true;
  wake_.Set();
}

std::vector<FutureReplica> LogMover::futures() const {
  std::vector<FutureReplica> futures;
  for (const auto& [id, move] : moves_) {
    uint64_t bytes = 0;
    for (const auto& [base, copied] : move->segments) bytes += copied.bytes;
    futures.push_back({id, move->target->path(), bytes, move->end});
  }
  return futures;
}

Task<void> LogMover::Loop() {
  CancellationToken token = scope_.token();
  while (!token.cancelled()) {
    if (moves_.empty()) {
      co_await wake_.Wait(std::nullopt, token);
      wake_.Reset();
      continue;
    }
    running_ = moves_.begin()->second.get();
    const TopicPartitionId id = running_->id;
    absl::Status status = co_await Run(running_);
    if (token.cancelled()) break;  // The next start begins anew.
    std::unique_ptr<Move> move = std::move(moves_.at(id));
    running_ = nullptr;
    moves_.erase(id);
    if (status.ok() || move->cancelled) continue;
    context_.env.logger.Error("[move {}] ended, the log stays where it is: {}", move->folder,
                              std::string(status.message()));
  }
  running_ = nullptr;
}

// Under its name a start would take what is left of it for the log, or for that of a topic that is
// made anew here: so it loses that before anybody hears that the move has ended, or the log.
Task<void> LogMover::DropCopy(Move* move) {
  LogDirectory& target = *move->target;
  if (!target.failure().ok()) co_return;
  const std::string gone =
      DeletedDirectoryName(move->topic, move->id.partition, context_.env.random.NextUuid());
  absl::Status renamed = co_await RenameFolder(context_.env.disk, target.path(), move->name, gone);
  if (renamed.ok()) {
    context_.removals->Add(JoinPath(target.path(), gone), 0);
  } else if (absl::IsResourceExhausted(renamed)) {
    context_.env.logger.Warning("[move {}] the copy stays until the next start: {}", move->folder,
                                std::string(renamed.message()));
  } else if (!absl::IsNotFound(renamed)) {  // Or the next move has done so.
    context_.fail_directory(target, renamed);
  }
}

absl::Status LogMover::CheckGoesOn(const Move& move, const Log::State& state) const {
  if (scope_.stopping() || move.cancelled) return absl::CancelledError("cancelled");
  if (state.deleted) return absl::CancelledError("the log is being deleted");
  if (!state.failure.ok()) return state.failure;
  return move.target->failure();
}

Task<absl::Status> LogMover::Run(Move* move) {
  Log* log = context_.find_log(move->id);
  Log::State* state = log == nullptr ? nullptr : &log->state();
  Gate::Holder inside = state == nullptr ? Gate::Holder() : state->gate.TryEnter();
  if (!inside || move->cancelled) {
    co_await DropCopy(move);
    co_return absl::CancelledError("cancelled, or the log is going away");
  }
  {
    // A compaction that is putting its files in place ends first; later ones see this and wait.
    IoLock lock = co_await LockIo(*state);
    state->moving = true;
  }
  absl::Status moved = co_await CopyAndSwitch(move, state);
  const bool goes_on = scope_.stopping() && !move->cancelled && !state->deleted;
  if (!moved.ok() && !goes_on) co_await DropCopy(move);
  state->moving = false;
  context_.cleaner->Changed(*state);
  co_return moved;
}

Task<absl::Status> LogMover::CopyAndSwitch(Move* move, Log::State* state) {
  MR_CO_RETURN_IF_ERROR(CheckGoesOn(*move, *state));
  MR_CO_RETURN_IF_ERROR(co_await WaitForEnds(move, state));
  move->truncations = state->truncations;
  for (;;) {
    MR_CO_RETURN_IF_ERROR(CheckGoesOn(*move, *state));
    absl::Status copied = co_await CopyWritten(move, state, /*locked=*/false);
    MR_CO_RETURN_IF_ERROR(CheckGoesOn(*move, *state));
    if (state->truncations != move->truncations) {
      // What was copied may be of batches that are gone: from the beginning, and into files of which
      // nothing is left that would lie behind what comes.
      move->truncations = state->truncations;
      move->segments.clear();
      MR_CO_RETURN_IF_ERROR(co_await RemoveSegmentParts(&context_.env.disk, move->folder));
      continue;
    }
    MR_CO_RETURN_IF_ERROR(copied);
    std::map<Offset, uint64_t> sizes;
    for (const auto& [base, done] : move->segments) sizes.emplace(base, done.bytes);
    if (MissingBytes(*state, sizes) <= kSwitchBytesMax) co_return co_await Switch(move, state);
  }
}

// A full disk can hold a journal up for as long as it likes, and the log must not wait with it: it may
// be to be deleted, and be what would make room.
Task<absl::Status> LogMover::WaitForEnds(Move* move, Log::State* state) {
  const LogDirectory& target = *move->target;
  while (!target.EndsAreDurable()) {
    MR_CO_RETURN_IF_ERROR(move->target->journal()->status());
    MR_CO_RETURN_IF_ERROR(CheckHasRoom(target));
    co_await Sleep(context_.env.reactor, milliseconds(1), scope_.token());
    MR_CO_RETURN_IF_ERROR(CheckGoesOn(*move, *state));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> LogMover::CopyWritten(Move* move, Log::State* state, bool locked) {
  std::vector<Offset> bases;
  for (const Segment& segment : state->segments) bases.push_back(segment.base);
  for (Offset base : bases) {
    absl::Status copied = co_await CopySegment(move, state, base, locked);
    MR_CO_RETURN_IF_ERROR(CheckGoesOn(*move, *state));
    if (state->truncations != move->truncations) co_return absl::OkStatus();  // Our caller looks.
    Segment* segment = state->FindSegment(base);
    if (segment == nullptr) continue;  // Retention has removed it, whatever we have met.
    MR_CO_RETURN_IF_ERROR(copied);
    Copied& done = move->segments[base];
    const bool whole = segment->sealed && segment->written == segment->size &&
                       done.bytes == segment->size && segment->indexes.pending.empty() &&
                       segment->indexes.pending_times.empty() &&
                       segment->index_state == IndexState::kGood;
    if (done.indexes || (!whole && !locked)) continue;
    MR_CO_RETURN_IF_ERROR(co_await CopyIndexes(move, state, base));
    move->segments[base].indexes = whole;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> LogMover::CopySegment(Move* move, Log::State* state, Offset base, bool locked) {
  Segment* segment = state->FindSegment(base);
  const uint64_t begin = move->segments[base].bytes;
  if (segment == nullptr) co_return absl::OkStatus();
  if (begin >= segment->written) {
    // It may be all that tells where an emptied log goes on.
    if (!locked || segment->written > 0 || !segment->file_exists) co_return absl::OkStatus();
    co_return co_await MakeFile(&context_.env.disk,
                                JoinPath(move->folder, SegmentFileName(base, kLogSuffix)));
  }
  const uint64_t end = segment->written;
  auto source = co_await context_.files.Acquire(state->SegmentPath(base, kLogSuffix), false);
  if (!source.ok()) co_return source.status();
  const std::string path = JoinPath(move->folder, SegmentFileName(base, kLogSuffix));
  SegmentScanner scanner(**source, {.begin = begin, .end = end, .offset_min = base});
  Chain piece;
  uint64_t position = begin;
  for (bool more = true; more;) {
    auto batch = co_await scanner.Next();
    if (!batch.ok()) co_return batch.status();
    more = batch->has_value();
    if (more) piece.Append((*batch)->bytes());
    if (piece.empty() || (more && piece.size() < kCopyBytes)) continue;
    const size_t size = piece.size();
    MR_CO_RETURN_IF_ERROR(
        co_await WriteTo(&context_.env.disk, path, position, std::exchange(piece, Chain())));
    position += size;
    if (state->truncations != move->truncations) co_return absl::OkStatus();
    move->segments[base].bytes = position;
    move->end = scanner.next_offset();
    context_.metrics.moved_bytes.Add(size);
    const uint64_t rate = context_.options.move_bytes_per_second;
    if (!locked && rate > 0) {
      co_await Sleep(context_.env.reactor,
                     Duration(static_cast<int64_t>(size * uint64_t{1'000'000'000} / rate)),
                     scope_.token());
      MR_CO_RETURN_IF_ERROR(CheckGoesOn(*move, *state));
    }
  }
  if (!scanner.defect().empty()) {
    if (state->truncations == move->truncations && state->FindSegment(base) != nullptr) {
      NoteDamage(*state, base, scanner.position(), scanner.defect());
    }
    co_return absl::DataLossError(fmt::format("{} at {}: {}", state->SegmentPath(base, kLogSuffix),
                                              scanner.position(), scanner.defect()));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> LogMover::CopyIndexes(Move* move, Log::State* state, Offset base) {
  for (std::string_view suffix : kIndexSuffixes) {
    MR_CO_RETURN_IF_ERROR(co_await CopyFile(move, state, SegmentFileName(base, suffix)));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> LogMover::CopyFile(Move* move, Log::State* state, std::string name) {
  Disk& disk = context_.env.disk;
  auto source = co_await disk.Open(JoinPath(state->path(), name), OpenOptions{.read_only = true});
  if (absl::IsNotFound(source.status())) {
    // A copy of before, if there is one, speaks of what is gone.
    absl::Status removed = co_await disk.Remove(JoinPath(move->folder, name));
    co_return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
  }
  if (!source.ok()) co_return source.status();
  auto target = co_await disk.Open(JoinPath(move->folder, name),
                                   OpenOptions{.create = true, .truncate = true});
  absl::Status status = target.status();
  for (uint64_t position = 0; status.ok();) {
    absl::StatusOr<Slice> piece =
        co_await (*source)->ReadAt(position, kCopyBytes, ReadHint::kNormal);
    status = piece.status();
    if (!status.ok() || piece->empty()) break;
    const size_t size = piece->size();
    status = co_await (*target)->WriteAt(position, Chain(*std::move(piece)), WriteFlags{});
    position += size;
  }
  if (target.ok()) status.Update(co_await (*target)->Close());
  status.Update(co_await (*source)->Close());
  co_return status;
}

Task<absl::Status> LogMover::CopyRest(Move* move, Log::State* state) {
  Disk& disk = context_.env.disk;
  auto names = co_await disk.List(state->path());
  if (!names.ok()) co_return names.status();
  bool has_metadata = false;
  for (const DirectoryEntry& entry : *names) {
    if (entry.is_directory || IsSegmentPart(entry.name) || IsPassing(entry.name)) continue;
    MR_CO_RETURN_IF_ERROR(co_await CopyFile(move, state, entry.name));
    has_metadata = has_metadata || entry.name == kPartitionMetadataFile;
  }
  // It was taken for what it is by its name. Its copy must say that it is whole.
  if (!has_metadata) {
    MR_CO_RETURN_IF_ERROR(co_await ReplaceFile(disk, JoinPath(move->folder, kPartitionMetadataFile),
                                               FormatPartitionMetadata(state->id.topic_id)));
  }
  auto copies = co_await disk.List(move->folder);
  if (!copies.ok()) co_return copies.status();
  for (const DirectoryEntry& entry : *copies) {
    bool wanted = false;
    for (const Segment& segment : state->segments) {
      wanted = wanted || entry.name.starts_with(SegmentFileName(segment.base, "."));
    }
    if (wanted || !IsSegmentPart(entry.name)) continue;
    MR_CO_RETURN_IF_ERROR(co_await disk.Remove(JoinPath(move->folder, entry.name)));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> LogMover::SyncCopy(Move* move) {
  Disk& disk = context_.env.disk;
  auto copies = co_await disk.List(move->folder);
  if (!copies.ok()) co_return copies.status();
  for (const DirectoryEntry& entry : *copies) {
    MR_CO_RETURN_IF_ERROR(co_await SyncFile(&disk, JoinPath(move->folder, entry.name)));
  }
  MR_CO_RETURN_IF_ERROR(co_await disk.SyncDirectory(move->folder));
  co_return co_await disk.SyncDirectory(move->target->path());
}

Task<absl::Status> LogMover::Switch(Move* move, Log::State* state) {
  IoLock lock = co_await LockIo(*state);
  state->switching = true;
  absl::Status status = co_await SwitchLocked(move, state);
  state->switching = false;
  co_return status;
}

Task<absl::Status> LogMover::SwitchLocked(Move* move, Log::State* state) {
  MR_CO_RETURN_IF_ERROR(CheckGoesOn(*move, *state));
  if (state->truncations != move->truncations) {
    co_return absl::AbortedError("truncated while it moved; ask again");
  }
  MR_CO_RETURN_IF_ERROR(co_await EnsureIndexes(*state, state->active().base));
  auto checkpoint = co_await context_.writer->Prepare(*state, /*complete=*/false);
  absl::Status status = checkpoint.status();
  if (status.ok()) status = co_await CopyWritten(move, state, /*locked=*/true);
  if (status.ok()) status = co_await CopyRest(move, state);
  if (status.ok()) status = co_await SyncCopy(move);
  if (status.ok()) status = CheckGoesOn(*move, *state);
  if (status.ok()) status = CheckHasRoom(*move->target);
  const Left left{state->directory, state->path(), state->incarnation, state->journal_first};
  if (status.ok()) status = HandOver(*move, *state, *checkpoint);
  state->checkpointing = false;
  state->journal_first_after.reset();
  if (!status.ok()) co_return status;

  // What the old journal has acknowledged must be in the new one before that one counts.
  Journal& journal = *move->target->journal();
  status = co_await journal.WaitDurable(state->journal_last, CancellationToken());
  KvBatch batch;
  batch.Put(KvSpace::kLogCheckpoint, LogCheckpointKey(state->id), EncodeLogCheckpoint(*checkpoint));
  if (status.ok()) {
    status = co_await context_.kv.Write(std::move(batch), KvWriteOptions{.sync = true});
  }
  if (!status.ok()) {
    // Nobody knows which folder it is now: the next start reads what was stored.
    state->Fail(status);
    context_.fail_directory(*move->target, status);
    co_return absl::OkStatus();
  }
  state->recovery_point = checkpoint->recovery_point;
  state->handing_over = false;
  state->AdvanceDurable();
  context_.writer->Appended(*state);
  co_await Rename(move, state, left);
  context_.env.logger.Info("[log {}] moved from {}", state->path(), left.directory->path());
  co_return absl::OkStatus();
}

absl::Status LogMover::HandOver(Move& move, Log::State& state, LogCheckpoint& checkpoint) {
  Journal& journal = *move.target->journal();
  checkpoint.directory = move.target->id();
  checkpoint.incarnation = context_.env.random.NextUuid();
  checkpoint.journal_generation = journal.generation();
  checkpoint.journal_position = journal.last_position();
  std::vector<DurableMark> marks = {{std::nullopt, state.written_end}};
  std::optional<JournalPosition> first;
  JournalPosition last{0};
  bool sync_wanted = false;
  context_.cache.Seal(state.tail);
  Offset end = state.written_end;  // Behind the batch before.
  for (size_t i = state.tail.first_pending(); i < state.tail.size(); ++i) {
    BatchReader batches(state.tail.run(i).bytes);
    for (;;) {
      absl::StatusOr<std::optional<BatchView>> next = batches.Next();
      MR_CHECK(next.ok());  // We have appended it ourselves.
      if (!next->has_value()) break;
      const BatchHeader& header = (**next).header();
      std::optional<JournalPosition> position;
      JournalEntry entry =
          JournalAppend{state.id, checkpoint.incarnation, std::exchange(end, header.next_offset()),
                        *header.leader_epoch, (**next).bytes()};
      if (state.durability == Durability::kDisk &&
          Journal::EntryBytes(entry) <= journal.entry_bytes_max()) {
        absl::StatusOr<JournalPosition> taken = journal.Enqueue(entry, &state);
        if (!taken.ok()) {
          journal.Forget(&state);
          return taken.status();
        }
        position = *taken;
        state.journaled = true;
        if (!first) first = *taken;
        last = *taken;
      } else {
        sync_wanted = true;
      }
      marks.push_back({position, header.next_offset()});
    }
  }
  // From here on nothing fails.
  const bool all_durable =
      state.marks_head == state.marks.size() && state.durability == Durability::kPageCache;
  if (Journal* old = state.directory->journal(); old != nullptr) old->Forget(&state);
  ForgetFiles(state);
  --state.directory->log_count;
  ++move.target->log_count;
  state.Relocate(move.target, move.folder);
  context_.retention->Moved(state);
  state.incarnation = checkpoint.incarnation;
  state.handing_over = true;
  state.marks = all_durable ? std::vector<DurableMark>() : std::move(marks);
  state.marks_head = 0;
  state.journal_durable = JournalPosition(0);
  state.journal_first = first;
  state.journal_last = last;
  state.sync_wanted = state.sync_wanted || (sync_wanted && !all_durable);
  state.synced_end = state.written_end;
  for (Segment& segment : state.segments) segment.synced = segment.written;
  if (first) move.target->Need(*first, state.number);
  return absl::OkStatus();
}

Task<void> LogMover::Rename(Move* move, Log::State* state, Left left) {
  Disk& disk = context_.env.disk;
  const std::string gone = JoinPath(
      left.directory->path(),
      DeletedDirectoryName(state->topic, state->id.partition, context_.env.random.NextUuid()));
  absl::Status status = co_await disk.Rename(left.path, gone);
  if (status.ok()) status = co_await disk.SyncDirectory(left.directory->path());
  if (status.ok()) {
    if (state->journaled) left.directory->EndIncarnation(state->id, left.incarnation);
    if (left.journal_first) left.directory->Unneed(*left.journal_first, state->number);
    left.directory->RecycleJournal();
    context_.removals->Add(gone, state->config.file_delete_delay_ms);
  } else {
    context_.fail_directory(*left.directory, status);
  }
  const std::string name =
      JoinPath(move->target->path(), PartitionDirectoryName(state->topic, state->id.partition));
  status = co_await disk.Rename(move->folder, name);
  if (status.ok()) {
    ForgetFiles(*state);
    state->Relocate(move->target, name);
    status = co_await disk.SyncDirectory(move->target->path());
  }
  if (!status.ok()) context_.fail_directory(*move->target, status);
}

}  // namespace millrace
