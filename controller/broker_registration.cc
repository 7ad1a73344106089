#include "controller/broker_registration.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "common/error_kind.h"
#include "controller/broker_changes.h"
#include "controller/image/feature_levels.h"
#include "controller/turn_entries.h"

namespace millrace {
namespace {

// Directory ids whose high half is 0 and whose low half is below this mean something else (KIP-858).
constexpr uint64_t kReservedDirectories = 100;

std::string AddressesOf(const std::vector<BrokerEndpoint>& endpoints) {
  std::string text;
  for (const BrokerEndpoint& endpoint : endpoints) {
    text += fmt::format("{}{}:{}", text.empty() ? "" : ", ", endpoint.host, endpoint.port);
  }
  return text.empty() ? "without an address" : text;
}

absl::Status CheckDirectories(const MetadataImage& image, const BrokerRegistration& request) {
  auto refuse = [](std::string why) {
    return MakeError(ErrorKind::kInvalidRegistration, std::move(why));
  };
  if (request.log_directories.empty()) {
    return refuse(fmt::format("broker {} names no log directory", request.id));
  }
  std::set<DirectoryId> seen;
  for (const LogDirectoryImage& directory : request.log_directories) {
    if (directory.id.high() == 0 && directory.id.low() < kReservedDirectories) {
      return refuse(
          fmt::format("broker {} names the reserved directory id {}", request.id, directory.id));
    }
    if (!seen.insert(directory.id).second) {
      return refuse(fmt::format("broker {} names directory {} twice", request.id, directory.id));
    }
    for (const auto& [id, other] : image.brokers()) {
      if (other.id != request.id && other.FindDirectory(directory.id) != nullptr) {
        return refuse(
            fmt::format("broker {} names directory {}, which is broker {}'s: a copied "
                        "data directory?",
                        request.id, directory.id, other.id));
      }
    }
  }
  return absl::OkStatus();
}

// A broker removes the logs that the metadata does not know. Of metadata that was never written that
// would be all of them: data of a cluster whose metadata is elsewhere, or gone, or Kafka's. Refused
// before anything is committed, or the next start would find that the broker is known.
absl::Status CheckLogs(const MetadataImage& image, const BrokerRegistration& request) {
  const bool fresh = image.FindBroker(request.id) == nullptr && image.topics().size() == 0;
  if (request.logs == 0 || !fresh) return absl::OkStatus();
  return MakeError(
      ErrorKind::kInvalidRegistration,
      fmt::format("log.dirs of broker {} hold {} partitions, but the cluster's metadata is new and "
                  "knows none of them. Set metadata.log.dir to where the metadata is, or log.dirs "
                  "to empty directories",
                  request.id, request.logs));
}

absl::Status CheckFeatures(const MetadataImage& image, const BrokerRegistration& request) {
  for (const auto& [name, level] : image.features()) {
    // The quorum's own, which a broker need not know.
    if (name == kKraftVersion) continue;
    auto range = std::ranges::find(request.features, name, &FeatureRange::name);
    const bool serves =
        range != request.features.end() && range->min_level <= level && level <= range->max_level;
    if (!serves) {
      return MakeError(
          ErrorKind::kUnsupportedVersion,
          fmt::format("Unable to register because the broker does not support finalized version {} "
                      "of {}. The broker wants a version between {} and {}, inclusive.",
                      level, name, range == request.features.end() ? 0 : range->min_level,
                      range == request.features.end() ? 0 : range->max_level));
    }
  }
  return absl::OkStatus();
}

bool SameDirectories(const BrokerImage& before, const BrokerRegistration& request) {
  return std::ranges::any_of(request.log_directories, [&](const LogDirectoryImage& directory) {
    return before.FindDirectory(directory.id) != nullptr;
  });
}

absl::Status CheckIdIsFree(const BrokerImage& before, const BrokerRegistration& request,
                           SessionState session) {
  if (session == SessionState::kNone) return absl::OkStatus();
  if (session == SessionState::kBroken && SameDirectories(before, request)) {
    return absl::OkStatus();
  }
  return MakeError(
      ErrorKind::kDuplicateBrokerRegistration,
      fmt::format("Another broker is registered with that broker id: broker {} at {} {}; this one "
                  "is at {}{}",
                  request.id, AddressesOf(before.endpoints),
                  session == SessionState::kAlive ? "is alive" : "has not timed out yet",
                  AddressesOf(request.endpoints),
                  request.peer.empty() ? "" : fmt::format(" and speaks from {}", request.peer)));
}

// Whether what the replica acknowledged is still there. `before` is the broker's registration under
// which it was acknowledged.
bool StoppedCleanly(const BrokerImage& before, const BrokerRegistration& request,
                    const DirectoryId& directory, const TopicSettings& settings) {
  auto find = [&](const DirectoryId& id) {
    return std::ranges::find(request.log_directories, id, &LogDirectoryImage::id);
  };
  const bool unsaid = directory == kUnassignedDirectory || directory == kMigratingDirectory;
  // It may be in any of the former directories: then all of them must be here.
  const bool there =
      unsaid ? std::ranges::all_of(before.log_directories,
                                   [&](const LogDirectoryImage& each) {
                                     return find(each.id) != request.log_directories.end();
                                   })
             : find(directory) != request.log_directories.end() && find(directory)->online;
  if (!there) return false;
  if (request.clean_epoch == before.epoch) return true;
  if (!settings.durable_on_disk) return false;
  return unsaid ? std::ranges::all_of(request.log_directories, &LogDirectoryImage::replayed)
                : find(directory)->replayed;
}

// The old incarnation's memberships and leaderships end.
void EndIncarnation(const MetadataImage& image, const TopicSettings& defaults,
                    const DirectoryGrades& grades, const BrokerImage& before,
                    const BrokerRegistration& request, MetadataRecords* records) {
  const ClusterView cluster = ClusterView(image).WithLeaving(request.id).WithGrades(grades);
  ChangePartitionsOf(
      image, defaults, request.id, cluster,
      [&](const PartitionImage& partition) {
        return IsMember(partition.isr, request.id) || IsMember(partition.elr, request.id) ||
               partition.leader == request.id;
      },
      [&](const PartitionImage& partition, const TopicSettings& settings, PartitionChange& change) {
        if (StoppedCleanly(before, request, partition.DirectoryOf(request.id), settings)) {
          change.Left(request.id);
        } else {
          change.Lost(request.id);
        }
      },
      records);
}

BrokerImage ImageOf(const BrokerRegistration& request, const BrokerImage* before,
                    BrokerEpoch epoch) {
  BrokerImage image;
  image.id = request.id;
  image.epoch = epoch;
  image.incarnation = request.incarnation;
  image.endpoints = request.endpoints;
  image.rack = request.rack;
  image.log_directories = request.log_directories;
  image.features = request.features;
  image.fenced = true;
  image.draining = before != nullptr && before->draining;
  return image;
}

// With the registration applied: what it takes for the broker to serve. A partition that it lost
// and has again changes once; but for more of them than one entry of the log holds, where every
// part has to end what the incarnation before led.
void UnfenceAtOnce(const MetadataImage& image, const TopicSettings& defaults, BrokerId broker,
                   MetadataRecords* records) {
  MetadataRecords unfencing = RecordsOfUnfencing(*ImageAfter(image, *records), defaults, broker);
  if (unfencing.size() > kRecordsPerTurnMax) {
    std::ranges::move(unfencing, std::back_inserter(*records));
    return;
  }
  std::map<TopicPartitionId, PartitionRecord*> again;
  for (MetadataRecord& record : unfencing) {
    if (auto* partition = std::get_if<PartitionRecord>(&record); partition != nullptr) {
      again.emplace(TopicPartitionId{partition->topic_id, partition->partition}, partition);
    }
  }
  std::erase_if(*records, [&](const MetadataRecord& record) {
    const auto* ended = std::get_if<PartitionRecord>(&record);
    if (ended == nullptr) return false;
    auto found = again.find({ended->topic_id, ended->partition});
    if (found == again.end()) return false;
    found->second->state.leader_epoch = ended->state.leader_epoch;
    found->second->state.partition_epoch = ended->state.partition_epoch;
    return true;
  });
  std::ranges::move(unfencing, std::back_inserter(*records));
}

}  // namespace

SingleDecision<RegisteredBroker> DecideRegistration(const MetadataImage& image,
                                                    const std::string& cluster_id,
                                                    const TopicSettings& defaults,
                                                    const DirectoryGrades& grades,
                                                    const BrokerRegistration& request,
                                                    SessionState session, BrokerEpoch epoch) {
  if (!cluster_id.empty() && request.cluster_id != cluster_id) {
    return {{},
            MakeError(ErrorKind::kInconsistentClusterId,
                      fmt::format("Expected cluster ID {}, but got cluster ID {} from broker {}{}",
                                  cluster_id, request.cluster_id, request.id,
                                  request.peer.empty() ? "" : " at " + request.peer))};
  }
  const BrokerImage* before = image.FindBroker(request.id);
  const bool same = before != nullptr && before->incarnation == request.incarnation;
  if (before != nullptr && !same) {
    if (absl::Status free = CheckIdIsFree(*before, request, session); !free.ok()) {
      return {{}, std::move(free)};
    }
  }
  if (same) return {{}, RegisteredBroker{before->epoch, before->fenced}};
  if (absl::Status valid = CheckDirectories(image, request); !valid.ok()) {
    return {{}, std::move(valid)};
  }
  if (absl::Status valid = CheckFeatures(image, request); !valid.ok()) {
    return {{}, std::move(valid)};
  }
  if (absl::Status known = CheckLogs(image, request); !known.ok()) return {{}, std::move(known)};
  MetadataRecords records;
  if (before != nullptr) EndIncarnation(image, defaults, grades, *before, request, &records);
  records.emplace_back(RegisterBrokerRecord{ImageOf(request, before, epoch)});
  if (request.caught_up) UnfenceAtOnce(image, defaults, request.id, &records);
  return {std::move(records), RegisteredBroker{epoch, !request.caught_up}};
}

}  // namespace millrace
