// What follows for partitions when a broker comes, goes, or loses a directory: they leave the ISR,
// leaders move, and the broker's own record changes. Each looks only at topics that have a replica
// there.
//
// The order of the records is such that, cut anywhere between two of them, the image is valid: who
// goes leaves its partitions before its own record changes, who comes leads after it.
//
// Of those who may lead in its place, one whose directory `grades` calls full or slow is chosen last.
//
// Pure. REQUIRES: the broker is registered in the image, unless said otherwise.
// Source: rules 5.32-5.35 of Kafka's broker behaviour; KIP-841, KIP-858, KIP-966.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <memory>
#include <span>

#include "controller/decision.h"
#include "controller/directory_grades.h"
#include "controller/image/metadata_image.h"
#include "controller/partition_change.h"
#include "controller/topic_settings.h"

namespace millrace {

// No longer serves, until it says that it has caught up again. Nothing when it is fenced.
MetadataRecords RecordsOfFencing(const MetadataImage& image, const TopicSettings& defaults,
                                 const DirectoryGrades& grades, BrokerId broker);
// Serves: leads what nobody leads and it may. It enters ISRs as it catches up, by AlterPartition.
MetadataRecords RecordsOfUnfencing(const MetadataImage& image, const TopicSettings& defaults,
                                   BrokerId broker);
// Wants to go: leads nothing any more. Nothing when it is fenced or on its way already.
MetadataRecords RecordsOfShutdown(const MetadataImage& image, const TopicSettings& defaults,
                                  const DirectoryGrades& grades, BrokerId broker);
// Is forgotten. What it had does not count any more.
MetadataRecords RecordsOfUnregistering(const MetadataImage& image, const TopicSettings& defaults,
                                       const DirectoryGrades& grades, BrokerId broker);
// These directories failed. Those it does not know, or knows to be offline, are ignored.
MetadataRecords RecordsOfFailedDirectories(const MetadataImage& image,
                                           const TopicSettings& defaults,
                                           const DirectoryGrades& grades, BrokerId broker,
                                           const DirectoryIds& failed);

// One partition, and what its topic's settings are.
using ChangePartition = std::function<void(const PartitionImage& before,
                                           const TopicSettings& settings, PartitionChange& change)>;
// A partition for which it is false stays as it is.
using ConcernsPartition = std::function<bool(const PartitionImage& partition)>;

// Adds records of the partitions with a replica on `broker` that change.
void ChangePartitionsOf(const MetadataImage& image, const TopicSettings& defaults, BrokerId broker,
                        const ClusterView& cluster, const ConcernsPartition& concerns,
                        const ChangePartition& change, MetadataRecords* records);

// kBrokerIdNotRegistered, kStaleBrokerEpoch.
absl::Status CheckBrokerEpoch(const MetadataImage& image, BrokerId broker, BrokerEpoch epoch);
// `image` with records applied that were decided on it.
std::shared_ptr<const MetadataImage> ImageAfter(const MetadataImage& image,
                                                const MetadataRecords& records);
bool IsMember(std::span<const BrokerId> ids, BrokerId id);
bool ElrEnabled(const MetadataImage& image);
// Whether any partition is led by it.
bool LeadsAnything(const MetadataImage& image, BrokerId broker);

}  // namespace millrace
