#include "controller/slow_directories.h"

#include <algorithm>

namespace millrace {

MetadataRecords RecordsOfSlowDirectories(const MetadataImage& image, const TopicSettings& defaults,
                                         const DirectoryGrades& grades, BrokerId broker) {
  MetadataRecords records;
  if (!grades.AnySlow(broker)) return records;
  const ClusterView cluster(image);
  const auto is_better = [&](const PartitionImage& partition, BrokerId id) {
    return IsMember(partition.isr, id) && cluster.MayLead(partition, id) &&
           grades.IsGood(image, partition, id);
  };
  ChangePartitionsOf(
      image, defaults, broker, cluster,
      [&](const PartitionImage& partition) {
        return records.size() < kMovesOffSlowMax && partition.leader == broker &&
               partition.isr.size() > 1 && grades.IsSlow(image, partition, broker);
      },
      [&](const PartitionImage& before, const TopicSettings&, PartitionChange& change) {
        const auto better = std::ranges::find_if(
            before.replicas, [&](BrokerId id) { return is_better(before, id); });
        if (better != before.replicas.end()) change.LedBy(*better);
      },
      &records);
  return records;
}

}  // namespace millrace
