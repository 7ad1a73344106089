#include "controller/broker_changes.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/error_kind.h"
#include "controller/image/feature_levels.h"
#include "controller/image/metadata_delta.h"

namespace millrace {
namespace {

bool InIsr(const PartitionImage& partition, BrokerId broker) {
  return IsMember(partition.isr, broker);
}

// Takes it out of every ISR, and with it its leaderships.
void Withdraw(const MetadataImage& image, const TopicSettings& defaults,
              const DirectoryGrades& grades, BrokerId broker, MetadataRecords* records) {
  const ClusterView cluster = ClusterView(image).WithLeaving(broker).WithGrades(grades);
  ChangePartitionsOf(
      image, defaults, broker, cluster,
      // Without eligible leader replicas a last member stays in the ISR and may yet lead.
      [broker](const PartitionImage& partition) {
        return InIsr(partition, broker) || partition.leader == broker;
      },
      [broker](const PartitionImage&, const TopicSettings&, PartitionChange& change) {
        change.Left(broker);
      },
      records);
}

BrokerChangeRecord ChangeOf(const MetadataImage& image, BrokerId broker) {
  return {broker, image.FindBroker(broker)->epoch};
}

}  // namespace

absl::Status CheckBrokerEpoch(const MetadataImage& image, BrokerId broker, BrokerEpoch epoch) {
  const BrokerImage* registered = image.FindBroker(broker);
  if (registered == nullptr) {
    return MakeError(ErrorKind::kBrokerIdNotRegistered,
                     fmt::format("Broker ID {} is not currently registered", broker));
  }
  if (registered->epoch != epoch) {
    return MakeError(ErrorKind::kStaleBrokerEpoch,
                     fmt::format("broker {} has epoch {}, but the request is of epoch {}", broker,
                                 registered->epoch, epoch));
  }
  return absl::OkStatus();
}

std::shared_ptr<const MetadataImage> ImageAfter(const MetadataImage& image,
                                                const MetadataRecords& records) {
  auto base = std::make_shared<const MetadataImage>(image);
  if (records.empty()) return base;
  MetadataDelta delta(base, /*keeps_lists=*/false);
  for (const MetadataRecord& record : records) MR_CHECK(delta.Apply(record).ok());
  return delta.Build(image.index().value_or(RaftIndex(0)));
}

bool IsMember(std::span<const BrokerId> ids, BrokerId id) {
  return std::ranges::find(ids, id) != ids.end();
}

bool ElrEnabled(const MetadataImage& image) { return image.feature_level(kElrVersion) > 0; }

bool LeadsAnything(const MetadataImage& image, BrokerId broker) {
  bool leads = false;
  image.ForEachTopicOf(broker, [&](const MetadataImage::Topic& topic) {
    leads = leads || std::ranges::any_of(topic->partitions, [broker](const PartitionImage& each) {
              return each.leader == broker;
            });
  });
  return leads;
}

void ChangePartitionsOf(const MetadataImage& image, const TopicSettings& defaults, BrokerId broker,
                        const ClusterView& cluster, const ConcernsPartition& concerns,
                        const ChangePartition& change, MetadataRecords* records) {
  const bool elr = ElrEnabled(image);
  image.ForEachTopicOf(broker, [&](const MetadataImage::Topic& topic) {
    std::optional<TopicSettings> settings;  // Looked up once, and only where something changes.
    for (size_t p = 0; p < topic->partitions.size(); ++p) {
      const PartitionImage& before = topic->partitions[p];
      if (!IsMember(before.replicas, broker) || !concerns(before)) continue;
      if (!settings.has_value()) settings = SettingsOf(image, *topic, defaults);
      PartitionChange next(before, cluster, *settings, elr);
      change(before, *settings, next);
      if (std::optional<PartitionImage> state = next.Build(); state.has_value()) {
        records->emplace_back(PartitionRecord{topic->topic_id, PartitionId(static_cast<int32_t>(p)),
                                              *std::move(state)});
      }
    }
  });
}

MetadataRecords RecordsOfFencing(const MetadataImage& image, const TopicSettings& defaults,
                                 const DirectoryGrades& grades, BrokerId broker) {
  MetadataRecords records;
  if (image.FindBroker(broker)->fenced) return records;
  Withdraw(image, defaults, grades, broker, &records);
  BrokerChangeRecord change = ChangeOf(image, broker);
  change.fenced = true;
  records.emplace_back(std::move(change));
  return records;
}

MetadataRecords RecordsOfUnfencing(const MetadataImage& image, const TopicSettings& defaults,
                                   BrokerId broker) {
  MetadataRecords records;
  if (image.FindBroker(broker)->active()) return records;
  const ClusterView cluster = ClusterView(image).WithJoining(broker);
  ChangePartitionsOf(
      image, defaults, broker, cluster,
      [](const PartitionImage& partition) { return !partition.leader.has_value(); },
      [](const PartitionImage&, const TopicSettings&, PartitionChange&) {}, &records);
  BrokerChangeRecord change = ChangeOf(image, broker);
  change.fenced = false;
  change.in_controlled_shutdown = false;
  // Before the leaders it gets: cut in between, it serves and leads nothing yet.
  records.emplace(records.begin(), std::move(change));
  return records;
}

MetadataRecords RecordsOfShutdown(const MetadataImage& image, const TopicSettings& defaults,
                                  const DirectoryGrades& grades, BrokerId broker) {
  MetadataRecords records;
  if (!image.FindBroker(broker)->active()) return records;
  Withdraw(image, defaults, grades, broker, &records);
  BrokerChangeRecord change = ChangeOf(image, broker);
  change.in_controlled_shutdown = true;
  records.emplace_back(std::move(change));
  return records;
}

MetadataRecords RecordsOfUnregistering(const MetadataImage& image, const TopicSettings& defaults,
                                       const DirectoryGrades& grades, BrokerId broker) {
  MetadataRecords records;
  const ClusterView cluster = ClusterView(image).WithLeaving(broker).WithGrades(grades);
  ChangePartitionsOf(
      image, defaults, broker, cluster,
      [broker](const PartitionImage& partition) {
        return InIsr(partition, broker) || IsMember(partition.elr, broker) ||
               partition.leader == broker;
      },
      [broker](const PartitionImage&, const TopicSettings&, PartitionChange& change) {
        change.Lost(broker);
      },
      &records);
  records.emplace_back(UnregisterBrokerRecord{broker, image.FindBroker(broker)->epoch});
  return records;
}

MetadataRecords RecordsOfFailedDirectories(const MetadataImage& image,
                                           const TopicSettings& defaults,
                                           const DirectoryGrades& grades, BrokerId broker,
                                           const DirectoryIds& failed) {
  MetadataRecords records;
  const BrokerImage& registered = *image.FindBroker(broker);
  BrokerChangeRecord change = ChangeOf(image, broker);
  for (const DirectoryId& id : failed) {
    const LogDirectoryImage* directory = registered.FindDirectory(id);
    if (directory != nullptr && directory->online) change.offline_directories.push_back(id);
  }
  if (change.offline_directories.empty()) return records;
  const ClusterView cluster = ClusterView(image).WithLeaving(broker).WithGrades(grades);
  ChangePartitionsOf(
      image, defaults, broker, cluster,
      [&](const PartitionImage& partition) {
        return (InIsr(partition, broker) || partition.leader == broker) &&
               std::ranges::find(change.offline_directories, partition.DirectoryOf(broker)) !=
                   change.offline_directories.end();
      },
      [broker](const PartitionImage&, const TopicSettings&, PartitionChange& next) {
        next.Left(broker);
      },
      &records);
  records.emplace_back(std::move(change));
  return records;
}

}  // namespace millrace
