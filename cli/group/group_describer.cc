#include "cli/group/group_describer.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "cli/client/partition_offsets.h"
#include "cli/client/record_times.h"

namespace millrace {
namespace {

Task<absl::StatusOr<GroupDescription>> AskGroup(GroupClient& groups, std::string id, bool offsets,
                                                Instant deadline) {  // Borrowed: awaited in place.
  MR_CO_ASSIGN_OR_RETURN(GroupDetails view, co_await groups.DescribeGroup(id, deadline));
  GroupDescription description{std::move(view), {}, {}};
  if (std::optional<SocketAddress> address =
          groups.client().AddressOf(description.group.coordinator)) {
    description.coordinator_address = address->ToString();
  }
  if (!offsets) co_return description;
  MR_CO_ASSIGN_OR_RETURN(const CommittedPositions committed,
                         co_await groups.FetchCommitted(id, deadline));
  description.partitions = PartitionsOf(description.group, committed);
  co_return description;
}

// One request per leader for the partitions of all groups.
Task<absl::Status> AskEnds(KafkaClient& client, DescribedGroups& described,
                           Instant deadline) {  // Borrowed: awaited in place.
  std::set<TopicPartition> places;
  for (const auto& [id, group] : described) {
    if (!group.ok()) continue;
    for (const GroupPartition& one : group->partitions) places.insert(one.place);
  }
  MR_CO_ASSIGN_OR_RETURN(
      const ListedOffsets ends,
      co_await ListOffsetsOf(client, {places.begin(), places.end()}, kListLatest, deadline));
  for (auto& [id, group] : described) {
    if (!group.ok()) continue;
    for (GroupPartition& one : group->partitions) {
      auto end = ends.find(one.place);
      if (end != ends.end() && end->second.ok()) one.log_end = *end->second;
    }
  }
  co_return absl::OkStatus();
}

// Every partition of which a group has not read all, of groups that could be described.
std::vector<GroupPartition*> Lagging(DescribedGroups& described) {
  std::vector<GroupPartition*> lagging;
  for (auto& [id, group] : described) {
    if (!group.ok()) continue;
    for (GroupPartition& one : group->partitions) {
      if (one.lag().value_or(0) > 0) lagging.push_back(&one);
    }
  }
  return lagging;
}

// Nothing waits where everything is read.
void SetAgesOfRead(DescribedGroups& described) {
  for (auto& [id, group] : described) {
    if (!group.ok()) continue;
    for (GroupPartition& one : group->partitions) {
      const std::optional<int64_t> lag = one.lag();
      if (lag.has_value() && *lag <= 0) one.age = Duration(0);
    }
  }
}

// Where the oldest record is that a group has not read, for each of `lagging`; what was deleted unread
// does not wait.
Task<absl::StatusOr<std::vector<RecordPlace>>> OldestUnread(
    KafkaClient& client, std::vector<GroupPartition*> lagging,
    Instant deadline) {  // Borrowed: awaited in place.
  std::set<TopicPartition> partitions;
  for (const GroupPartition* one : lagging) partitions.insert(one->place);
  MR_CO_ASSIGN_OR_RETURN(const ListedOffsets starts,
                         co_await ListOffsetsOf(client, {partitions.begin(), partitions.end()},
                                                kListEarliest, deadline));
  std::vector<RecordPlace> oldest;
  for (const GroupPartition* one : lagging) {
    Offset from = *one->committed;
    const auto start = starts.find(one->place);
    if (start != starts.end() && start->second.ok()) {
      from = std::max(from, start->second->value_or(from));
    }
    oldest.emplace_back(one->place, from);
  }
  co_return oldest;
}

Task<absl::Status> AskAges(KafkaClient& client, DescribedGroups& described,
                           Instant deadline) {  // Borrowed: awaited in place.
  const std::vector<GroupPartition*> lagging = Lagging(described);
  if (lagging.empty()) co_return absl::OkStatus();
  MR_CO_ASSIGN_OR_RETURN(const std::vector<RecordPlace> oldest,
                         co_await OldestUnread(client, lagging, deadline));
  MR_CO_ASSIGN_OR_RETURN(const RecordTimes times,
                         co_await RecordTimesAt(client, {oldest.begin(), oldest.end()}, deadline));
  const Timestamp now = client.env().clock.Now();
  for (size_t i = 0; i < lagging.size(); ++i) {
    const auto time = times.find(oldest[i]);
    if (time == times.end()) continue;
    lagging[i]->age = milliseconds(std::max<int64_t>(now.ms() - time->second.ms(), 0));
  }
  co_return absl::OkStatus();
}

}  // namespace

Task<absl::StatusOr<DescribedGroups>> AskGroups(GroupClient& groups, std::vector<std::string> ids,
                                                GroupDetail detail, Instant deadline) {
  const bool offsets = detail >= GroupDetail::kPositions;
  DescribedGroups described;
  // Only to have many answers at once: each group asks again for what this does not tell.
  const absl::Status found = co_await groups.FindCoordinators(ids, deadline);
  if (!found.ok() && !IsRetriable(found)) co_return found;
  for (const std::string& id : ids) {
    absl::StatusOr<GroupDescription> group = co_await AskGroup(groups, id, offsets, deadline);
    if (absl::IsCancelled(group.status())) co_return group.status();
    described.insert_or_assign(id, std::move(group));
  }
  if (offsets) MR_CO_RETURN_IF_ERROR(co_await AskEnds(groups.client(), described, deadline));
  if (detail < GroupDetail::kAges) co_return described;
  SetAgesOfRead(described);
  // Without ages there is still all the rest to tell.
  const absl::Status aged = co_await AskAges(groups.client(), described, deadline);
  if (absl::IsCancelled(aged)) co_return aged;
  co_return described;
}

}  // namespace millrace
