#include "controller/leader_election.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "common/error_kind.h"
#include "controller/broker_changes.h"
#include "controller/partition_change.h"

namespace millrace {
namespace {

bool LedByPreferred(const PartitionImage& partition) {
  return partition.leader == partition.replicas.front();
}

bool Needed(const PartitionImage& partition, ElectionKind kind) {
  return kind == ElectionKind::kPreferred ? !LedByPreferred(partition)
                                          : !partition.leader.has_value();
}

class Electing {
 public:
  Electing(const MetadataImage& image, const TopicSettings& defaults, const DirectoryGrades& grades)
      : image_(image),
        defaults_(defaults),
        grades_(grades),
        cluster_(image),
        elr_(ElrEnabled(image)) {}

  // The state after an election, or nothing when nobody else may lead.
  std::optional<PartitionImage> Elect(const TopicImage& topic, const PartitionImage& partition,
                                      Election election) {
    if (settings_of_ != topic.topic_id) {
      settings_ = SettingsOf(image_, topic, defaults_);
      settings_of_ = topic.topic_id;
    }
    PartitionChange change(partition, cluster_, settings_, elr_);
    return change.Elect(election).Build();
  }

  // Whether its preferred leader would be relieved of the leadership at once.
  absl::Status CheckNotWorse(const PartitionImage& partition) const {
    const BrokerId preferred = partition.replicas.front();
    if (grades_.IsFull(image_, partition, preferred)) {
      return MakeError(ErrorKind::kPreferredLeaderNotAvailable,
                       "The preferred leader's log directory is full.");
    }
    if (grades_.IsSlow(image_, partition, preferred) && partition.leader.has_value() &&
        grades_.IsGood(image_, partition, *partition.leader)) {
      return MakeError(ErrorKind::kPreferredLeaderNotAvailable,
                       "The preferred leader's log directory is slow.");
    }
    return absl::OkStatus();
  }

  absl::Status ElectOne(const TopicImage& topic, PartitionId id, ElectionKind kind) {
    const PartitionImage& partition = *topic.Find(id);
    if (!Needed(partition, kind)) {
      return MakeError(ErrorKind::kElectionNotNeeded,
                       "Leader election not needed for topic partition.");
    }
    if (kind == ElectionKind::kPreferred) {
      if (absl::Status worse = CheckNotWorse(partition); !worse.ok()) return worse;
    }
    std::optional<PartitionImage> state =
        Elect(topic, partition,
              kind == ElectionKind::kPreferred ? Election::kPreferred : Election::kUnclean);
    if (kind == ElectionKind::kPreferred && (!state.has_value() || !LedByPreferred(*state))) {
      return MakeError(ErrorKind::kPreferredLeaderNotAvailable,
                       "The preferred leader was not available.");
    }
    if (!state.has_value() || !state->leader.has_value()) {
      return MakeError(ErrorKind::kEligibleLeadersNotAvailable,
                       "Eligible topic partition leaders are not available.");
    }
    records.emplace_back(PartitionRecord{topic.topic_id, id, *std::move(state)});
    return absl::OkStatus();
  }

  MetadataRecords records;

 private:
  const MetadataImage& image_;
  const TopicSettings& defaults_;
  const DirectoryGrades& grades_;
  const ClusterView cluster_;
  const bool elr_;
  std::optional<TopicId> settings_of_;
  TopicSettings settings_;
};

template <typename Visit>
void ForEachPartition(const MetadataImage& image, Visit visit) {
  image.topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
    for (size_t p = 0; p < topic->partitions.size(); ++p) {
      if (!visit(*topic, PartitionId(static_cast<int32_t>(p)), topic->partitions[p])) return false;
    }
    return true;
  });
}

}  // namespace

Decision<ElectLeadersReply> DecideElections(const MetadataImage& image,
                                            const TopicSettings& defaults,
                                            const DirectoryGrades& grades,
                                            const ElectLeadersRequest& request) {
  Electing electing(image, defaults, grades);
  Decision<ElectLeadersReply> decision;
  if (!request.partitions.has_value()) {
    ForEachPartition(image, [&](const TopicImage& topic, PartitionId id,
                                const PartitionImage& partition) {
      if (Needed(partition, request.kind)) {
        decision.replies.push_back({topic.name, id, electing.ElectOne(topic, id, request.kind)});
      }
      return true;
    });
  } else {
    std::map<std::pair<std::string, PartitionId>, absl::Status> decided;  // Once each.
    for (const ElectLeadersRequest::Item& item : *request.partitions) {
      MetadataImage::Topic topic = image.FindTopic(item.topic);
      auto [found, fresh] = decided.try_emplace({item.topic, item.partition});
      if (fresh && (topic == nullptr || topic->Find(item.partition) == nullptr)) {
        found->second = MakeError(ErrorKind::kUnknownTopicOrPartition,
                                  topic == nullptr ? fmt::format("No such topic as {}", item.topic)
                                                   : fmt::format("No such partition as {}-{}",
                                                                 item.topic, item.partition));
      } else if (fresh) {
        found->second = electing.ElectOne(*topic, item.partition, request.kind);
      }
      decision.replies.push_back({item.topic, item.partition, found->second});
    }
  }
  decision.records = std::move(electing.records);
  return decision;
}

MetadataRecords DecideLeaderBalance(const MetadataImage& image, const TopicSettings& defaults,
                                    const DirectoryGrades& grades) {
  Electing electing(image, defaults, grades);
  ForEachPartition(image, [&](const TopicImage& topic, PartitionId id,
                              const PartitionImage& partition) {
    if (!LedByPreferred(partition) && grades.IsGood(image, partition, partition.replicas.front())) {
      (void)electing.ElectOne(topic, id, ElectionKind::kPreferred);
    }
    return electing.records.size() < kElectionsPerBalanceMax;
  });
  return std::move(electing.records);
}

MetadataRecords DecideLeaderless(const MetadataImage& image, const TopicSettings& defaults) {
  const DirectoryGrades unknown;  // A full or slow leader is better than none.
  Electing electing(image, defaults, unknown);
  ForEachPartition(
      image, [&](const TopicImage& topic, PartitionId id, const PartitionImage& partition) {
        if (partition.leader.has_value()) return true;
        const bool unclean = SettingsOf(image, topic, defaults).unclean_election;
        std::optional<PartitionImage> state =
            electing.Elect(topic, partition, unclean ? Election::kUnclean : Election::kOnline);
        if (state.has_value()) {
          electing.records.emplace_back(PartitionRecord{topic.topic_id, id, *std::move(state)});
        }
        return true;
      });
  return std::move(electing.records);
}

}  // namespace millrace
