#include "controller/directory_assignment.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "common/error_kind.h"
#include "controller/broker_changes.h"

namespace millrace {
namespace {

absl::Status Check(const MetadataImage& image, BrokerId broker, const TopicPartitionId& id) {
  MetadataImage::Topic topic = image.FindTopic(id.topic_id);
  if (topic == nullptr) return MakeError(ErrorKind::kUnknownTopicId, "no topic has that id");
  const PartitionImage* partition = topic->Find(id.partition);
  if (partition == nullptr) {
    return MakeError(ErrorKind::kUnknownTopicOrPartition, "the topic has no such partition");
  }
  if (!IsMember(partition->replicas, broker)) {
    return MakeError(ErrorKind::kNotLeaderOrFollower,
                     fmt::format("broker {} has no replica of the partition", broker));
  }
  return absl::OkStatus();
}

// Of everybody, only this replica may have had all that was committed, and that is gone.
bool IsLastAndLost(const PartitionImage& partition, const BrokerImage& broker) {
  const DirectoryId former = partition.DirectoryOf(broker.id);
  if (ClusterView::IsOnline(broker, former)) return false;
  return IsMember(partition.isr, broker.id) || IsMember(partition.elr, broker.id) ||
         IsMember(partition.last_known_elr, broker.id);
}

// Whether the partition can do without what this replica has: another one leads or can, and enough are
// in sync for producers, or it will not get better: all are, or this one leads and may be what keeps
// another one from it. Where an unclean election may choose
// a replica that is being copied, one more has to fail before it does.
absl::Status MayGiveUp(const PartitionImage& partition, BrokerId broker, const ClusterView& cluster,
                       const TopicSettings& settings) {
  const auto others = static_cast<size_t>(std::ranges::count_if(
      partition.isr, [&](BrokerId id) { return id != broker && cluster.MayLead(partition, id); }));
  if (!partition.leader.has_value() || IsMember(partition.elr, broker) ||
      others < (settings.unclean_election ? 2 : 1)) {
    return MakeError(ErrorKind::kStorageError,
                     "no other replica is in sync: what this one has is all there is");
  }
  const auto isr_min = static_cast<size_t>(settings.isr_min);
  const bool all_in_sync = partition.isr.size() == partition.replicas.size();
  const bool keeps_out =
      partition.leader == broker && std::ranges::any_of(partition.replicas, [&](BrokerId id) {
        return !IsMember(partition.isr, id) && cluster.MayLead(partition, id);
      });
  if (IsMember(partition.isr, broker) && others < isr_min && !all_in_sync && !keeps_out) {
    return MakeError(ErrorKind::kStorageError,
                     "fewer than min.insync.replicas would be in sync, and another may come back");
  }
  return absl::OkStatus();
}

}  // namespace

SingleDecision<std::vector<AssignDirectoryReply>> DecideDirectories(
    const MetadataImage& image, const TopicSettings& defaults,
    const AssignDirectoriesRequest& request) {
  if (absl::Status valid = CheckBrokerEpoch(image, request.broker, request.epoch); !valid.ok()) {
    return {{}, std::move(valid)};
  }
  const BrokerImage& broker = *image.FindBroker(request.broker);
  const ClusterView cluster(image);
  std::map<TopicPartitionId, std::optional<PartitionImage>> next;  // The last word counts.
  std::vector<AssignDirectoryReply> replies;
  for (const DirectoryAssignment& assignment : request.assignments) {
    absl::Status status = Check(image, request.broker, assignment.partition);
    if (!status.ok()) {
      replies.push_back({assignment, std::move(status)});
      continue;
    }
    MetadataImage::Topic topic = image.FindTopic(assignment.partition.topic_id);
    const PartitionImage& partition = *topic->Find(assignment.partition.partition);
    const TopicSettings settings = SettingsOf(image, *topic, defaults);
    if (!settings.unclean_election && IsLastAndLost(partition, broker)) {
      status =
          MakeError(ErrorKind::kStorageError,
                    "the replica lost what nobody else is known to have; elect another leader");
    }
    const bool given_up = assignment.directory == kLostDirectory;
    if (given_up) status.Update(MayGiveUp(partition, request.broker, cluster, settings));
    const bool valid = status.ok();
    replies.push_back({assignment, std::move(status)});
    if (!valid) continue;
    PartitionChange change(partition, cluster, settings, ElrEnabled(image));
    change.SetDirectory(request.broker, assignment.directory);
    if (given_up) {
      change.GivenUp(request.broker);
    } else if (!ClusterView::IsOnline(broker, assignment.directory)) {
      change.Left(request.broker);  // It has failed meanwhile: the replica is not there.
    }
    next.insert_or_assign(assignment.partition, change.Build());
  }
  MetadataRecords records;
  for (auto& [id, state] : next) {
    if (!state.has_value()) continue;
    records.emplace_back(PartitionRecord{id.topic_id, id.partition, *std::move(state)});
  }
  return {std::move(records), std::move(replies)};
}

}  // namespace millrace
