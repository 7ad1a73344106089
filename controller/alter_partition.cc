#include "controller/alter_partition.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <set>
#include <utility>

#include "common/error_kind.h"
#include "controller/broker_changes.h"
#include "controller/full_directories.h"

namespace millrace {
namespace {

absl::Status CheckEpochs(const PartitionImage& partition, BrokerId sender,
                         const IsrChange& proposal) {
  if (proposal.leader_epoch > partition.leader_epoch ||
      proposal.partition_epoch > partition.partition_epoch) {
    // Only the controller gives epochs: this one is behind another.
    return MakeError(ErrorKind::kNotController,
                     fmt::format("epochs {} and {} are ahead of the controller's {} and {}",
                                 proposal.leader_epoch, proposal.partition_epoch,
                                 partition.leader_epoch, partition.partition_epoch));
  }
  if (proposal.leader_epoch < partition.leader_epoch) {
    return MakeError(ErrorKind::kFencedLeaderEpoch,
                     fmt::format("the leader epoch is {} by now, not {}", partition.leader_epoch,
                                 proposal.leader_epoch));
  }
  if (partition.leader != sender) {
    return MakeError(ErrorKind::kInvalidRequest,
                     fmt::format("broker {} does not lead the partition", sender));
  }
  if (proposal.partition_epoch < partition.partition_epoch) {
    return MakeError(ErrorKind::kInvalidUpdateVersion,
                     fmt::format("the partition epoch is {} by now, not {}",
                                 partition.partition_epoch, proposal.partition_epoch));
  }
  return absl::OkStatus();
}

absl::Status CheckIsr(const PartitionImage& partition, BrokerId leader, const IsrChange& proposal) {
  std::set<BrokerId> members;
  for (const IsrChangeMember& member : proposal.isr) {
    if (!members.insert(member.broker).second || !IsMember(partition.replicas, member.broker)) {
      return MakeError(
          ErrorKind::kInvalidRequest,
          fmt::format("broker {} is in the proposed ISR twice, or no replica", member.broker));
    }
  }
  if (!members.contains(leader)) {
    return MakeError(ErrorKind::kInvalidRequest,
                     fmt::format("the proposed ISR lacks the leader, broker {}", leader));
  }
  if (proposal.recovery == LeaderRecovery::kRecovering) {
    if (members.size() > 1) {
      return MakeError(ErrorKind::kInvalidRequest,
                       "a leader that is recovering is alone in the ISR");
    }
    if (partition.recovery == LeaderRecovery::kRecovered) {
      return MakeError(ErrorKind::kInvalidRequest,
                       "a leader that has recovered does not begin to recover");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMembers(const MetadataImage& image, const TopicSettings& settings,
                          const DirectoryGrades& grades, const PartitionImage& partition,
                          const IsrChange& proposal) {
  BrokerIds members;
  for (const IsrChangeMember& member : proposal.isr) members.push_back(member.broker);
  std::vector<std::string> ineligible;
  for (const IsrChangeMember& member : proposal.isr) {
    const BrokerImage* broker = image.FindBroker(member.broker);
    std::string_view why;
    if (broker == nullptr) {
      why = "not registered";
    } else if (broker->fenced) {
      why = "fenced";
    } else if (broker->in_controlled_shutdown) {
      why = "shutting down";
    } else if (member.epoch.has_value() && *member.epoch != broker->epoch) {
      why = "of another epoch";
    } else if (!ClusterView::IsOnline(*broker, partition.DirectoryOf(member.broker))) {
      why = "its log directory is offline";
    } else if (!IsMember(partition.isr, member.broker) &&
               IsBetterOutside(image, settings, grades, partition, members, member.broker)) {
      why = "its log directory is full";
    }
    if (!why.empty()) ineligible.push_back(fmt::format("{} ({})", member.broker, why));
  }
  if (ineligible.empty()) return absl::OkStatus();
  return MakeError(ErrorKind::kIneligibleReplica,
                   fmt::format("replicas that may not join: {}", fmt::join(ineligible, ", ")));
}

class Deciding {
 public:
  Deciding(const MetadataImage& image, const TopicSettings& defaults, const DirectoryGrades& grades,
           BrokerId sender)
      : image_(image), defaults_(defaults), grades_(grades), sender_(sender), cluster_(image) {}

  IsrReply Decide(const IsrChange& proposal) {
    IsrReply reply{proposal.partition, absl::OkStatus()};
    MetadataImage::Topic topic = image_.FindTopic(proposal.partition.topic_id);
    const PartitionImage* before = nullptr;
    if (topic == nullptr) {
      reply.status = MakeError(ErrorKind::kUnknownTopicId, "no topic has that id");
      return reply;
    }
    before = topic->Find(proposal.partition.partition);
    if (before == nullptr) {
      reply.status =
          MakeError(ErrorKind::kUnknownTopicOrPartition, "the topic has no such partition");
      return reply;
    }
    if (!decided_.insert(proposal.partition).second) {
      reply.status = MakeError(ErrorKind::kInvalidRequest, "the partition is named twice");
      return reply;
    }
    reply.status = CheckEpochs(*before, sender_, proposal);
    if (reply.status.ok()) reply.status = CheckIsr(*before, sender_, proposal);
    if (reply.status.ok()) {
      reply.status = CheckMembers(image_, SettingsFor(*topic), grades_, *before, proposal);
    }
    if (reply.status.ok()) Change(*topic, *before, proposal, &reply);
    return reply;
  }

  MetadataRecords records;

 private:
  const TopicSettings& SettingsFor(const TopicImage& topic) {
    auto settings = settings_.find(topic.topic_id);
    if (settings == settings_.end()) {
      settings = settings_.emplace(topic.topic_id, SettingsOf(image_, topic, defaults_)).first;
    }
    return settings->second;
  }

  void Change(const TopicImage& topic, const PartitionImage& before, const IsrChange& proposal,
              IsrReply* reply) {
    BrokerIds isr;
    for (const IsrChangeMember& member : proposal.isr) isr.push_back(member.broker);
    PartitionChange change(before, cluster_, SettingsFor(topic), ElrEnabled(image_));
    change.SetIsr(isr).SetRecovery(proposal.recovery);
    const PartitionImage state = change.Build().value_or(before);
    if (state != before) {
      records.emplace_back(PartitionRecord{topic.topic_id, proposal.partition.partition, state});
    }
    reply->leader = state.leader;
    reply->leader_epoch = state.leader_epoch;
    reply->partition_epoch = state.partition_epoch;
    reply->isr = state.isr;
    reply->recovery = state.recovery;
    if (state.leader != sender_) {
      // The change is made all the same; the sender takes this as "fetch the metadata".
      reply->status = MakeError(ErrorKind::kNewLeaderElected,
                                "the change completes a reassignment, and another broker leads");
    }
  }

  const MetadataImage& image_;
  const TopicSettings& defaults_;
  const DirectoryGrades& grades_;
  const BrokerId sender_;
  const ClusterView cluster_;
  std::map<TopicId, TopicSettings> settings_;
  std::set<TopicPartitionId> decided_;
};

}  // namespace

SingleDecision<std::vector<IsrReply>> DecideAlterPartition(const MetadataImage& image,
                                                           const TopicSettings& defaults,
                                                           const DirectoryGrades& grades,
                                                           const AlterPartitionRequest& request) {
  if (absl::Status valid = CheckBrokerEpoch(image, request.broker, request.epoch); !valid.ok()) {
    return {{}, std::move(valid)};
  }
  Deciding deciding(image, defaults, grades, request.broker);
  std::vector<IsrReply> replies;
  replies.reserve(request.proposals.size());
  for (const IsrChange& proposal : request.proposals) {
    replies.push_back(deciding.Decide(proposal));
  }
  return {std::move(deciding.records), std::move(replies)};
}

}  // namespace millrace
