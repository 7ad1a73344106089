#include "controller/slow_directories.h"

#include <algorithm>

namespace millrace {

MetadataRecords RecordsOfSlowDirectories(const MetadataImage& image, const TopicSettings& defaults,
                                         const DirectoryGrades& grades, BrokerId broker) {
  MetadataRecords records;
  if (!grades.AnySlow(broker)) return records;
  const ClusterView cluster(image);
  const auto better = [&](const PartitionImage& partition) {
    return std::ranges::find_if(partition.replicas, [&](BrokerId id) {
      return IsMember(partition.isr, id) && cluster.MayLead(partition, id) &&
             grades.IsGood(image, partition, id);
    });
  };
  ChangePartitionsOf(
      image, defaults, broker, cluster,
      [&](const PartitionImage& partition) {
        return records.size() < kMovesOffSlowMax && partition.leader == broker &&
               partition.isr.size() > 1 && grades.IsSlow(image, partition, broker) &&
               better(partition) != partition.replicas.end();
      },
      [&](const PartitionImage& before, const TopicSettings&, PartitionChange& change) {
        change.LedBy(*better(before));
      },
      &records);
  return records;
}

}  // namespace millrace
