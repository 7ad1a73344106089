#include "test/sim/mover.h"

#include <numeric>
#include <utility>

#include "proto/kafka/alter_partition_reassignments_request.h"
#include "proto/kafka/alter_partition_reassignments_response.h"
#include "proto/kafka/list_partition_reassignments_request.h"
#include "proto/kafka/list_partition_reassignments_response.h"

namespace millrace::simtest {

Task<void> SimMover::Stop() {
  client_.Shutdown();
  co_await scope_.Stop();
  co_await client_.Stop();
}

Task<void> SimMover::Run() {
  while (!scope_.stopping() && !done_) {
    co_await Sleep(env_.reactor, milliseconds(1 + env_.random.Below(4000)), scope_.token());
    if (scope_.stopping()) co_return;
    absl::Status status;
    if (!client_.connected()) {
      co_await client_.Disconnect();
      status = co_await client_.Connect(plan_.bootstrap[env_.random.Below(plan_.bootstrap.size())],
                                        plan_.patience);
    }
    if (status.ok() && resting_) {
      absl::StatusOr<bool> moves = co_await SomethingMoves();
      status = moves.status();
      done_ = moves.ok() && !*moves;
    } else if (status.ok()) {
      status = co_await Move();
    }
    if (absl::IsDataLoss(status)) history_.Wrong(fmt::format("mover: {}", status.ToString()));
    if (!status.ok()) co_await client_.Disconnect();
  }
}

Task<absl::Status> SimMover::Move() {
  kafka::AlterPartitionReassignmentsRequest request;
  request.timeout_ms = 5000;
  auto& topic = request.topics.emplace_back();
  topic.name = plan_.topic;
  auto& partition = topic.partitions.emplace_back();
  partition.partition_index =
      static_cast<int32_t>(env_.random.Below(static_cast<uint64_t>(plan_.partitions)));
  if (env_.random.Below(5) != 0) {  // Else it is cancelled.
    std::vector<int32_t> brokers(plan_.bootstrap.size());
    std::iota(brokers.begin(), brokers.end(), 1);
    for (size_t i = 0; i < static_cast<size_t>(plan_.replication); ++i) {
      std::swap(brokers[i], brokers[i + env_.random.Below(brokers.size() - i)]);
    }
    brokers.resize(static_cast<size_t>(plan_.replication));
    partition.replicas = std::move(brokers);
  }
  MR_CO_ASSIGN_OR_RETURN(auto response,
                         co_await client_.Call<kafka::AlterPartitionReassignmentsResponse>(
                             std::move(request), 0, plan_.patience));
  if (response.error_code != 0) co_return absl::UnavailableError("refused");
  for (const auto& answered : response.responses) {
    for (const auto& one : answered.partitions) moves_ += one.error_code == 0 ? 1 : 0;
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<bool>> SimMover::SomethingMoves() {
  kafka::ListPartitionReassignmentsRequest request;
  request.timeout_ms = 5000;
  MR_CO_ASSIGN_OR_RETURN(auto response,
                         co_await client_.Call<kafka::ListPartitionReassignmentsResponse>(
                             std::move(request), 0, plan_.patience));
  if (response.error_code != 0) co_return absl::UnavailableError("refused");
  co_return !response.topics.empty();
}

}  // namespace millrace::simtest
