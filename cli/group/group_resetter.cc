#include "cli/group/group_resetter.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/client/partition_offsets.h"

namespace millrace {
namespace {

// What is known of partitions, each kind in a map of its own.
struct ListedFacts {
  ListedOffsets begins;
  ListedOffsets ends;
  ListedOffsets at_time;  // For ResetToTime only.
};

Task<absl::StatusOr<ListedFacts>> AskFacts(KafkaClient& client, std::vector<TopicPartition> places,
                                           std::optional<Timestamp> time,
                                           Instant deadline) {  // Borrowed: awaited in place.
  ListedFacts facts;
  MR_CO_ASSIGN_OR_RETURN(facts.begins,
                         co_await ListOffsetsOf(client, places, kListEarliest, deadline));
  MR_CO_ASSIGN_OR_RETURN(facts.ends, co_await ListOffsetsOf(client, places, kListLatest, deadline));
  if (time.has_value()) {
    MR_CO_ASSIGN_OR_RETURN(facts.at_time,
                           co_await ListOffsetsOf(client, places, time->ms(), deadline));
  }
  co_return facts;
}

absl::StatusOr<PartitionFacts> FactsOf(const TopicPartition& place, const ListedFacts& listed,
                                       std::optional<Offset> committed) {
  PartitionFacts facts;
  facts.committed = committed;
  MR_ASSIGN_OR_RETURN(const std::optional<Offset> begin, listed.begins.at(place));
  MR_ASSIGN_OR_RETURN(const std::optional<Offset> end, listed.ends.at(place));
  facts.begin = begin.value_or(Offset(0));
  facts.end = end.value_or(facts.begin);
  if (auto found = listed.at_time.find(place); found != listed.at_time.end()) {
    MR_ASSIGN_OR_RETURN(facts.at_time, found->second);
  }
  return facts;
}

// Whether somebody else would commit over what is set here. A group that does not exist begins with
// the positions.
absl::Status MayReset(const absl::StatusOr<GroupDetails>& view) {
  if (absl::IsNotFound(view.status())) return absl::OkStatus();
  if (!view.ok()) return view.status();
  if (view->state == "Empty") return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("the group has {} member{} and is in state {}; its positions can be changed once "
                  "all have stopped",
                  view->members.size(), view->members.size() == 1 ? "" : "s", view->state));
}

std::vector<TopicPartition> PlacesWithout(const ResetRequest& request, const std::string& group,
                                          const CommittedPositions& committed) {
  std::vector<TopicPartition> places;
  if (const auto* file = std::get_if<ResetFromFile>(&request.target)) {
    auto of_group = file->positions.find(group);
    if (of_group == file->positions.end()) return places;
    for (const auto& [place, offset] : of_group->second) places.push_back(place);
  } else {
    for (const auto& [place, offset] : committed) places.push_back(place);
  }
  return places;
}

void TakeCommitted(const PartitionStatuses& statuses, ResetResults& results) {
  for (auto& [place, result] : results) {
    auto status = statuses.find(place);
    if (status == statuses.end()) {
      result.after = absl::DataLossError("the answer to OffsetCommit leaves it out");
    } else if (!status->second.ok()) {
      result.after = status->second;
    } else {
      result.committed = true;
    }
  }
}

}  // namespace

Task<absl::StatusOr<std::vector<TopicPartition>>> PartitionsOfScopes(KafkaClient& client,
                                                                     std::vector<TopicScope> scopes,
                                                                     Instant deadline) {
  std::vector<std::string> whole;
  for (const TopicScope& scope : scopes) {
    if (scope.partitions.empty()) whole.push_back(scope.topic);
  }
  MR_CO_ASSIGN_OR_RETURN(const TopicSizes sizes, co_await AskTopicSizes(client, whole, deadline));
  std::vector<TopicPartition> places;
  for (const TopicScope& scope : scopes) {
    for (PartitionId partition : scope.partitions) places.push_back({scope.topic, partition});
    if (!scope.partitions.empty()) continue;
    auto size = sizes.find(scope.topic);
    if (size == sizes.end() || !size->second.ok()) {
      co_return absl::NotFoundError(
          fmt::format("{}: {}", scope.topic,
                      size == sizes.end() ? "no answer about it"
                                          : std::string(size->second.status().message())));
    }
    for (int32_t i = 0; i < *size->second; ++i) places.push_back({scope.topic, PartitionId(i)});
  }
  std::ranges::sort(places);
  places.erase(std::ranges::unique(places).begin(), places.end());
  co_return places;
}

Task<absl::StatusOr<ResetResults>> ResetGroup(GroupClient& groups, std::string group,
                                              ResetRequest request, Instant deadline) {
  MR_CO_RETURN_IF_ERROR(MayReset(co_await groups.DescribeGroup(group, deadline)));
  MR_CO_ASSIGN_OR_RETURN(const CommittedPositions committed,
                         co_await groups.FetchCommitted(group, deadline));
  std::vector<TopicPartition> places = PlacesWithout(request, group, committed);
  if (!request.scopes.empty()) {
    MR_CO_ASSIGN_OR_RETURN(places,
                           co_await PartitionsOfScopes(groups.client(), request.scopes, deadline));
  }
  std::optional<Timestamp> time;
  if (const auto* to_time = std::get_if<ResetToTime>(&request.target)) time = to_time->time;
  MR_CO_ASSIGN_OR_RETURN(const ListedFacts listed,
                         co_await AskFacts(groups.client(), places, time, deadline));
  ResetResults results;
  std::map<TopicPartition, Offset> offsets;
  for (const TopicPartition& place : places) {
    auto before = committed.find(place);
    ResetResult result{
        before == committed.end() ? std::nullopt : std::optional(before->second.offset),
        NewPosition{}, false};
    const absl::StatusOr<PartitionFacts> facts = FactsOf(place, listed, result.before);
    result.after = facts.ok() ? PlanReset(request.target, group, place, *facts)
                              : absl::StatusOr<NewPosition>(facts.status());
    if (result.after.ok()) offsets.insert_or_assign(place, result.after->offset);
    results.insert_or_assign(place, std::move(result));
  }
  // All or nothing: a group that was moved in part is worse than one that was not.
  if (!request.execute || offsets.empty() || offsets.size() < results.size()) co_return results;
  MR_CO_ASSIGN_OR_RETURN(const PartitionStatuses statuses,
                         co_await groups.CommitOffsets(group, {}, std::move(offsets), deadline));
  TakeCommitted(statuses, results);
  co_return results;
}

}  // namespace millrace
