#include "broker/coordinator/coordinator_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "broker/coordinator/coordinator_loader.h"
#include "common/error_kind.h"
#include "common/runtime/reactor.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

constexpr size_t kQueuedBytesMax = 8 << 20;
constexpr size_t kLoadBytes = 1 << 20;

}  // namespace

CoordinatorLog::CoordinatorLog(Env& env, PartitionTable& partitions, LogStore& store,
                               TopicPartitionId id, LeaderEpoch epoch,
                               std::function<void()> on_failure)
    : id_(id),
      epoch_(epoch),
      env_(env),
      partitions_(partitions),
      store_(store),
      on_failure_(std::move(on_failure)),
      scope_(env.reactor) {}

CoordinatorLog::~CoordinatorLog() = default;

std::unique_ptr<CoordinatorLog> MakeCoordinatorLog(Env& env, PartitionTable& partitions,
                                                   LogStore& store, TopicPartitionId id,
                                                   LeaderEpoch epoch,
                                                   std::function<void()> on_failure) {
  return std::make_unique<CoordinatorLog>(env, partitions, store, id, epoch, std::move(on_failure));
}

Partition* CoordinatorLog::Leading() const {
  Partition* partition = partitions_.Find(id_);
  const bool leads =
      partition != nullptr && partition->leads() && partition->leader_epoch() == epoch_;
  return leads ? partition : nullptr;
}

// --- Loading -------------------------------------------------------------------------------------

Task<absl::Status> CoordinatorLog::Load(CoordinatorMachine* machine, CancellationToken cancel) {
  constexpr std::string_view kNotLeader = "this broker does not lead the coordinator's partition";
  Partition* partition = Leading();
  if (partition == nullptr) co_return MakeError(ErrorKind::kNotLeaderOrFollower, kNotLeader.data());
  const Offset end = partition->log().end_offset();
  Offset at = partition->log().start_offset();
  CoordinatorLoader loader(env_, *machine);
  while (at < end) {
    if (cancel.cancelled()) co_return absl::CancelledError("loading is no longer wanted");
    partition = Leading();
    if (partition == nullptr) {
      co_return MakeError(ErrorKind::kNotLeaderOrFollower, kNotLeader.data());
    }
    // Its start moves when records are deleted.
    at = std::max(at, partition->log().start_offset());
    LogReadOptions options{.bytes_max = kLoadBytes,
                           .upper_bound = partition->log().end_offset(),
                           .at_least_one_batch = true};
    absl::StatusOr<LogRead> read = co_await partition->log().Read(at, options);
    if (!read.ok()) co_return read.status();
    MR_CO_RETURN_IF_ERROR(loader.Load(read->batches));
    if (read->next_offset <= at) break;  // Compaction has removed the last records.
    at = read->next_offset;
    co_await Yield(env_.reactor);
  }
  co_return AwaitLoaded(end);
}

absl::Status CoordinatorLog::AwaitLoaded(Offset end) {
  Partition* partition = Leading();
  if (partition == nullptr) {
    return MakeError(ErrorKind::kNotLeaderOrFollower, "the coordinator has moved");
  }
  if (partition->high_watermark() >= end) return absl::OkStatus();
  // What a leader before us appended counts as one record of ours.
  appended_ = written_ = 1;
  partition->committed().Add(batches_.emplace_back(*this, written_), end);
  return absl::OkStatus();
}

// --- Writing -------------------------------------------------------------------------------------

absl::Status CoordinatorLog::CanWrite() const {
  if (!failure_.ok()) return failure_;
  const Partition* partition = Leading();
  if (partition == nullptr) {
    return MakeError(ErrorKind::kNotLeaderOrFollower, "the coordinator has moved");
  }
  if (!partition->has_enough_replicas()) {
    return MakeError(ErrorKind::kNotEnoughReplicas,
                     "fewer than min.insync.replicas of the coordinator's partition are in sync");
  }
  return absl::OkStatus();
}

bool CoordinatorLog::full() const { return queue_.bytes() >= kQueuedBytesMax; }

void CoordinatorLog::Append(std::vector<CoordinatorRecord> records) {
  if (records.empty() || !failure_.ok()) return;
  appended_ += records.size();
  queue_.Add(std::move(records));
  if (writing_) return;
  writing_ = true;
  scope_.Spawn(Write());
}

absl::Status CoordinatorLog::AppendBatch(BatchView batch, Admission& admission) {
  Partition* partition = Leading();
  if (partition == nullptr) {
    return MakeError(ErrorKind::kNotLeaderOrFollower, "the coordinator has moved");
  }
  const Timestamp max_timestamp = batch.header().max_timestamp;
  ValidatedBatch valid{.batch = std::move(batch),
                       .rebuilt = true,
                       .max_timestamp = max_timestamp,
                       .max_timestamp_delta = OffsetDelta(0),
                       .log_append_time = std::nullopt};
  MR_ASSIGN_OR_RETURN(const LeaderAppend appended,
                      partition->Append(std::move(valid), /*acks_all=*/true, admission));
  Batch& waiter = batches_.emplace_back(*this, written_);
  if (partition->high_watermark() >= appended.next_offset) {
    OnCommitted(written_, absl::OkStatus());
  } else {
    partition->committed().Add(waiter, appended.next_offset);
  }
  return absl::OkStatus();
}

Task<void> CoordinatorLog::Write() {
  while (failure_.ok() && !queue_.empty()) {
    absl::StatusOr<BatchView> batch = queue_.TakeBatch(env_.clock.Now());
    if (!batch.ok()) {
      Fail(batch.status());
      break;
    }
    written_ += static_cast<uint64_t>(batch->header().record_count);
    absl::StatusOr<Admission> admitted =
        co_await store_.AdmitInto({id_}, batch->bytes().size(), scope_.token());
    if (!failure_.ok()) break;
    absl::Status appended =
        admitted.ok() ? AppendBatch(*std::move(batch), *admitted) : admitted.status();
    if (!appended.ok()) Fail(std::move(appended));
  }
  writing_ = false;
}

void CoordinatorLog::OnCommitted(uint64_t place, const absl::Status& status) {
  if (!status.ok()) {
    Fail(status);
    return;
  }
  // The partition tells in the order of the offsets. (It is the Batch that goes which has called us:
  // it touches nothing any more.)
  batches_.pop_front();
  committed_ = place;
  while (!waiting_.empty() && waiting_.begin()->first <= committed_) {
    Event* reached = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    reached->Set();
  }
}

Task<absl::Status> CoordinatorLog::Committed(CoordinatorPlace place, Instant deadline,
                                             CancellationToken cancel) {
  if (!failure_.ok()) co_return failure_;
  if (committed_ >= place.value()) co_return absl::OkStatus();
  Event reached(env_.reactor);
  auto at = waiting_.emplace(place.value(), &reached);
  const WaitResult result = co_await reached.Wait(deadline, cancel);
  if (!reached.is_set()) waiting_.erase(at);
  if (!failure_.ok()) co_return failure_;
  if (result == WaitResult::kSignalled) co_return absl::OkStatus();
  if (result == WaitResult::kCancelled) co_return absl::CancelledError("nobody waits any more");
  co_return MakeError(ErrorKind::kRequestTimedOut, "what was decided is not committed yet");
}

void CoordinatorLog::Fail(absl::Status why) {
  if (!failure_.ok()) return;
  failure_ = std::move(why);
  queue_.Clear();
  on_failure_();
  for (auto& [place, reached] : std::exchange(waiting_, {})) reached->Set();
}

Task<void> CoordinatorLog::Stop() {
  Fail(absl::CancelledError("the coordinator stops"));
  co_await scope_.Stop();
  batches_.clear();
}

}  // namespace millrace
