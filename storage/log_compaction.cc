#include "storage/log_compaction.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "common/check.h"
#include "common/runtime/event.h"
#include "common/status_macros.h"
#include "storage/log_files.h"
#include "storage/log_scrubber.h"
#include "storage/segment/segment_scanner.h"
#include "storage/segment_swap.h"
#include "storage/segment_writer.h"
#include "storage/store_context.h"

namespace millrace {
namespace {

constexpr double kPauseSecondsMax = 0.1;

constexpr uint64_t kSegmentBytesMax = std::numeric_limits<int32_t>::max();

}  // namespace

struct LogCompaction::Work {
  Work(KeyHash secret, const CleanerOptions& options, uint64_t keys, Offset begin,
       LogConfig log_config)
      : map(secret, options.map_bytes_max, options.map_load, keys),
        keys(map, begin),
        config(log_config) {}

  KeyMap map;
  KeyCollector keys;
  std::optional<RecordFilter> filter;     // In the second pass.
  std::optional<CleanedSegment> cleaned;  // What is being written.
  const LogConfig config;
};

LogCompaction::LogCompaction(StoreContext& context, Log::State& state, CancellationToken token,
                             std::function<const CleanerOptions&()> options)
    : context_(context),
      state_(state),
      token_(token),
      options_(std::move(options)),
      truncations_(state.truncations),
      directory_(state.directory),
      report_{Offset(0), Offset(0)} {}

LogCompaction::~LogCompaction() = default;

absl::Status LogCompaction::CheckGoesOn() const {
  if (token_.cancelled()) return absl::CancelledError("the store is stopping");
  if (state_.deleted) return absl::CancelledError("the log is being deleted");
  if (!state_.failure.ok()) return absl::CancelledError(state_.failure.message());
  if (state_.truncations != truncations_) return absl::AbortedError("the log was truncated");
  // A move may have begun and ended while the round slept.
  if (state_.moving || state_.directory != directory_) {
    return absl::AbortedError("the log is moving to another directory");
  }
  if (!state_.config.cleanup_compact) return absl::AbortedError("the topic is not compacted now");
  return absl::OkStatus();
}

std::vector<std::vector<Offset>> LogCompaction::Groups(Offset end) const {
  std::vector<std::vector<Offset>> groups;
  size_t at = 0;
  for (size_t count : GroupSegments(state_.segments, end, state_.config)) {
    std::vector<Offset>& group = groups.emplace_back();
    uint64_t bytes = 0;
    for (; count > 0; --count, ++at) {
      group.push_back(state_.segments[at].base);
      bytes += state_.segments[at].size;
    }
    if (bytes == 0) groups.pop_back();  // Nothing is written for nothing.
  }
  return groups;
}

Task<absl::StatusOr<CompactionReport>> LogCompaction::Run(CompactionPlan plan) {
  const uint64_t offsets = static_cast<uint64_t>((plan.end - plan.dirty_begin).value());
  const KeyHash secret{context_.env.random.Next(), context_.env.random.Next()};
  // Filling the map with emptiness, and giving its pages back, takes longer than a shard may stall.
  std::move_only_function<std::shared_ptr<Work>()> make =
      [secret, offsets, begin = plan.dirty_begin, options = options_(), config = state_.config] {
        return std::make_shared<Work>(secret, options, offsets, begin, config);
      };
  work_ = co_await context_.env.helpers.Compute<std::shared_ptr<Work>>(std::move(make));
  absl::StatusOr<CompactionReport> report = co_await RunRound(plan);
  std::move_only_function<bool()> drop = [work = std::move(work_)]() mutable {
    work.reset();
    return true;
  };
  co_await context_.env.helpers.Compute<bool>(std::move(drop));
  co_return report;
}

Task<absl::StatusOr<CompactionReport>> LogCompaction::RunRound(CompactionPlan plan) {
  MR_CO_RETURN_IF_ERROR(CheckGoesOn());
  std::map<ProducerId, LastOfProducer> producers;
  for (const auto& [id, entry] : state_.producers.entries()) {
    LastOfProducer last{std::nullopt, entry.epoch()};
    if (!entry.batches().empty()) last.data = entry.batches().back().last_offset;
    producers.emplace(id, last);
  }
  const Timestamp now = context_.env.clock.Now();
  MR_CO_RETURN_IF_ERROR(co_await CollectKeys(plan));
  report_.begin = plan.dirty_begin;
  report_.end = map_full_ ? work_->keys.end() : plan.end;
  report_.keys = work_->map.size();
  work_->filter.emplace(work_->map,
                        RecordFilter::Options{report_.end, now, state_.config.delete_retention_ms,
                                              std::move(producers)});
  for (std::vector<Offset>& group : Groups(report_.end)) {
    report_.segments_before += group.size();
    ++report_.segments_after;
    absl::Status done = co_await CompactGroup(std::move(group));
    if (!done.ok()) co_return done;
  }
  report_.records_removed = work_->filter->records_removed();
  MR_CO_RETURN_IF_ERROR(CheckGoesOn());
  state_.cleaned_to = report_.end;
  // Stored with the next checkpoint. Lost before, it costs a round.
  context_.writer->MarkDirty(state_);
  co_return report_;
}

Task<absl::Status> LogCompaction::CollectKeys(CompactionPlan plan) {
  std::vector<Offset> bases;
  for (size_t i = 0; i + 1 < state_.segments.size(); ++i) {
    const bool dirty =
        state_.segments[i + 1].base > plan.dirty_begin && state_.segments[i].base < plan.end;
    if (dirty && !state_.segments[i].empty()) bases.push_back(state_.segments[i].base);
  }
  for (Offset base : bases) {
    MR_CO_RETURN_IF_ERROR(co_await AddAborted(base, /*filtering=*/false));
    MR_CO_RETURN_IF_ERROR(co_await WalkSegment(base, nullptr, /*last=*/false));
    if (map_full_) break;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> LogCompaction::AddAborted(Offset base, bool filtering) {
  const Segment* segment = state_.FindSegment(base);
  if (segment == nullptr) co_return absl::AbortedError("a segment is gone");
  auto aborted = co_await state_.log->AbortedTransactions(base, segment->next);
  MR_CO_RETURN_IF_ERROR(CheckGoesOn());
  if (!aborted.ok()) co_return aborted.status();
  TransactionTrack& track = filtering ? work_->filter->transactions() : work_->keys.transactions();
  for (const AbortedTransaction& each : *aborted) track.AddAborted(each);
  co_return absl::OkStatus();
}

Task<absl::Status> LogCompaction::WalkSegment(Offset base, File* file, bool last) {
  const Segment* segment = state_.FindSegment(base);
  if (segment == nullptr) co_return absl::AbortedError("a segment is gone");
  const uint64_t end = segment->written;
  auto source = co_await context_.files.Acquire(state_.SegmentPath(base, kLogSuffix), false);
  MR_CO_RETURN_IF_ERROR(CheckGoesOn());
  if (absl::IsNotFound(source.status())) co_return absl::AbortedError("a segment is gone");
  if (!source.ok()) co_return source.status();
  SegmentScanner scanner(**source,
                         {.end = end,
                          .offset_min = base,
                          .check_crc = false,  // The helpers do.
                          .hint = file != nullptr ? ReadHint::kSequentialOnce : ReadHint::kNormal});
  Piece piece;
  for (bool more = true; more && !(file == nullptr && map_full_);) {
    auto batch = co_await scanner.Next();
    MR_CO_RETURN_IF_ERROR(CheckGoesOn());
    if (!batch.ok()) co_return batch.status();
    more = batch->has_value();
    if (more) {
      if (piece.batches.empty()) piece.position = scanner.batch_position();
      piece.bytes += (*batch)->header().size_bytes;
      piece.batches.push_back(**std::move(batch));
    }
    const bool whole = !more || scanner.position() == end;
    piece.last = last && whole;
    if (piece.batches.empty() || (!whole && piece.bytes < options_().buffer_bytes)) continue;
    MR_CO_RETURN_IF_ERROR(co_await DoPiece(std::exchange(piece, Piece()), base, file));
  }
  if (scanner.defect().empty()) co_return absl::OkStatus();
  NoteDamage(state_, base, scanner.position(), scanner.defect());
  co_return absl::DataLossError(fmt::format("{} at {}: {}", SegmentFileName(base, kLogSuffix),
                                            scanner.position(), scanner.defect()));
}

Task<absl::Status> LogCompaction::DoPiece(Piece piece, Offset base, File* file) {
  const uint64_t read = piece.bytes;
  const uint64_t position = piece.position;
  std::move_only_function<PieceResult()> job = [work = work_, piece = std::move(piece),
                                                filtering = file != nullptr] {
    return filtering ? FilterPiece(*work, piece) : CollectPiece(*work, piece);
  };
  PieceResult result = co_await context_.env.helpers.Compute<PieceResult>(std::move(job));
  MR_CO_RETURN_IF_ERROR(CheckGoesOn());
  if (result.damaged) NoteDamage(state_, base, position, std::string(result.status.message()));
  MR_CO_RETURN_IF_ERROR(result.status);
  if (!result.more) map_full_ = true;
  const uint64_t written = result.bytes.size();
  if (written > 0) {
    MR_CO_RETURN_IF_ERROR(co_await file->WriteAt(write_position_, Chain(std::move(result.bytes)),
                                                 WriteFlags{.write_back_soon = true}));
    write_position_ += written;
  }
  context_.metrics.cleaner_read_bytes.Add(read);
  context_.metrics.cleaner_written_bytes.Add(written);
  report_.read_bytes += read;
  report_.written_bytes += written;
  co_await Pause(read + written);
  co_return CheckGoesOn();
}

Task<void> LogCompaction::Pause(uint64_t bytes) {
  co_await Yield(context_.env.reactor);
  for (double left = static_cast<double>(bytes); left > 0 && CheckGoesOn().ok();) {
    const auto rate = static_cast<double>(options_().bytes_per_second);
    if (rate == 0) break;
    const double seconds = std::min(left / rate, kPauseSecondsMax);
    co_await Sleep(context_.env.reactor, Duration(static_cast<int64_t>(seconds * 1e9)), token_);
    left -= rate * seconds;
  }
}

LogCompaction::PieceResult LogCompaction::CollectPiece(Work& work, const Piece& piece) {
  PieceResult result;
  for (const BatchView& batch : piece.batches) {
    result.status = batch.CheckCrc();
    result.damaged = !result.status.ok();
    if (result.damaged) {
      result.status = absl::DataLossError(result.status.message());
      return result;
    }
    absl::StatusOr<bool> whole = work.keys.Add(batch);
    result.status = whole.status();
    if (!whole.ok()) return result;
    result.more = *whole;
    if (!result.more) return result;
  }
  return result;
}

LogCompaction::PieceResult LogCompaction::FilterPiece(Work& work, const Piece& piece) {
  PieceResult result;
  std::vector<BatchView> kept;
  size_t bytes = 0;
  CleanedSegment& cleaned = *work.cleaned;
  for (size_t i = 0; i < piece.batches.size(); ++i) {
    const BatchView& batch = piece.batches[i];
    result.status = batch.CheckCrc();
    result.damaged = !result.status.ok();
    if (result.damaged) {
      result.status = absl::DataLossError(result.status.message());
      return result;
    }
    const bool last = piece.last && i + 1 == piece.batches.size();
    absl::StatusOr<std::optional<BatchView>> filtered = work.filter->Filter(batch, last);
    result.status = filtered.status();
    if (!filtered.ok()) return result;
    if (!filtered->has_value()) continue;
    if (cleaned.segment.size + (*filtered)->header().size_bytes > kSegmentBytesMax) {
      result.status = absl::DataLossError("a compacted segment would exceed 2 GiB");
      return result;
    }
    cleaned.segment.Add((*filtered)->header(), work.config);
    bytes += (*filtered)->header().size_bytes;
    kept.push_back(**std::move(filtered));
  }
  for (AbortedTransaction& each : work.filter->TakeAborted()) cleaned.aborted.push_back(each);
  if (bytes == 0) return result;
  MutableBuffer buffer(bytes);
  size_t at = 0;
  for (const BatchView& batch : kept) {
    std::ranges::copy(batch.bytes(), buffer.data() + at);
    at += batch.bytes().size();
  }
  result.bytes = std::move(buffer).Freeze(bytes);
  return result;
}

Task<absl::Status> LogCompaction::CompactGroup(std::vector<Offset> bases) {
  const Offset base = bases.front();
  const std::string path = state_.SegmentPath(base, kLogSuffix) + std::string(kCleanedSuffix);
  work_->cleaned.emplace(base, context_.env.clock.Now());
  work_->cleaned->replaced = bases;
  write_position_ = 0;
  auto file = co_await context_.env.disk.Open(path, {.create = true, .truncate = true});
  absl::Status status = file.status();
  if (file.ok()) {
    status = co_await WriteGroup(file->get(), bases);
    if (status.ok()) status = co_await (*file)->Sync();
    status.Update(co_await (*file)->Close());
  }
  if (status.ok()) status = CheckGoesOn();
  if (status.ok()) {
    CleanedSegment& cleaned = *work_->cleaned;
    MR_CHECK(cleaned.segment.size == write_position_);
    if (cleaned.segment.max_time) cleaned.segment.indexes.AddLast(*cleaned.segment.max_time);
    status = co_await WriteCleanedIndexes(state_, cleaned);
  }
  if (status.ok()) {
    IoLock lock = co_await LockIo(state_);
    status = CheckGoesOn();
    if (status.ok()) status = co_await SwapIn(state_, &*work_->cleaned, truncations_);
    if (status.ok()) context_.cache.DropWrittenBelow(state_.tail, report_.end);
  }
  if (!status.ok() && !state_.deleted && state_.failure.ok()) {
    co_await RemoveCleaned(state_, base);
  }
  co_return status;
}

Task<absl::Status> LogCompaction::WriteGroup(File* file, std::vector<Offset> bases) {
  // The last batch of the group stays, whatever is in it: no segment is empty, and each still says
  // where the next one begins.
  std::optional<Offset> last;
  for (Offset base : bases) {
    const Segment* segment = state_.FindSegment(base);
    if (segment == nullptr) co_return absl::AbortedError("a segment is gone");
    if (!segment->empty()) last = base;
  }
  for (Offset base : bases) {
    MR_CO_RETURN_IF_ERROR(co_await AddAborted(base, /*filtering=*/true));
    MR_CO_RETURN_IF_ERROR(co_await WalkSegment(base, file, base == last));
  }
  co_return absl::OkStatus();
}

}  // namespace millrace
