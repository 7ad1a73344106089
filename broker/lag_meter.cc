#include "broker/lag_meter.h"

#include <algorithm>

#include "common/runtime/reactor.h"
#include "storage/record/record_batch.h"

namespace millrace {
namespace {

constexpr size_t kQuestionsPerTurn = 256;

bool MustKnow(const Partition& partition, BrokerId self) {
  if (partition.leads()) return partition.high_watermark_is_current();
  const AssignedReplica* replica = partition.assignment().Find(self);
  return partition.follows() && replica != nullptr && replica->in_isr;
}

std::optional<Timestamp> TimeOf(const Chain& batches) {
  absl::StatusOr<std::optional<BatchView>> batch = BatchReader(batches.Flatten()).Next();
  if (!batch.ok() || !batch->has_value()) return std::nullopt;
  const BatchHeader& header = (*batch)->header();
  const Timestamp time = header.attributes.timestamp_type() == TimestampType::kLogAppendTime
                             ? header.max_timestamp
                             : header.base_timestamp;
  return time < Timestamp(0) ? std::nullopt : std::optional(time);
}

}  // namespace

Task<std::optional<Timestamp>> LagMeter::TimeAt(TopicPartitionId at, Offset from,
                                                size_t* disk_reads) {
  Partition* partition = partitions_.Find(at);
  if (partition == nullptr) co_return std::nullopt;
  Log& log = partition->log();
  LogReadOptions options{
      .bytes_max = 1, .upper_bound = partition->high_watermark(), .at_least_one_batch = true};
  const absl::StatusOr<std::optional<LogRead>> cached = log.TryReadCached(from, options);
  if (!cached.ok()) co_return std::nullopt;
  if (cached->has_value()) co_return TimeOf((*cached)->batches);
  if (*disk_reads == kDiskReadsMax) co_return std::nullopt;
  ++*disk_reads;
  const absl::StatusOr<LogRead> read = co_await log.Read(from, options);
  co_return read.ok() ? TimeOf(read->batches) : std::nullopt;
}

Task<std::vector<std::optional<Lag>>> LagMeter::Measure(std::vector<LagQuestion> questions) {
  std::vector<std::optional<Lag>> answers(questions.size());
  Times times;
  size_t disk_reads = 0;
  for (size_t i = 0; i < questions.size(); ++i) {
    if (i % kQuestionsPerTurn == kQuestionsPerTurn - 1) co_await Yield(env_.reactor);
    const LagQuestion& question = questions[i];
    Partition* partition = partitions_.Find(question.at);
    if (partition == nullptr || !MustKnow(*partition, self_)) continue;
    const Offset end = partition->high_watermark();
    Lag& lag = answers[i].emplace();
    // A client may have committed anything; no record is before the first.
    const Offset position = std::max(question.position, Offset(0));
    if (position >= end) continue;
    lag.records = (end - position).value();
    // What was deleted unread is not waited for any more.
    const Place place{question.at, std::max(position, partition->log().start_offset())};
    if (place.second >= end) continue;
    if (const auto known = times_.find(place); known != times_.end()) {
      lag.oldest = known->second;
    } else {
      lag.oldest = co_await TimeAt(place.first, place.second, &disk_reads);
    }
    if (lag.oldest.has_value()) times.emplace(place, *lag.oldest);
  }
  times_ = std::move(times);
  co_return answers;
}

}  // namespace millrace
