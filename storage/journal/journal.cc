#include "storage/journal/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

constexpr uint64_t kExtentsMin = 2;  // One to write, one to write over next.
constexpr Duration kGrowRetry = seconds(1);
constexpr double kGrowAt = 0.5;  // Of the newest extent: early enough to be ready in time.

size_t ChunksKept(const Journal::Options& options) {
  return 2 * ((options.frame_bytes_max + kJournalChunkBytes - 1) / kJournalChunkBytes);
}

}  // namespace

absl::Status Journal::Options::Validate() const {
  const auto bad = [](std::string text) { return absl::InvalidArgumentError(std::move(text)); };
  if (extent_bytes % kJournalBlockBytes != 0) {
    return bad(fmt::format("journal extent_bytes {} is no multiple of {}", extent_bytes,
                           kJournalBlockBytes));
  }
  if (extent_bytes < 8 * kJournalBlockBytes || extent_bytes > 2 * kJournalFrameBytesLimit) {
    return bad(fmt::format("journal extent_bytes {} is not between {} and {}", extent_bytes,
                           8 * kJournalBlockBytes, 2 * kJournalFrameBytesLimit));
  }
  if (bytes_max / extent_bytes < kExtentsMin) {
    return bad(fmt::format("journal bytes_max {} has no room for {} extents of {}", bytes_max,
                           kExtentsMin, extent_bytes));
  }
  if (frame_bytes_max < kJournalBlockBytes || frame_bytes_max > extent_bytes / 4) {
    return bad(fmt::format("journal frame_bytes_max {} is not between {} and {} (a quarter extent)",
                           frame_bytes_max, kJournalBlockBytes, extent_bytes / 4));
  }
  if (pending_bytes_max == 0) return bad("journal pending_bytes_max is 0");
  if (!(pressure_ratio > 0 && pressure_ratio <= 1)) {
    return bad(fmt::format("journal pressure_ratio {} is not in (0, 1]", pressure_ratio));
  }
  return absl::OkStatus();
}

Journal::Journal(Env& env, std::string directory, ShardId shard, Options options,
                 JournalGeneration generation)
    : options_(options),
      shard_(shard),
      generation_(generation),
      env_(env),
      chunks_(ChunksKept(options)),
      extents_(env.disk, std::move(directory), shard, options.extent_bytes),
      scope_(env.reactor),
      work_(env.reactor),
      room_(env.reactor),
      admitted_(env.reactor),
      gate_(env.reactor) {}

Journal::~Journal() { MR_CHECK(stopped_); }

Task<absl::StatusOr<std::unique_ptr<Journal>>> Journal::Open(
    Env& env,  // NOLINT(cppcoreguidelines-avoid-reference-coroutine-parameters): outlives us.
    std::string log_dir, ShardId shard, Options options) {
  MR_CO_RETURN_IF_ERROR(options.Validate());
  const std::string directory = JournalDirectory(log_dir);
  MR_CO_RETURN_IF_ERROR(co_await env.disk.CreateDirectories(directory));
  MR_CO_RETURN_IF_ERROR(co_await env.disk.SyncDirectory(log_dir));
  MR_CO_ASSIGN_OR_RETURN(std::vector<DirectoryEntry> found, co_await env.disk.List(directory));
  for (const DirectoryEntry& entry : found) {
    const std::optional<JournalExtentName> name = JournalExtentName::Parse(entry.name);
    if (entry.name == kJournalDiscardedName || (name.has_value() && name->shard == shard)) {
      co_return absl::FailedPreconditionError(
          fmt::format("{}/{} is of an earlier start and was not recovered", directory, entry.name));
    }
  }
  std::unique_ptr<Journal> journal(
      new Journal(env, directory, shard, options, env.random.NextUuid()));
  absl::Status status;
  for (uint64_t i = 0; i < kExtentsMin && status.ok(); ++i) {
    status = co_await journal->extents_.Create();
  }
  if (!status.ok()) {
    // Nothing was written to them yet, so they may go; a file that stays is blank.
    (co_await journal->extents_.RemoveAll()).IgnoreError();
    journal->stopped_ = true;
    co_return status;
  }
  journal->scope_.Spawn(journal->WriteLoop(), SchedClass::kProduce);
  co_return journal;
}

size_t Journal::EntryBytes(const JournalEntry& entry) { return JournalEntryBytes(entry); }

double Journal::fill_ratio() const {
  return static_cast<double>(bytes_pending_recycle()) / static_cast<double>(options_.bytes_max);
}

Task<absl::Status> Journal::Admit(CancellationToken token) {
  Gate::Holder hold = gate_.TryEnter();
  if (!hold || stopping_) co_return absl::UnavailableError("the journal is stopping");
  const uint64_t ticket = next_ticket_++;
  line_.push_back(ticket);
  bool admitted = false;
  while (status_.ok() && !stopping_ && !token.cancelled()) {
    admitted = line_.front() == ticket && pending_bytes_ < options_.pending_bytes_max;
    if (admitted) break;
    co_await admitted_.Wait(std::nullopt, token);
  }
  std::erase(line_, ticket);
  if (!line_.empty()) admitted_.Pulse();  // There may be room for the next one too.
  if (admitted) co_return absl::OkStatus();
  if (!status_.ok()) co_return status_;
  if (stopping_) co_return absl::UnavailableError("the journal is stopping");
  co_return absl::CancelledError("cancelled while waiting for the journal");
}

absl::StatusOr<JournalPosition> Journal::Enqueue(const JournalEntry& entry,
                                                 JournalListener* listener) {
  if (!status_.ok()) return status_;
  if (stopping_) return absl::UnavailableError("the journal is stopping");
  const size_t bytes = EntryBytes(entry);
  MR_CHECK(bytes <= entry_bytes_max());
  const JournalPosition position(next_position_++);
  if (queue_.empty() || queue_.back().builder.bytes() + bytes > options_.frame_bytes_max) {
    queue_.emplace_back(chunks_, position);
  }
  PendingFrame& frame = queue_.back();
  frame.builder.Add(entry);
  frame.last_position = position;
  if (listener != nullptr) {
    if (frame.notices.empty() || frame.notices.back().listener != listener) {
      frame.notices.push_back({listener, position});
    } else {
      frame.notices.back().position = position;
    }
  }
  pending_bytes_ += bytes;
  work_.Pulse();
  return position;
}

void Journal::Forget(const JournalListener* listener) {
  const auto forget = [listener](std::vector<Notice>& notices) {
    for (Notice& notice : notices) {
      if (notice.listener == listener) notice.listener = nullptr;
    }
  };
  forget(writing_);
  for (PendingFrame& frame : queue_) forget(frame.notices);
}

Task<absl::Status> Journal::WaitDurable(JournalPosition position, CancellationToken token) {
  MR_CHECK(position <= last_position());
  if (position <= durable_) co_return absl::OkStatus();
  if (!status_.ok()) co_return status_;
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return absl::UnavailableError("the journal is stopping");
  Event event(env_.reactor);
  const auto waiter = waiters_.emplace(position.value(), &event);
  const WaitResult result = co_await event.Wait(std::nullopt, token);
  // Whoever sets the event takes it out of the map, also when the cancellation came first and we
  // only run now.
  if (!event.is_set()) waiters_.erase(waiter);
  if (position <= durable_) co_return absl::OkStatus();
  if (!status_.ok()) co_return status_;
  MR_CHECK(result == WaitResult::kCancelled);
  co_return absl::CancelledError("cancelled while waiting for the journal; the entry is written");
}

void Journal::Recycle(JournalPosition position) {
  MR_CHECK(position <= durable_);
  if (position <= recycled_) return;
  recycled_ = position;
  extents_.Recycle(position);
  if (extents_.has_retiring()) room_.Pulse();
}

Task<void> Journal::WriteLoop() {
  while (status_.ok()) {
    if (queue_.empty()) {
      if (stopping_) break;
      co_await work_.Wait();
      continue;
    }
    // From here on the frame is closed: what comes now goes into the next one.
    PendingFrame frame = std::move(queue_.front());
    queue_.pop_front();
    writing_ = std::move(frame.notices);
    absl::Status status = co_await WriteFrame(frame.builder, frame.last_position);
    if (!status.ok()) Fail(std::move(status));
    if (!status_.ok()) break;  // Or growing failed meanwhile, and everyone was told.
    Completed(frame);
    MaybeGrow();
  }
}

Task<absl::Status> Journal::WriteFrame(JournalFrameBuilder& builder, JournalPosition last) {
  while (!extents_.Fits(builder.padded_bytes())) {
    MR_CO_RETURN_IF_ERROR(co_await EnterNextExtent());
  }
  co_return co_await WriteFitting(builder, last, /*needs_nothing=*/false);
}

Task<absl::Status> Journal::EnterNextExtent() {
  while (!extents_.has_free()) {
    if (extents_.has_retiring()) {
      // An empty frame in the block that is kept for it: only when it is durable that the next
      // extent's old frames are not needed may they be written over (journal_extents.h).
      JournalFrameBuilder empty(chunks_, JournalPosition(durable_.value() + 1));
      MR_CHECK(extents_.FitsLastBlock(empty.padded_bytes()));
      MR_CO_RETURN_IF_ERROR(co_await WriteFitting(empty, durable_, /*needs_nothing=*/false));
      MR_CHECK(extents_.has_free());
      break;
    }
    NotifyPressure();  // May recycle at once.
    MaybeGrow();
    if (extents_.has_retiring()) continue;
    // Whoever would recycle may have stopped already; Stop() must end all the same.
    if (stopping_) co_return absl::UnavailableError("the journal is full and stopping");
    co_await room_.Wait();
    if (!status_.ok()) co_return status_;
  }
  extents_.Enter(next_sequence_);
  if (fill_ratio() > options_.pressure_ratio) NotifyPressure();
  co_return absl::OkStatus();
}

Task<absl::Status> Journal::WriteFitting(JournalFrameBuilder& builder, JournalPosition last,
                                         bool needs_nothing) {
  const uint64_t sequence = next_sequence_++;
  const uint64_t tail = needs_nothing ? sequence + 1 : extents_.TailSequence(sequence);
  tail_sequence_ = std::max(tail_sequence_, tail);
  const uint64_t stated = tail_sequence_;
  Chain chain = builder.Seal(
      {.generation = generation_, .shard = shard_, .sequence = sequence, .tail_sequence = stated});
  const uint64_t bytes = chain.size();
  const Instant begun = env_.reactor.Now();
  if (options_.on_write) options_.on_write(true);
  const absl::Status written = co_await extents_.file().WriteAt(
      extents_.write_position(), std::move(chain), WriteFlags{.durable = true});
  if (options_.on_write) options_.on_write(false);
  if (!written.ok()) co_return written;
  if (options_.write_times != nullptr) options_.write_times->Observe(env_.reactor.Now() - begun);
  extents_.Wrote(bytes, last, stated);
  bytes_written_ += bytes;
  ++frames_written_;
  co_return absl::OkStatus();
}

void Journal::Completed(const PendingFrame& frame) {
  MR_CHECK(frame.last_position > durable_);
  durable_ = frame.last_position;
  pending_bytes_ -= frame.builder.bytes() - kJournalFrameHeaderBytes;
  // By index: a listener may Forget() others, itself included. The vector itself only changes here.
  for (size_t i = 0; i < writing_.size(); ++i) {
    const Notice notice = writing_[i];
    if (notice.listener != nullptr) notice.listener->OnJournalDurable(notice.position);
  }
  writing_.clear();
  while (!waiters_.empty() && waiters_.begin()->first <= durable_.value()) {
    Event* event = waiters_.begin()->second;
    waiters_.erase(waiters_.begin());
    event->Set();
  }
  if (!line_.empty()) admitted_.Pulse();
}

void Journal::Fail(absl::Status status) {
  if (!status_.ok()) return;
  if (!stopping_) {
    env_.logger.Error("journal {}: ok -> failed, its log directory is offline: {}", shard_,
                      status.ToString());
  }
  status_ = std::move(status);
  for (PendingFrame& frame : queue_) {
    writing_.insert(writing_.end(), frame.notices.begin(), frame.notices.end());
  }
  queue_.clear();
  pending_bytes_ = 0;
  std::set<const JournalListener*> told;  // Asked only; the order is that of the notices.
  for (size_t i = 0; i < writing_.size(); ++i) {
    JournalListener* listener = writing_[i].listener;
    if (listener != nullptr && told.insert(listener).second) listener->OnJournalFailed(status_);
  }
  writing_.clear();
  while (!waiters_.empty()) {
    Event* event = waiters_.begin()->second;
    waiters_.erase(waiters_.begin());
    event->Set();
  }
  work_.Pulse();
  room_.Pulse();
  admitted_.Pulse();
}

void Journal::NotifyPressure() {
  if (pressure_listener_ != nullptr) pressure_listener_->OnJournalPressure();
}

void Journal::MaybeGrow() {
  if (growing_ || stopping_ || !status_.ok()) return;
  if (extents_.has_free() || extents_.has_retiring()) return;
  if ((extents_.count() + 1) * options_.extent_bytes > options_.bytes_max) return;
  if (extents_.newest_used() < kGrowAt) return;
  if (env_.reactor.Now() < grow_not_before_) return;
  growing_ = true;
  scope_.Spawn(Grow(), SchedClass::kHousekeeping);
}

Task<void> Journal::Grow() {
  absl::Status status = co_await extents_.Create();
  growing_ = false;
  if (status.ok()) {
    room_.Pulse();
    co_return;
  }
  if (absl::IsResourceExhausted(status)) {
    // The disk is full: what there is goes round, slower.
    env_.logger.Warning("journal {}: stays at {} extents of {} bytes: {}", shard_, extents_.count(),
                        options_.extent_bytes, status.ToString());
    grow_not_before_ = env_.reactor.Now() + kGrowRetry;
    co_return;
  }
  Fail(std::move(status));
}

Task<absl::Status> Journal::Stop() {
  MR_CHECK(!stopping_);
  stopping_ = true;
  work_.Pulse();
  room_.Pulse();
  admitted_.Pulse();
  co_await scope_.Join();
  co_await scope_.Stop();
  co_await gate_.Close();
  absl::Status closed = co_await CloseFiles();
  if (status_.ok()) status_ = std::move(closed);
  stopped_ = true;
  co_return status_;
}

Task<absl::Status> Journal::CloseFiles() {
  if (!status_.ok() || recycled_ < last_position()) co_return co_await extents_.Close();
  if (frames_written_ > 0) {
    // Files go one by one, and a crash may leave any of them. This frame says first that none is
    // needed; its extent goes last.
    JournalFrameBuilder end(chunks_, JournalPosition(next_position_));
    MR_CHECK(extents_.FitsLastBlock(end.padded_bytes()));
    absl::Status status = co_await WriteFitting(end, durable_, /*needs_nothing=*/true);
    if (!status.ok()) {
      (co_await extents_.Close()).IgnoreError();
      co_return status;
    }
  }
  co_return co_await extents_.RemoveAll();
}

}  // namespace millrace
