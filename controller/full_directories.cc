#include "controller/full_directories.h"

#include <algorithm>
#include <cstddef>
#include <optional>

namespace millrace {
namespace {

// So many in sync, and acks=all is taken.
size_t Enough(const TopicSettings& settings, const PartitionImage& partition) {
  return std::min(static_cast<size_t>(settings.isr_min), partition.replicas.size());
}

// Those of the ISR that may lead and have room, in replica order; the slow ones last.
BrokerIds WithRoom(const MetadataImage& image, const ClusterView& cluster,
                   const DirectoryGrades& grades, const PartitionImage& partition) {
  BrokerIds found;
  for (const bool slow : {false, true}) {
    for (BrokerId id : partition.replicas) {
      if (IsMember(partition.isr, id) && cluster.MayLead(partition, id) &&
          grades.HasRoom(image, partition, id) && grades.IsSlow(image, partition, id) == slow) {
        found.push_back(id);
      }
    }
  }
  return found;
}

}  // namespace

MetadataRecords RecordsOfFullDirectories(const MetadataImage& image, const TopicSettings& defaults,
                                         const DirectoryGrades& grades, BrokerId broker) {
  MetadataRecords records;
  if (!grades.AnyFull(broker)) return records;
  const ClusterView cluster(image);
  ChangePartitionsOf(
      image, defaults, broker, cluster,
      [&](const PartitionImage& partition) {
        return IsMember(partition.isr, broker) && partition.isr.size() > 1 &&
               grades.IsFull(image, partition, broker);
      },
      [&](const PartitionImage& before, const TopicSettings& settings, PartitionChange& change) {
        const BrokerIds others = WithRoom(image, cluster, grades, before);
        if (others.empty()) return;
        if (before.leader == broker) change.LedBy(others.front());
        if (others.size() >= Enough(settings, before)) change.Left(broker);
      },
      &records);
  return records;
}

bool IsBetterOutside(const MetadataImage& image, const TopicSettings& settings,
                     const DirectoryGrades& grades, const PartitionImage& partition,
                     std::span<const BrokerId> members, BrokerId replica) {
  if (!grades.IsFull(image, partition, replica)) return false;
  const auto others = std::ranges::count_if(
      members, [&](BrokerId id) { return !grades.IsFull(image, partition, id); });
  return static_cast<size_t>(others) >= Enough(settings, partition);
}

}  // namespace millrace
