#include "test/sim/group_member.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <fmt/ranges.h>

#include <utility>

#include "proto/kafka/find_coordinator_request.h"
#include "proto/kafka/find_coordinator_response.h"
#include "proto/kafka/heartbeat_request.h"
#include "proto/kafka/heartbeat_response.h"
#include "proto/kafka/join_group_request.h"
#include "proto/kafka/join_group_response.h"
#include "proto/kafka/kafka_error.h"
#include "proto/kafka/leave_group_request.h"
#include "proto/kafka/leave_group_response.h"
#include "proto/kafka/offset_commit_request.h"
#include "proto/kafka/offset_commit_response.h"
#include "proto/kafka/offset_fetch_request.h"
#include "proto/kafka/offset_fetch_response.h"
#include "proto/kafka/sync_group_request.h"
#include "proto/kafka/sync_group_response.h"

namespace millrace::simtest {
namespace {

using kafka::KafkaError;

constexpr const char* kGroup = kStoryGroup;
constexpr const char* kProtocol = "round-robin";

absl::Status Refused(const char* what, int16_t error) {
  return absl::UnavailableError(fmt::format("{} answered error {}", what, error));
}

Slice BytesOf(const std::string& text) {
  return Slice::Copy({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

std::set<int32_t> ParsePartitions(const Slice& bytes) {
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::set<int32_t> partitions;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    int32_t partition = 0;
    if (absl::SimpleAtoi(part, &partition)) partitions.insert(partition);
  }
  return partitions;
}

}  // namespace

SimGroupMember::SimGroupMember(Env& env, const WorkloadPlan& plan, History& history, int number)
    : env_(env),
      plan_(plan),
      history_(history),
      number_(number),
      scope_(env.reactor),
      client_(env, fmt::format("member-{}", number)) {}

Task<void> SimGroupMember::Stop() {
  client_.Shutdown();
  co_await scope_.Stop();
  co_await client_.Stop();
}

Task<void> SimGroupMember::Run() {
  while (!scope_.stopping() && !silent_) {
    absl::Status status = co_await Session();
    owned_ = 0;
    last_problem_ = status.ToString();
    if (absl::IsDataLoss(status)) {
      history_.Wrong(fmt::format("member {}: {}", number_, last_problem_));
      co_return;
    }
    co_await client_.Disconnect();
    co_await Sleep(env_.reactor, milliseconds(1 + env_.random.Below(500)), scope_.token());
  }
}

Task<absl::Status> SimGroupMember::ConnectToCoordinator() {
  const uint64_t bootstrap = env_.random.Below(1000);
  if (!topic_is_there_) {
    absl::StatusOr<TopicView> view =
        co_await FindTopic(&client_, &plan_, bootstrap, /*create=*/true);
    MR_CO_RETURN_IF_ERROR(view.status());
    topic_is_there_ = true;
  } else if (!client_.connected()) {
    // A broker that is cut off from the others still says where it thinks the coordinator is.
    co_await client_.Disconnect();
    MR_CO_RETURN_IF_ERROR(co_await client_.Connect(
        plan_.bootstrap[bootstrap % plan_.bootstrap.size()], plan_.patience));
  }
  kafka::FindCoordinatorRequest request;
  request.coordinator_keys.push_back(kGroup);
  MR_CO_ASSIGN_OR_RETURN(auto found, co_await client_.Call<kafka::FindCoordinatorResponse>(
                                         std::move(request), 4, plan_.patience));
  if (found.coordinators.size() != 1) {
    co_return absl::DataLossError("FindCoordinator answered for other groups");
  }
  const auto& coordinator = found.coordinators.front();
  if (coordinator.error_code != 0) co_return Refused("FindCoordinator", coordinator.error_code);
  const SocketAddress address{coordinator.host, static_cast<uint16_t>(coordinator.port)};
  co_await client_.Disconnect();
  co_return co_await client_.Connect(address, plan_.patience);
}

Task<absl::Status> SimGroupMember::Join(Membership* me) {
  for (int tries = 0; tries < 3; ++tries) {
    kafka::JoinGroupRequest request;
    request.group_id = kGroup;
    request.session_timeout_ms = static_cast<int32_t>(plan_.group.session / milliseconds(1));
    request.rebalance_timeout_ms = static_cast<int32_t>(plan_.group.rebalance / milliseconds(1));
    request.member_id = me->member_id;
    request.protocol_type = "consumer";
    request.protocols.push_back({kProtocol, BytesOf(fmt::format("member {}", number_))});
    MR_CO_ASSIGN_OR_RETURN(auto joined, co_await client_.Call<kafka::JoinGroupResponse>(
                                            std::move(request), 9,
                                            plan_.patience + plan_.group.rebalance + seconds(5)));
    const auto error = static_cast<KafkaError>(joined.error_code);
    me->member_id = joined.member_id;
    if (error == KafkaError::kMemberIdRequired || error == KafkaError::kRebalanceInProgress)
      continue;
    if (error != KafkaError::kNone) co_return Refused("JoinGroup", joined.error_code);
    me->generation = joined.generation_id;
    me->partitions.clear();
    std::vector<std::string> members;
    if (joined.leader == me->member_id) {
      for (const auto& member : joined.members) members.push_back(member.member_id);
    }
    co_return co_await Sync(me, std::move(members));
  }
  co_return absl::UnavailableError("the group does not settle");
}

Task<absl::Status> SimGroupMember::Sync(Membership* me, std::vector<std::string> members) {
  kafka::SyncGroupRequest request;
  request.group_id = kGroup;
  request.generation_id = me->generation;
  request.member_id = me->member_id;
  request.protocol_type = "consumer";
  request.protocol_name = kProtocol;
  for (size_t m = 0; m < members.size(); ++m) {
    std::vector<int32_t> given;
    for (int32_t p = static_cast<int32_t>(m); p < plan_.partitions;
         p += static_cast<int32_t>(members.size())) {
      given.push_back(p);
    }
    request.assignments.push_back({members[m], BytesOf(fmt::format("{}", fmt::join(given, ",")))});
  }
  MR_CO_ASSIGN_OR_RETURN(
      auto synced, co_await client_.Call<kafka::SyncGroupResponse>(
                       std::move(request), 5, plan_.patience + plan_.group.rebalance + seconds(5)));
  if (synced.error_code != 0) co_return Refused("SyncGroup", synced.error_code);
  me->partitions = ParsePartitions(synced.assignment);
  for (int32_t partition : me->partitions) {
    history_.Assigned(me->generation, me->member_id, {plan_.topic, partition});
  }
  owned_ = me->partitions.size();
  co_return absl::OkStatus();
}

Task<absl::StatusOr<bool>> SimGroupMember::Heartbeat(const Membership* me) {
  kafka::HeartbeatRequest request;
  request.group_id = kGroup;
  request.generation_id = me->generation;
  request.member_id = me->member_id;
  MR_CO_ASSIGN_OR_RETURN(auto beat, co_await client_.Call<kafka::HeartbeatResponse>(
                                        std::move(request), 4, plan_.patience));
  if (static_cast<KafkaError>(beat.error_code) == KafkaError::kRebalanceInProgress) co_return true;
  if (beat.error_code != 0) co_return Refused("Heartbeat", beat.error_code);
  co_return false;
}

Task<absl::Status> SimGroupMember::Commit(const Membership* me) {
  if (me->partitions.empty()) co_return absl::OkStatus();
  kafka::OffsetCommitRequest request;
  request.group_id = kGroup;
  request.generation_id_or_member_epoch = me->generation;
  request.member_id = me->member_id;
  auto& topic = request.topics.emplace_back();
  topic.name = plan_.topic;
  std::vector<int64_t> positions;
  for (int32_t partition : me->partitions) {
    auto& one = topic.partitions.emplace_back();
    one.partition_index = partition;
    one.committed_offset = history_.CommitSent({plan_.topic, partition}, me->generation);
    one.committed_metadata = fmt::format("of member {}", number_);
    positions.push_back(one.committed_offset);
  }
  MR_CO_ASSIGN_OR_RETURN(auto committed, co_await client_.Call<kafka::OffsetCommitResponse>(
                                             std::move(request), 8, plan_.patience + seconds(5)));
  if (committed.topics.size() != 1 || committed.topics[0].partitions.size() != positions.size()) {
    co_return absl::DataLossError("OffsetCommit answered for other partitions");
  }
  for (size_t i = 0; i < positions.size(); ++i) {
    const auto& answer = committed.topics[0].partitions[i];
    if (answer.error_code != 0) co_return Refused("OffsetCommit", answer.error_code);
    ++committed_;
    history_.CommitAcknowledged({plan_.topic, answer.partition_index}, positions[i]);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> SimGroupMember::Leave(const Membership* me) {
  kafka::LeaveGroupRequest request;
  request.group_id = kGroup;
  request.members.push_back({me->member_id, std::nullopt, std::nullopt});
  MR_CO_ASSIGN_OR_RETURN(auto left, co_await client_.Call<kafka::LeaveGroupResponse>(
                                        std::move(request), 4, plan_.patience + seconds(5)));
  co_return left.error_code == 0 ? absl::OkStatus() : Refused("LeaveGroup", left.error_code);
}

Task<absl::Status> SimGroupMember::AskPositions() {
  kafka::OffsetFetchRequest request;
  auto& group = request.groups.emplace_back();
  group.group_id = kGroup;
  auto& topic = group.topics.emplace().emplace_back();
  topic.name = plan_.topic;
  std::vector<int64_t> floors;
  for (int32_t partition = 0; partition < plan_.partitions; ++partition) {
    topic.partition_indexes.push_back(partition);
    floors.push_back(history_.CommitFloor({plan_.topic, partition}));
  }
  MR_CO_ASSIGN_OR_RETURN(auto fetched, co_await client_.Call<kafka::OffsetFetchResponse>(
                                           std::move(request), 8, plan_.patience + seconds(5)));
  if (fetched.groups.size() != 1) co_return absl::DataLossError("OffsetFetch: another group");
  const auto& answer = fetched.groups.front();
  if (answer.error_code != 0) co_return Refused("OffsetFetch", answer.error_code);
  if (answer.topics.size() != 1 || answer.topics[0].partitions.size() != floors.size()) {
    co_return absl::DataLossError("OffsetFetch answered for other partitions");
  }
  for (size_t i = 0; i < floors.size(); ++i) {
    const auto& partition = answer.topics[0].partitions[i];
    if (partition.error_code != 0) co_return Refused("OffsetFetch", partition.error_code);
    history_.PositionTold({plan_.topic, partition.partition_index}, partition.committed_offset,
                          floors[i]);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> SimGroupMember::TellPositions() {
  co_await client_.Disconnect();
  MR_CO_RETURN_IF_ERROR(co_await ConnectToCoordinator());
  co_return co_await AskPositions();
}

Task<void> SimGroupMember::KeepAsking() {
  while (!scope_.stopping()) {
    const absl::Status told = co_await TellPositions();
    if (absl::IsDataLoss(told)) {
      history_.Wrong(fmt::format("watcher {}: {}", number_, told.ToString()));
      co_return;
    }
    co_await Sleep(env_.reactor, milliseconds(1 + env_.random.Below(200)), scope_.token());
  }
}

// The process was stopped for a while, and does not know it.
Task<absl::Status> SimGroupMember::GoOnAsGhost(const Membership* me) {
  const auto away = static_cast<uint64_t>(2 * plan_.group.session / milliseconds(1));
  co_await Sleep(env_.reactor, milliseconds(env_.random.Below(away)), scope_.token());
  co_await client_.Disconnect();
  MR_CO_RETURN_IF_ERROR(co_await ConnectToCoordinator());
  co_return co_await Commit(me);
}

Task<absl::Status> SimGroupMember::Session() {
  MR_CO_RETURN_IF_ERROR(co_await ConnectToCoordinator());
  Membership me;
  MR_CO_RETURN_IF_ERROR(co_await Join(&me));
  while (!scope_.stopping()) {
    if (silent_) {
      co_await Sleep(env_.reactor, milliseconds(100), scope_.token());
      continue;
    }
    switch (stays_ ? 2 + env_.random.Below(38) : env_.random.Below(40)) {
      case 0:
        co_return co_await Leave(&me);
      case 1:
        if (plan_.group.ghosts) MR_CO_RETURN_IF_ERROR(co_await GoOnAsGhost(&me));
        co_return absl::UnavailableError("vanished");
      case 2:
      case 3:
        MR_CO_RETURN_IF_ERROR(co_await AskPositions());
        break;
      default:
        MR_CO_RETURN_IF_ERROR(co_await Commit(&me));
    }
    MR_CO_ASSIGN_OR_RETURN(const bool again, co_await Heartbeat(&me));
    if (again) MR_CO_RETURN_IF_ERROR(co_await Join(&me));
    co_await Sleep(env_.reactor, milliseconds(1 + env_.random.Below(500)), scope_.token());
  }
  co_return absl::OkStatus();
}

}  // namespace millrace::simtest
