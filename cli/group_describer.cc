#include "cli/group_describer.h"

#include <set>
#include <utility>

#include "cli/client/partition_offsets.h"

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

}  // namespace

Task<absl::StatusOr<DescribedGroups>> AskGroups(GroupClient& groups, std::vector<std::string> ids,
                                                bool offsets, Instant deadline) {
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
  co_return described;
}

}  // namespace millrace
