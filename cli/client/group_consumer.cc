#include "cli/client/group_consumer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/client/partition_offsets.h"
#include "proto/kafka/heartbeat_request.h"
#include "proto/kafka/heartbeat_response.h"
#include "proto/kafka/join_group_request.h"
#include "proto/kafka/join_group_response.h"
#include "proto/kafka/leave_group_request.h"
#include "proto/kafka/leave_group_response.h"
#include "proto/kafka/sync_group_request.h"
#include "proto/kafka/sync_group_response.h"

namespace millrace {
namespace {

constexpr const char* kProtocolType = "consumer";

// For an answer that comes late without anything being wrong.
constexpr Duration kAnswerSlack = seconds(10);
// How long a member that goes tries to say so; it is found out anyway when its session ends.
constexpr Duration kLeaveTimeout = seconds(3);
constexpr int16_t kFirstLeaveWithMembers = 3;
// The leader looks at its topics once in so many heartbeats.
constexpr int kBeatsPerTopicCheck = 10;

int32_t Milliseconds(Duration duration) {
  return static_cast<int32_t>(std::chrono::duration_cast<milliseconds>(duration).count());
}

template <typename Response>
int16_t CodeOf(const Response& response) {
  return response.error_code;
}

GroupMember::JoinAnswer AnswerOf(kafka::JoinGroupResponse response) {
  GroupMember::JoinAnswer answer{response.error_code,
                                 response.generation_id,
                                 response.protocol_name.value_or(""),
                                 std::move(response.leader),
                                 std::move(response.member_id),
                                 response.skip_assignment,
                                 {}};
  for (auto& member : response.members) {
    answer.members.push_back(
        {std::move(member.member_id), std::move(member.group_instance_id), member.metadata});
  }
  return answer;
}

}  // namespace

GroupConsumer::GroupConsumer(KafkaClient& client, RecordSink& sink, GroupConsumerOptions options)
    : options_(std::move(options)),
      client_(client),
      sink_(sink),
      groups_(client),
      member_({options_.reader.topic}),
      stop_reading_(client.env().reactor) {}

Instant GroupConsumer::In(Duration duration) const {
  return client_.env().reactor.Now() + duration;
}

void GroupConsumer::StopReading() {
  if (reader_ != nullptr) reader_->Interrupt();
  stop_reading_.Set();
}

void GroupConsumer::Interrupt() {
  interrupted_ = true;
  if (reader_ != nullptr || member_.step() == GroupMember::Step::kRead) {
    StopReading();
  } else {
    client_.Shutdown();  // A JoinGroup may wait for others for a long time.
  }
}

Task<absl::Status> GroupConsumer::Run() {
  // A topic that does not exist is told at once, and not by an empty assignment.
  absl::StatusOr<TopicView> topic =
      co_await client_.Topic(options_.reader.topic, false, In(options_.reader.patience));
  absl::Status status = topic.status();
  while (status.ok() && !finished_ && !interrupted_) {
    status = co_await JoinUntilAssigned();
    if (status.ok()) status = co_await ReadAssigned();
  }
  if (!client_.shut_down()) co_await LeaveGroup();
  co_return status;
}

Task<absl::Status> GroupConsumer::JoinUntilAssigned() {
  while (member_.step() != GroupMember::Step::kRead) {
    const std::string id_before = member_.id();
    const bool syncing = member_.step() == GroupMember::Step::kSync;
    if (syncing) {
      MR_CO_RETURN_IF_ERROR(co_await SyncOnce());
    } else {
      MR_CO_RETURN_IF_ERROR(co_await JoinOnce());
    }
    if (member_.step() == GroupMember::Step::kFailed) co_return member_.failure();
    // To be given an id is no failure (KIP-394); all else that leads back here is one.
    const bool refused = member_.step() == GroupMember::Step::kJoin && member_.id() == id_before;
    if (!refused) continue;
    MR_CO_RETURN_IF_ERROR(co_await client_.Backoff(
        absl::UnavailableError("the group keeps rebalancing"), In(options_.rebalance_timeout)));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> GroupConsumer::JoinOnce() {
  kafka::JoinGroupRequest request;
  request.group_id = options_.group;
  request.session_timeout_ms = Milliseconds(options_.session_timeout);
  request.rebalance_timeout_ms = Milliseconds(options_.rebalance_timeout);
  request.member_id = member_.id();
  request.protocol_type = kProtocolType;
  MR_CO_ASSIGN_OR_RETURN(Slice subscription, EncodeSubscription(member_.subscription()));
  request.protocols.push_back({GroupMember::kAssignor, std::move(subscription)});
  MR_CO_ASSIGN_OR_RETURN(
      kafka::JoinGroupResponse response,
      co_await groups_.CallCoordinator<kafka::JoinGroupResponse>(
          options_.group, std::move(request), CodeOf<kafka::JoinGroupResponse>,
          In(options_.rebalance_timeout + options_.reader.patience + kAnswerSlack)));
  member_.OnJoin(AnswerOf(std::move(response)));
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::map<std::string, int32_t>>> GroupConsumer::SizesOf(
    std::vector<std::string> topics) {
  MR_CO_ASSIGN_OR_RETURN(
      const TopicSizes asked,
      co_await AskTopicSizes(client_, std::move(topics), In(options_.reader.patience)));
  std::map<std::string, int32_t> sizes;
  for (const auto& [topic, size] : asked) {
    if (size.ok()) sizes[topic] = *size;  // Others' topics may be gone.
  }
  co_return sizes;
}

Task<absl::Status> GroupConsumer::SyncOnce() {
  kafka::SyncGroupRequest request;
  request.group_id = options_.group;
  request.generation_id = member_.generation();
  request.member_id = member_.id();
  request.protocol_type = kProtocolType;
  request.protocol_name = GroupMember::kAssignor;
  divided_.clear();
  std::vector<std::string> topics = member_.TopicsToDivide();
  if (!topics.empty()) {
    MR_CO_ASSIGN_OR_RETURN(divided_, co_await SizesOf(std::move(topics)));
  }
  for (const auto& [member, assignment] : member_.Divide(divided_)) {
    MR_CO_ASSIGN_OR_RETURN(Slice bytes, EncodeAssignment(assignment));
    request.assignments.push_back({member, std::move(bytes)});
  }
  MR_CO_ASSIGN_OR_RETURN(
      kafka::SyncGroupResponse response,
      co_await groups_.CallCoordinator<kafka::SyncGroupResponse>(
          options_.group, std::move(request), CodeOf<kafka::SyncGroupResponse>,
          In(options_.rebalance_timeout + options_.reader.patience + kAnswerSlack)));
  member_.OnSync(response.error_code, std::move(response.assignment));
  co_return absl::OkStatus();
}

Task<absl::Status> GroupConsumer::ReadAssigned() {
  MR_CO_ASSIGN_OR_RETURN(
      const CommittedPositions positions,
      co_await groups_.FetchCommitted(options_.group, In(options_.reader.patience)));
  TopicReaderOptions options = options_.reader;
  committed_.clear();
  for (const TopicPartition& place : member_.assignment()) {
    if (place.topic != options.topic) continue;
    options.partitions.push_back(place.partition);
    if (auto found = positions.find(place); found != positions.end()) {
      options.starts.insert_or_assign(place.partition, found->second.offset);
      committed_.insert_or_assign(place, found->second.offset);
    }
  }
  const bool without = options.partitions.empty();
  TopicReader reader(client_, sink_, std::move(options));
  stop_reading_.Reset();
  reader_ = &reader;
  if (interrupted_) StopReading();  // While the positions were fetched.
  TaskScope scope(client_.env().reactor);
  scope.Spawn(KeepLoop(&scope));
  absl::Status status;
  if (!without) {
    status = co_await reader.Run();
  } else if (!options_.reader.stop_at_end) {
    co_await stop_reading_.Wait();
  }
  co_await scope.Stop();
  finished_ = without ? options_.reader.stop_at_end : status.ok() && !reader.interrupted();
  if (status.ok() && member_.step() == GroupMember::Step::kFailed) status = member_.failure();
  if (status.ok()) status = keep_failure_;
  if (const absl::Status committed = co_await CommitPositions();
      !committed.ok() && !client_.shut_down()) {
    sink_.OnWarning(fmt::format("{}: the last positions were not stored, so records come again: {}",
                                options_.group, std::string(committed.message())));
  }
  reader_ = nullptr;
  co_return status;
}

Task<void> GroupConsumer::KeepLoop(TaskScope* scope) {
  for (int beats = 1;; ++beats) {
    co_await Sleep(client_.env().reactor, options_.heartbeat_interval, scope->token());
    if (scope->stopping()) co_return;
    absl::Status status = co_await Beat();
    if (status.ok() && member_.is_leader() && beats % kBeatsPerTopicCheck == 0) {
      status = co_await CheckTopics();
    }
    if (!status.ok()) keep_failure_ = std::move(status);
    if (!keep_failure_.ok() || member_.step() != GroupMember::Step::kRead) {
      StopReading();
      co_return;
    }
    // A commit that fails is made good by the next; why, the next heartbeat tells.
    (void)co_await CommitPositions();
  }
}

Task<absl::Status> GroupConsumer::Beat() {
  kafka::HeartbeatRequest request;
  request.group_id = options_.group;
  request.generation_id = member_.generation();
  request.member_id = member_.id();
  MR_CO_ASSIGN_OR_RETURN(const kafka::HeartbeatResponse response,
                         co_await groups_.CallCoordinator<kafka::HeartbeatResponse>(
                             options_.group, std::move(request), CodeOf<kafka::HeartbeatResponse>,
                             In(std::max(options_.session_timeout, options_.reader.patience))));
  member_.OnHeartbeat(response.error_code);
  co_return absl::OkStatus();
}

Task<absl::Status> GroupConsumer::CheckTopics() {
  std::vector<std::string> topics = member_.TopicsToDivide();
  if (topics.empty()) co_return absl::OkStatus();
  absl::StatusOr<std::map<std::string, int32_t>> sizes = co_await SizesOf(std::move(topics));
  if (!sizes.ok()) co_return sizes.status();
  if (*sizes != divided_) member_.OnTopicsChanged();
  co_return absl::OkStatus();
}

Task<absl::Status> GroupConsumer::CommitPositions() {
  // What is still held back was not printed: letting go of it comes first.
  if (!member_.may_commit() || !sink_.OnPause()) co_return absl::OkStatus();
  std::map<TopicPartition, Offset> positions;
  for (const auto& [partition, offset] : reader_->positions()) {
    const TopicPartition place{options_.reader.topic, partition};
    auto known = committed_.find(place);
    if (known == committed_.end() || known->second != offset) {
      positions.insert_or_assign(place, offset);
    }
  }
  if (positions.empty()) co_return absl::OkStatus();
  MR_CO_ASSIGN_OR_RETURN(
      const PartitionStatuses statuses,
      co_await groups_.CommitOffsets(options_.group, {member_.generation(), member_.id()},
                                     positions, In(kAnswerSlack)));
  for (const auto& [place, status] : statuses) {
    if (!status.ok()) co_return status;
    committed_.insert_or_assign(place, positions.at(place));
  }
  co_return absl::OkStatus();
}

Task<void> GroupConsumer::LeaveGroup() {
  if (member_.id().empty()) co_return;
  const Instant deadline = In(kLeaveTimeout);
  absl::StatusOr<BrokerId> broker = co_await groups_.Coordinator(options_.group, deadline);
  if (!broker.ok()) co_return;
  absl::StatusOr<KafkaConnection*> connection = co_await client_.Broker(*broker, deadline);
  if (!connection.ok()) co_return;
  absl::StatusOr<int16_t> version = (*connection)->VersionOf<kafka::LeaveGroupRequest>();
  if (!version.ok()) co_return;
  kafka::LeaveGroupRequest request;
  request.group_id = options_.group;
  if (*version < kFirstLeaveWithMembers) {
    request.member_id = member_.id();
  } else {
    request.members.push_back({member_.id(), std::nullopt, "the consumer ends"});
  }
  // Whatever is answered: who does not say that it goes is found out later.
  (void)co_await (*connection)->Call<kafka::LeaveGroupResponse>(std::move(request), deadline);
}

}  // namespace millrace
