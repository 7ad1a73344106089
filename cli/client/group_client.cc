#include "cli/client/group_client.h"

#include <fmt/format.h>

#include <algorithm>

#include "proto/kafka/consumer_group_describe_request.h"
#include "proto/kafka/consumer_group_describe_response.h"
#include "proto/kafka/delete_groups_request.h"
#include "proto/kafka/delete_groups_response.h"
#include "proto/kafka/describe_groups_request.h"
#include "proto/kafka/describe_groups_response.h"
#include "proto/kafka/find_coordinator_request.h"
#include "proto/kafka/find_coordinator_response.h"
#include "proto/kafka/list_groups_request.h"
#include "proto/kafka/list_groups_response.h"
#include "proto/kafka/offset_commit_request.h"
#include "proto/kafka/offset_commit_response.h"
#include "proto/kafka/offset_delete_request.h"
#include "proto/kafka/offset_delete_response.h"
#include "proto/kafka/offset_fetch_request.h"
#include "proto/kafka/offset_fetch_response.h"

namespace millrace {
namespace {

using kafka::KafkaError;

constexpr int8_t kGroupKey = 0;
constexpr int16_t kFirstWithManyKeys = 4;    // Of FindCoordinator.
constexpr int16_t kFirstWithManyGroups = 8;  // Of OffsetFetch.
// From 10 on OffsetFetch and OffsetCommit name topics by id alone. A group may have positions in a
// topic that is gone, whose name no metadata tells any more.
constexpr int16_t kLastWithTopicNames = 9;

absl::Status StatusOf(int16_t code) { return code == 0 ? absl::OkStatus() : KafkaFailure(code); }

// The first code of those of single partitions that stands for the whole answer.
template <typename Response>
int16_t FirstCode(const Response& response) {
  for (const auto& topic : response.topics) {
    for (const auto& partition : topic.partitions) {
      if (partition.error_code != 0) return partition.error_code;
    }
  }
  return 0;
}

int16_t FetchCode(const kafka::OffsetFetchResponse& response) {
  return response.groups.empty() ? response.error_code : response.groups.front().error_code;
}

int16_t DescribeCode(const kafka::DescribeGroupsResponse& response) {
  return response.groups.empty() ? int16_t{0} : response.groups.front().error_code;
}

int16_t DescribeConsumerCode(const kafka::ConsumerGroupDescribeResponse& response) {
  return response.groups.empty() ? int16_t{0} : response.groups.front().error_code;
}

int16_t DeleteCode(const kafka::DeleteGroupsResponse& response) {
  return response.results.empty() ? int16_t{0} : response.results.front().error_code;
}

int16_t OffsetDeleteCode(const kafka::OffsetDeleteResponse& response) {
  return response.error_code;
}

template <typename Topic>
absl::Status AddCommitted(const std::vector<Topic>& topics, CommittedPositions& offsets) {
  for (const Topic& topic : topics) {
    for (const auto& partition : topic.partitions) {
      if (partition.error_code != 0) return KafkaFailure(partition.error_code);
      if (partition.committed_offset < 0) continue;
      CommittedPosition& committed =
          offsets[TopicPartition{topic.name, PartitionId(partition.partition_index)}];
      committed.offset = Offset(partition.committed_offset);
      if (partition.committed_leader_epoch >= 0) {
        committed.leader_epoch = LeaderEpoch(partition.committed_leader_epoch);
      }
      committed.metadata = partition.metadata.value_or("");
    }
  }
  return absl::OkStatus();
}

template <typename Response>
PartitionStatuses StatusesOf(const Response& response) {
  PartitionStatuses statuses;
  for (const auto& topic : response.topics) {
    for (const auto& partition : topic.partitions) {
      statuses[TopicPartition{topic.name, PartitionId(partition.partition_index)}] =
          StatusOf(partition.error_code);
    }
  }
  return statuses;
}

GroupMemberView ViewOf(const kafka::DescribeGroupsResponse::DescribedGroupMember& member,
                       bool of_consumers) {
  GroupMemberView view{
      member.member_id, member.group_instance_id, member.client_id, member.client_host, {}};
  if (!of_consumers) return view;
  // What a member of another program got may be anything; it is then shown without partitions.
  view.assignment = DecodeAssignment(member.member_assignment).value_or(ConsumerAssignment());
  std::ranges::sort(view.assignment);
  return view;
}

GroupMemberView ViewOf(const kafka::ConsumerGroupDescribeResponse::Member& member) {
  GroupMemberView view{
      member.member_id, member.instance_id, member.client_id, member.client_host, {}};
  for (const auto& topic : member.assignment.topic_partitions) {
    for (int32_t partition : topic.partitions) {
      view.assignment.push_back({topic.topic_name, PartitionId(partition)});
    }
  }
  std::ranges::sort(view.assignment);
  return view;
}

}  // namespace

bool GroupClient::IsCoordinatorError(int16_t code) {
  switch (static_cast<KafkaError>(code)) {
    case KafkaError::kCoordinatorLoadInProgress:
    case KafkaError::kCoordinatorNotAvailable:
    case KafkaError::kNotCoordinator:
      return true;
    default:
      return false;
  }
}

Task<absl::Status> GroupClient::FindCoordinators(std::vector<std::string> groups,
                                                 Instant deadline) {
  std::erase_if(groups, [this](const std::string& id) { return coordinators_.contains(id); });
  if (groups.empty()) co_return absl::OkStatus();
  MR_CO_ASSIGN_OR_RETURN(KafkaConnection * connection, co_await client_.AnyBroker(deadline));
  MR_CO_ASSIGN_OR_RETURN(const int16_t version,
                         connection->VersionOf<kafka::FindCoordinatorRequest>());
  kafka::FindCoordinatorRequest request;
  request.key_type = kGroupKey;
  if (version < kFirstWithManyKeys) {
    request.key = groups.front();
  } else {
    request.coordinator_keys = groups;
  }
  MR_CO_ASSIGN_OR_RETURN(
      kafka::FindCoordinatorResponse response,
      co_await connection->Call<kafka::FindCoordinatorResponse>(std::move(request), deadline));
  if (version < kFirstWithManyKeys) {
    response.coordinators = {{groups.front(), response.node_id, response.host, response.port,
                              response.error_code, response.error_message}};
  }
  absl::Status failed;
  for (const auto& found : response.coordinators) {
    if (found.error_code != 0) {
      failed = KafkaFailure(found.error_code, found.error_message);
      continue;
    }
    const BrokerId broker(found.node_id);
    client_.LearnBroker(broker, {found.host, static_cast<uint16_t>(found.port)});
    coordinators_.insert_or_assign(found.key, broker);
  }
  co_return failed;
}

Task<absl::StatusOr<BrokerId>> GroupClient::Coordinator(std::string group, Instant deadline) {
  for (;;) {
    if (auto known = coordinators_.find(group); known != coordinators_.end()) {
      co_return known->second;
    }
    absl::Status failed = co_await FindCoordinators({group}, deadline);
    if (failed.ok() && !coordinators_.contains(group)) {
      failed = absl::DataLossError("the answer to FindCoordinator says nothing");
    }
    if (!failed.ok()) MR_CO_RETURN_IF_ERROR(co_await client_.Backoff(failed, deadline));
  }
}

Task<absl::Status> GroupClient::AskBrokerForGroups(BrokerId broker, GroupList* list,
                                                   Instant deadline) {
  for (;;) {
    absl::StatusOr<kafka::ListGroupsResponse> response =
        co_await client_.CallBroker<kafka::ListGroupsResponse>(broker, kafka::ListGroupsRequest{},
                                                               deadline);
    absl::Status failed = response.status();
    if (response.ok()) failed = StatusOf(response->error_code);
    if (failed.ok()) {
      for (auto& group : response->groups) {
        list->groups.push_back({std::move(group.group_id), std::move(group.group_type),
                                std::move(group.protocol_type), std::move(group.group_state),
                                broker});
      }
      co_return absl::OkStatus();
    }
    // A broker that is away stays away: its peers are not made to wait for it.
    if (!response.ok()) co_return failed;
    MR_CO_RETURN_IF_ERROR(co_await client_.Backoff(failed, deadline));
  }
}

Task<absl::StatusOr<GroupList>> GroupClient::ListGroups(Instant deadline) {
  MR_CO_ASSIGN_OR_RETURN(const kafka::MetadataResponse metadata,
                         co_await client_.Metadata(std::vector<std::string>(), false, deadline));
  GroupList list;
  for (const auto& broker : metadata.brokers) {
    absl::Status asked = co_await AskBrokerForGroups(BrokerId(broker.node_id), &list, deadline);
    if (absl::IsCancelled(asked)) co_return asked;
    if (!asked.ok()) list.failures.push_back(std::move(asked));
  }
  std::ranges::sort(list.groups, {}, &ListedGroup::id);
  co_return list;
}

Task<absl::StatusOr<GroupDetails>> GroupClient::DescribeGroup(std::string group, Instant deadline) {
  kafka::DescribeGroupsRequest request;
  request.groups.push_back(group);
  MR_CO_ASSIGN_OR_RETURN(kafka::DescribeGroupsResponse response,
                         co_await CallCoordinator<kafka::DescribeGroupsResponse>(
                             group, std::move(request), DescribeCode, deadline));
  if (response.groups.empty()) {
    co_return absl::DataLossError("the answer to DescribeGroups says nothing");
  }
  auto& described = response.groups.front();
  // Before version 6 a group that is not there is one that is dead.
  if (static_cast<KafkaError>(described.error_code) == KafkaError::kGroupIdNotFound ||
      (described.error_code == 0 && described.group_state == "Dead")) {
    co_return co_await DescribeConsumerGroup(std::move(group), deadline);
  }
  if (described.error_code != 0) {
    co_return KafkaFailure(described.error_code, described.error_message);
  }
  MR_CO_ASSIGN_OR_RETURN(const BrokerId coordinator, co_await Coordinator(group, deadline));
  GroupDetails view{
      group, described.group_state, described.protocol_type, described.protocol_data, coordinator,
      {}};
  for (const auto& member : described.members) {
    view.members.push_back(ViewOf(member, described.protocol_type == "consumer"));
  }
  co_return view;
}

Task<absl::StatusOr<GroupDetails>> GroupClient::DescribeConsumerGroup(std::string group,
                                                                      Instant deadline) {
  const absl::Status unknown = absl::NotFoundError("there is no such group");
  MR_CO_ASSIGN_OR_RETURN(const BrokerId coordinator, co_await Coordinator(group, deadline));
  MR_CO_ASSIGN_OR_RETURN(KafkaConnection * connection,
                         co_await client_.Broker(coordinator, deadline));
  if (!connection->Serves<kafka::ConsumerGroupDescribeRequest>()) co_return unknown;
  kafka::ConsumerGroupDescribeRequest request;
  request.group_ids.push_back(group);
  MR_CO_ASSIGN_OR_RETURN(kafka::ConsumerGroupDescribeResponse response,
                         co_await CallCoordinator<kafka::ConsumerGroupDescribeResponse>(
                             group, std::move(request), DescribeConsumerCode, deadline));
  if (response.groups.empty()) {
    co_return absl::DataLossError("the answer to ConsumerGroupDescribe says nothing");
  }
  const auto& described = response.groups.front();
  const auto error = static_cast<KafkaError>(described.error_code);
  if (error == KafkaError::kGroupIdNotFound || error == KafkaError::kUnsupportedVersion) {
    co_return unknown;
  }
  if (described.error_code != 0) {
    co_return KafkaFailure(described.error_code, described.error_message);
  }
  GroupDetails view{group, described.group_state, "consumer", described.assignor_name, coordinator,
                    {}};
  for (const auto& member : described.members) view.members.push_back(ViewOf(member));
  co_return view;
}

Task<absl::StatusOr<CommittedPositions>> GroupClient::FetchCommitted(std::string group,
                                                                     Instant deadline) {
  MR_CO_ASSIGN_OR_RETURN(const BrokerId broker, co_await Coordinator(group, deadline));
  MR_CO_ASSIGN_OR_RETURN(KafkaConnection * connection, co_await client_.Broker(broker, deadline));
  MR_CO_ASSIGN_OR_RETURN(const int16_t version,
                         connection->VersionOf<kafka::OffsetFetchRequest>(kLastWithTopicNames));
  kafka::OffsetFetchRequest request;
  if (version < kFirstWithManyGroups) {
    request.group_id = group;
    request.topics.reset();
  } else {
    request.groups.emplace_back();
    request.groups.back().group_id = group;
    request.groups.back().topics.reset();
  }
  MR_CO_ASSIGN_OR_RETURN(kafka::OffsetFetchResponse response,
                         co_await CallCoordinator<kafka::OffsetFetchResponse>(
                             group, std::move(request), FetchCode, deadline, kLastWithTopicNames));
  if (const int16_t code = FetchCode(response); code != 0) co_return KafkaFailure(code);
  CommittedPositions offsets;
  MR_CO_RETURN_IF_ERROR(AddCommitted(response.topics, offsets));
  for (const auto& answered : response.groups) {
    MR_CO_RETURN_IF_ERROR(AddCommitted(answered.topics, offsets));
  }
  co_return offsets;
}

Task<absl::StatusOr<PartitionStatuses>> GroupClient::CommitOffsets(
    std::string group, CommitIdentity identity, std::map<TopicPartition, Offset> offsets,
    Instant deadline) {
  kafka::OffsetCommitRequest request;
  request.group_id = group;
  request.generation_id_or_member_epoch = identity.generation;
  request.member_id = std::move(identity.member_id);
  for (const auto& [place, offset] : offsets) {
    if (request.topics.empty() || request.topics.back().name != place.topic) {
      request.topics.emplace_back();
      request.topics.back().name = place.topic;
    }
    kafka::OffsetCommitRequest::OffsetCommitRequestPartition partition;
    partition.partition_index = place.partition.value();
    partition.committed_offset = offset.value();
    partition.committed_metadata = "";
    request.topics.back().partitions.push_back(std::move(partition));
  }
  MR_CO_ASSIGN_OR_RETURN(const kafka::OffsetCommitResponse response,
                         co_await CallCoordinator<kafka::OffsetCommitResponse>(
                             group, std::move(request), FirstCode<kafka::OffsetCommitResponse>,
                             deadline, kLastWithTopicNames));
  co_return StatusesOf(response);
}

Task<absl::StatusOr<PartitionStatuses>> GroupClient::DeleteCommitted(
    std::string group, std::vector<TopicPartition> partitions, Instant deadline) {
  std::ranges::sort(partitions);
  kafka::OffsetDeleteRequest request;
  request.group_id = group;
  for (const TopicPartition& place : partitions) {
    if (request.topics.empty() || request.topics.back().name != place.topic) {
      request.topics.push_back({place.topic, {}});
    }
    request.topics.back().partitions.push_back({place.partition.value()});
  }
  MR_CO_ASSIGN_OR_RETURN(const kafka::OffsetDeleteResponse response,
                         co_await CallCoordinator<kafka::OffsetDeleteResponse>(
                             group, std::move(request), OffsetDeleteCode, deadline));
  if (response.error_code != 0) co_return KafkaFailure(response.error_code);
  co_return StatusesOf(response);
}

Task<absl::Status> GroupClient::DeleteGroup(std::string group, Instant deadline) {
  kafka::DeleteGroupsRequest request;
  request.groups_names.push_back(group);
  MR_CO_ASSIGN_OR_RETURN(const kafka::DeleteGroupsResponse response,
                         co_await CallCoordinator<kafka::DeleteGroupsResponse>(
                             group, std::move(request), DeleteCode, deadline));
  if (response.results.empty()) {
    co_return absl::DataLossError("the answer to DeleteGroups says nothing");
  }
  const auto& result = response.results.front();
  if (result.error_code == 0) co_return absl::OkStatus();
  co_return KafkaFailure(result.error_code, result.error_message);
}

}  // namespace millrace
