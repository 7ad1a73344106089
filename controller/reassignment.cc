#include "controller/reassignment.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "common/error_kind.h"
#include "common/status_macros.h"
#include "controller/broker_changes.h"
#include "controller/partition_change.h"

namespace millrace {
namespace {

absl::Status CheckTarget(const MetadataImage& image, const PartitionImage& partition,
                         const BrokerIds& target, bool allow_replication_factor_change) {
  auto refuse = [](std::string why) {
    return MakeError(ErrorKind::kInvalidReplicaAssignment, std::move(why));
  };
  if (target.empty()) {
    return refuse("The manual partition assignment includes an empty replica list.");
  }
  std::set<BrokerId> seen;
  for (BrokerId id : target) {
    if (!seen.insert(id).second) {
      return refuse(fmt::format(
          "The manual partition assignment includes the broker {} more than once.", id));
    }
    if (image.FindBroker(id) == nullptr) {
      return refuse(
          fmt::format("The manual partition assignment includes broker {}, but no such "
                      "broker is registered.",
                      id));
    }
  }
  // While a reassignment is under way the factor is that of its target.
  const size_t factor = partition.replicas.size() - partition.removing.size();
  if (!allow_replication_factor_change && target.size() != factor) {
    return MakeError(
        ErrorKind::kInvalidReplicationFactor,
        fmt::format("The replication factor is changed from {} to {}", factor, target.size()));
  }
  return absl::OkStatus();
}

// Whether the partition may have to be led by `id` again: it is in sync, or, while nobody leads, it
// is among those that may have all that was acknowledged.
bool MayBeNeeded(const PartitionImage& partition, BrokerId id) {
  return IsMember(partition.isr, id) || IsMember(partition.elr, id) ||
         IsMember(partition.last_known_elr, id);
}

// The best there is to elect from, and so what holds what was acknowledged.
std::span<const BrokerId> Electable(const PartitionImage& partition) {
  if (!partition.isr.empty()) return partition.isr;
  return partition.elr.empty() ? partition.last_known_elr : partition.elr;
}

void SetTarget(const MetadataImage& image, const PartitionImage& partition, const BrokerIds& target,
               PartitionChange* change) {
  // What another reassignment was adding and this one does not want is dropped at once, unless the
  // partition may need it until the others are in sync.
  BrokerIds adding;
  BrokerIds removing;
  for (BrokerId id : target) {
    if (!IsMember(partition.replicas, id) || IsMember(partition.adding, id)) adding.push_back(id);
  }
  BrokerIds replicas = target;
  for (BrokerId id : partition.replicas) {
    if (IsMember(target, id)) continue;
    if (IsMember(partition.adding, id) && !MayBeNeeded(partition, id)) continue;
    removing.push_back(id);
    replicas.push_back(id);
  }
  std::ranges::sort(adding);
  std::ranges::sort(removing);
  DirectoryIds directories;
  for (BrokerId id : replicas) {
    directories.push_back(IsMember(partition.replicas, id) ? partition.DirectoryOf(id)
                                                           : FirstDirectory(image, id));
  }
  change->SetReplicas(replicas, directories, adding, removing);
}

// Back to the replicas there were; those that were being removed stay.
absl::Status Revert(const std::string& topic, PartitionId id, const PartitionImage& partition,
                    const TopicSettings& settings, PartitionChange* change) {
  BrokerIds replicas;
  DirectoryIds directories;
  BrokerIds isr;
  for (BrokerId replica : partition.replicas) {
    if (IsMember(partition.adding, replica)) continue;
    replicas.push_back(replica);
    directories.push_back(partition.DirectoryOf(replica));
  }
  for (BrokerId replica : partition.isr) {
    if (!IsMember(partition.adding, replica)) isr.push_back(replica);
  }
  if (replicas.empty()) {
    return MakeError(ErrorKind::kInvalidReplicaAssignment,
                     "Invalid replica assignment: addingReplicas contains all replicas.");
  }
  const std::span<const BrokerId> electable = Electable(partition);
  const bool all_would_go =
      !electable.empty() && std::ranges::all_of(electable, [&](BrokerId replica) {
        return IsMember(partition.adding, replica);
      });
  if (all_would_go && !settings.unclean_election) {
    // They are dead, perhaps, but what was acknowledged is on their disks.
    return MakeError(ErrorKind::kInvalidReplicaAssignment,
                     fmt::format("Unable to revert partition assignment for {}:{} because it "
                                 "would require an unclean leader election.",
                                 topic, id));
  }
  change->SetReplicas(replicas, directories, {}, {}).SetIsr(isr);
  return absl::OkStatus();
}

}  // namespace

Decision<ReassignmentReply> DecideReassignments(const MetadataImage& image,
                                                const TopicSettings& defaults,
                                                const std::vector<ReassignmentRequest>& requests,
                                                bool allow_replication_factor_change) {
  const ClusterView cluster(image);
  const bool elr = ElrEnabled(image);
  Decision<ReassignmentReply> decision;
  std::set<TopicPartitionId> decided;
  auto decide = [&](const ReassignmentRequest& request) -> absl::Status {
    MetadataImage::Topic topic = image.FindTopic(request.topic);
    const PartitionImage* before = topic == nullptr ? nullptr : topic->Find(request.partition);
    if (before == nullptr) {
      return MakeError(
          ErrorKind::kUnknownTopicOrPartition,
          topic == nullptr
              ? fmt::format("Unable to find a topic named {}.", request.topic)
              : fmt::format("Unable to find partition {}:{}.", request.topic, request.partition));
    }
    if (!decided.insert({topic->topic_id, request.partition}).second) {
      return MakeError(ErrorKind::kInvalidRequest, "The partition is named twice.");
    }
    const TopicSettings settings = SettingsOf(image, *topic, defaults);
    PartitionChange change(*before, cluster, settings, elr);
    if (request.replicas.has_value()) {
      MR_RETURN_IF_ERROR(
          CheckTarget(image, *before, *request.replicas, allow_replication_factor_change));
      SetTarget(image, *before, *request.replicas, &change);
    } else if (!before->reassigning()) {
      return MakeError(ErrorKind::kNoReassignmentInProgress,
                       "No partition reassignment is in progress.");
    } else {
      MR_RETURN_IF_ERROR(Revert(topic->name, request.partition, *before, settings, &change));
    }
    if (std::optional<PartitionImage> state = change.Build(); state.has_value()) {
      decision.records.emplace_back(
          PartitionRecord{topic->topic_id, request.partition, *std::move(state)});
    }
    return absl::OkStatus();
  };
  for (const ReassignmentRequest& request : requests) {
    absl::Status status = decide(request);
    decision.replies.push_back({request.topic, request.partition, std::move(status)});
  }
  return decision;
}

std::vector<OngoingReassignment> ListReassignments(
    const MetadataImage& image, const std::optional<std::vector<ReassignmentQuery>>& query) {
  std::vector<OngoingReassignment> ongoing;
  auto add = [&](const TopicImage& topic, PartitionId id) {
    const PartitionImage* partition = topic.Find(id);
    if (partition == nullptr || !partition->reassigning()) return;
    ongoing.push_back(
        {topic.name, id, partition->replicas, partition->adding, partition->removing});
  };
  if (query.has_value()) {
    for (const ReassignmentQuery& item : *query) {
      MetadataImage::Topic topic = image.FindTopic(item.topic);
      if (topic == nullptr) continue;
      for (PartitionId id : item.partitions) add(*topic, id);
    }
    return ongoing;
  }
  image.topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
    for (size_t p = 0; p < topic->partitions.size(); ++p) {
      add(*topic, PartitionId(static_cast<int32_t>(p)));
    }
    return true;
  });
  return ongoing;
}

}  // namespace millrace
