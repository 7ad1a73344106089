#include "controller/topic_decisions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "common/config/topic_config.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "controller/effective_config.h"
#include "controller/placement.h"
#include "controller/request_records.h"

namespace millrace {
namespace {

constexpr size_t kTopicNameLengthMax = 249;  // A folder "<name>-<partition>" must fit 255 bytes.

std::vector<PlacementCandidate> Candidates(const MetadataImage& image) {
  std::vector<PlacementCandidate> candidates;
  for (const auto& [id, broker] : image.brokers()) {
    if (!broker.draining) candidates.push_back({broker.id, broker.rack, !broker.active()});
  }
  return candidates;
}

// A new partition on `replicas`: led by the first active of them, all active ones in sync.
PartitionImage NewPartition(const MetadataImage& image, const std::vector<BrokerId>& replicas) {
  PartitionImage partition;
  partition.replicas = replicas;
  BrokerIds isr;
  DirectoryIds directories;
  for (BrokerId id : replicas) {
    const BrokerImage* broker = image.FindBroker(id);
    if (broker->active()) isr.push_back(id);
    // Where each replica lives is the broker's to choose until it says so; one directory is no
    // choice.
    directories.push_back(broker->log_directories.size() == 1 ? broker->log_directories[0].id
                                                              : kUnassignedDirectory);
  }
  partition.isr = isr;
  partition.directories = directories;
  if (!isr.empty()) partition.leader = isr.front();
  return partition;
}

absl::Status ValidateAssignment(const MetadataImage& image, int32_t partition,
                                const std::vector<BrokerId>& replicas) {
  if (replicas.empty()) {
    return MakeError(ErrorKind::kInvalidReplicaAssignment,
                     "The manual partition assignment includes an empty replica list.");
  }
  std::set<BrokerId> seen;
  bool unfenced = false;
  for (BrokerId id : replicas) {
    if (!seen.insert(id).second) {
      return MakeError(
          ErrorKind::kInvalidReplicaAssignment,
          fmt::format("The manual partition assignment includes the broker {} more than once.",
                      id));
    }
    const BrokerImage* broker = image.FindBroker(id);
    if (broker == nullptr) {
      return MakeError(
          ErrorKind::kInvalidReplicaAssignment,
          fmt::format("The manual partition assignment includes broker {}, but no such broker is "
                      "registered.",
                      id));
    }
    unfenced = unfenced || broker->active();
  }
  if (!unfenced) {
    return MakeError(
        ErrorKind::kInvalidReplicaAssignment,
        fmt::format("All brokers specified in the manual partition assignment for partition {} are "
                    "fenced or in controlled shutdown.",
                    partition));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::vector<BrokerId>>> ManualAssignment(
    const MetadataImage& image, const CreateTopicRequest& request) {
  if (request.replication_factor.has_value()) {
    return MakeError(
        ErrorKind::kInvalidRequest,
        "A manual partition assignment was specified, but replication factor was not set to -1.");
  }
  if (request.partitions.has_value()) {
    return MakeError(
        ErrorKind::kInvalidRequest,
        "A manual partition assignment was specified, but numPartitions was not set to -1.");
  }
  if (request.duplicate_assignment) {
    return MakeError(ErrorKind::kInvalidReplicaAssignment,
                     "Found multiple manual partition assignments for one partition.");
  }
  std::vector<std::vector<BrokerId>> placed;
  for (const auto& [partition, replicas] : request.assignments) {
    if (partition != static_cast<int32_t>(placed.size())) {
      return MakeError(ErrorKind::kInvalidReplicaAssignment,
                       "partitions should be a consecutive 0-based integer sequence");
    }
    MR_RETURN_IF_ERROR(ValidateAssignment(image, partition, replicas));
    if (!placed.empty() && replicas.size() != placed.front().size()) {
      return MakeError(
          ErrorKind::kInvalidReplicaAssignment,
          fmt::format(
              "The manual partition assignment includes partitions with {} and {} replicas; all "
              "must have the same number.",
              placed.front().size(), replicas.size()));
    }
    placed.push_back(replicas);
  }
  return placed;
}

// Takes `count` partitions from what one request may still create: before they are placed, so that
// a refused request costs nothing that grows with the number it asks for.
absl::Status TakeFromAllowance(size_t count, size_t* left) {
  if (count > *left) {
    return MakeError(ErrorKind::kPolicyViolation,
                     fmt::format("Excessively large number of partitions per request: at most {} "
                                 "are created at once.",
                                 kPartitionsPerRequestMax));
  }
  *left -= count;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::vector<BrokerId>>> Place(const MetadataImage& image,
                                                         const TopicRules& rules,
                                                         const CreateTopicRequest& request,
                                                         uint64_t start, size_t* left) {
  if (!request.assignments.empty()) {
    MR_RETURN_IF_ERROR(TakeFromAllowance(request.assignments.size(), left));
    return ManualAssignment(image, request);
  }
  int32_t partitions = request.partitions.value_or(rules.default_partitions);
  if (partitions <= 0) {
    return MakeError(ErrorKind::kInvalidPartitions,
                     "Number of partitions must be larger than 0, or -1 to use the default value.");
  }
  if (partitions > kPartitionsPerTopicMax) {
    return MakeError(ErrorKind::kInvalidPartitions,
                     fmt::format("{} partitions were asked for; a topic may have {}", partitions,
                                 kPartitionsPerTopicMax));
  }
  MR_RETURN_IF_ERROR(TakeFromAllowance(static_cast<size_t>(partitions), left));
  return PlaceReplicas(Candidates(image), partitions,
                       request.replication_factor.value_or(rules.default_replication_factor),
                       start);
}

absl::StatusOr<ConfigOverrides> Configs(const MetadataImage& image, const TopicRules& rules,
                                        const CreateTopicRequest& request) {
  ConfigOverrides configs;
  for (const auto& [key, value] : request.configs) {
    // Kafka's tools send null for "no value"; it means nothing in a creation.
    if (!value.has_value()) {
      return MakeError(ErrorKind::kInvalidConfig,
                       fmt::format("Null value not supported for topic configs: {}", key));
    }
    if (!configs.emplace(key, *value).second) {
      return MakeError(ErrorKind::kInvalidConfig,
                       fmt::format("topic config {} is given twice", key));
    }
  }
  MR_RETURN_IF_ERROR(ValidateTopicConfig(configs, EffectiveServerValues(rules.own, image)));
  return configs;
}

absl::Status CheckNameIsFree(const MetadataImage& image, const std::string& name) {
  MR_RETURN_IF_ERROR(ValidateTopicName(name));
  if (image.FindTopic(name) != nullptr) {
    return MakeError(ErrorKind::kTopicAlreadyExists,
                     fmt::format("Topic '{}' already exists.", name));
  }
  if (MetadataImage::Topic other = image.FindCollision(name); other != nullptr) {
    return MakeError(ErrorKind::kInvalidTopic,
                     fmt::format("Topic '{}' collides with existing topic: {}", name, other->name));
  }
  return absl::OkStatus();
}

MetadataRecords RecordsOfTopic(const MetadataImage& image, const CreateTopicReply& topic,
                               const std::vector<std::vector<BrokerId>>& placed) {
  MetadataRecords records;
  records.reserve(1 + topic.configs.size() + placed.size());
  records.emplace_back(TopicRecord{topic.name, topic.topic_id});
  for (const auto& [key, value] : topic.configs) {
    records.emplace_back(ConfigRecord{ConfigResource::kTopic, topic.name, key, value});
  }
  for (size_t p = 0; p < placed.size(); ++p) {
    records.emplace_back(PartitionRecord{topic.topic_id, PartitionId(static_cast<int32_t>(p)),
                                         NewPartition(image, placed[p])});
  }
  return records;
}

}  // namespace

absl::Status ValidateTopicName(const std::string& name) {
  if (name.empty()) {
    return MakeError(ErrorKind::kInvalidTopic,
                     "Topic name is invalid: the empty string is not allowed");
  }
  if (name == "." || name == "..") {
    return MakeError(ErrorKind::kInvalidTopic, "Topic name is invalid: '.' or '..' is not allowed");
  }
  if (name.size() > kTopicNameLengthMax) {
    return MakeError(
        ErrorKind::kInvalidTopic,
        fmt::format(
            "Topic name is invalid: the length of '{}...' is longer than the max allowed length {}",
            name.substr(0, 32), kTopicNameLengthMax));
  }
  bool legal = std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
  if (!legal) {
    return MakeError(ErrorKind::kInvalidTopic,
                     "Topic name is invalid: it contains one or more characters other than ASCII "
                     "alphanumerics, '.', "
                     "'_' and '-'");
  }
  return absl::OkStatus();
}

Decision<CreateTopicReply> DecideCreateTopics(const MetadataImage& image, const TopicRules& rules,
                                              const std::vector<CreateTopicRequest>& requests,
                                              bool validate_only, const CreateTopicDraws& draws) {
  std::map<std::string, int> times_named;
  for (const CreateTopicRequest& request : requests) ++times_named[request.name];
  std::set<std::string> metric_names;  // Of topics decided before in this request.

  Decision<CreateTopicReply> decision;
  RequestRecords made;
  size_t left = kPartitionsPerRequestMax;
  for (const CreateTopicRequest& request : requests) {
    CreateTopicReply reply;
    reply.name = request.name;
    auto decide = [&]() -> absl::Status {
      if (times_named[request.name] > 1) {
        return MakeError(ErrorKind::kInvalidRequest, "Duplicate topic name.");
      }
      MR_RETURN_IF_ERROR(CheckNameIsFree(image, request.name));
      if (!metric_names.insert(MetricName(request.name)).second) {
        return MakeError(
            ErrorKind::kInvalidTopic,
            fmt::format("Topic '{}' collides with another topic of this request", request.name));
      }
      MR_ASSIGN_OR_RETURN(reply.configs, Configs(image, rules, request));
      MR_ASSIGN_OR_RETURN(std::vector<std::vector<BrokerId>> placed,
                          Place(image, rules, request, draws.start(), &left));
      reply.topic_id = draws.topic_id();
      reply.partitions = static_cast<int32_t>(placed.size());
      reply.replication_factor = static_cast<int32_t>(placed.front().size());
      return made.Add(RecordsOfTopic(image, reply, placed));
    };
    reply.status = decide();
    decision.replies.push_back(std::move(reply));
  }
  if (!validate_only) decision.records = made.Take();
  return decision;
}

Decision<DeleteTopicReply> DecideDeleteTopics(const MetadataImage& image, const TopicRules& rules,
                                              const std::vector<DeleteTopicRequest>& requests) {
  Decision<DeleteTopicReply> decision;
  std::map<TopicId, int> times_named;
  auto find = [&](const DeleteTopicRequest& request) {
    return request.topic_id.has_value() ? image.FindTopic(*request.topic_id)
                                        : image.FindTopic(*request.name);
  };
  for (const DeleteTopicRequest& request : requests) {
    if (MetadataImage::Topic topic = find(request); topic != nullptr)
      ++times_named[topic->topic_id];
  }
  for (const DeleteTopicRequest& request : requests) {
    DeleteTopicReply reply{request.name, request.topic_id, absl::OkStatus()};
    MetadataImage::Topic topic = find(request);
    if (topic == nullptr) {
      reply.status =
          request.topic_id.has_value()
              ? MakeError(ErrorKind::kUnknownTopicId, "This server does not host this topic ID.")
              : MakeError(ErrorKind::kUnknownTopicOrPartition,
                          "This server does not host this topic-partition.");
    } else if (!rules.delete_enabled) {
      reply.status = MakeError(ErrorKind::kTopicDeletionDisabled, "Topic deletion is disabled.");
    } else if (times_named[topic->topic_id] > 1) {
      reply.status = MakeError(ErrorKind::kInvalidRequest, "Duplicate topic in the request.");
    } else {
      reply.name = topic->name;
      reply.topic_id = topic->topic_id;
      decision.records.emplace_back(RemoveTopicRecord{topic->topic_id});
    }
    decision.replies.push_back(std::move(reply));
  }
  return decision;
}

namespace {

absl::StatusOr<std::vector<std::vector<BrokerId>>> PlaceMore(const MetadataImage& image,
                                                             const TopicImage& topic,
                                                             const CreatePartitionsRequest& request,
                                                             uint64_t start, size_t* left) {
  if (request.keeps_count) {
    return MakeError(ErrorKind::kInvalidPartitions,
                     "The number of partitions of an internal topic cannot be changed.");
  }
  const int32_t have = static_cast<int32_t>(topic.partitions.size());
  if (have == 0) {
    // Left so by a controller of an earlier version that died while it made the topic.
    return MakeError(ErrorKind::kInvalidPartitions,
                     fmt::format("The topic {} has no partition from which to tell how many "
                                 "replicas the new ones are to have: delete it.",
                                 topic.name));
  }
  if (request.count == have) {
    return MakeError(ErrorKind::kInvalidPartitions,
                     fmt::format("Topic already has {} partition(s).", have));
  }
  if (request.count < have) {
    return MakeError(
        ErrorKind::kInvalidPartitions,
        fmt::format("The topic {} currently has {} partition(s); {} would not be an increase.",
                    topic.name, have, request.count));
  }
  if (request.count > kPartitionsPerTopicMax) {
    return MakeError(ErrorKind::kInvalidPartitions,
                     fmt::format("{} partitions were asked for; a topic may have {}", request.count,
                                 kPartitionsPerTopicMax));
  }
  const int32_t more = request.count - have;
  MR_RETURN_IF_ERROR(TakeFromAllowance(static_cast<size_t>(more), left));
  const size_t factor = topic.partitions.front().replicas.size();
  if (!request.assignments.has_value()) {
    return PlaceReplicas(Candidates(image), more, static_cast<int32_t>(factor), start);
  }
  if (static_cast<int32_t>(request.assignments->size()) != more) {
    return MakeError(ErrorKind::kInvalidReplicaAssignment,
                     fmt::format("Attempted to add {} additional partition(s), but only {} "
                                 "assignment(s) were specified.",
                                 more, request.assignments->size()));
  }
  for (size_t i = 0; i < request.assignments->size(); ++i) {
    const std::vector<BrokerId>& replicas = (*request.assignments)[i];
    MR_RETURN_IF_ERROR(ValidateAssignment(image, have + static_cast<int32_t>(i), replicas));
    if (replicas.size() != factor) {
      return MakeError(
          ErrorKind::kInvalidReplicaAssignment,
          fmt::format("The manual partition assignment includes a partition with {} replica(s), "
                      "but this is "
                      "not consistent with previous partitions, which have {} replica(s).",
                      replicas.size(), factor));
    }
  }
  return *request.assignments;
}

}  // namespace

Decision<CreatePartitionsReply> DecideCreatePartitions(
    const MetadataImage& image, const std::vector<CreatePartitionsRequest>& requests,
    bool validate_only, const std::function<uint64_t()>& start) {
  Decision<CreatePartitionsReply> decision;
  constexpr int kAnswered = 0;
  std::map<std::string, int> times_named;
  for (const CreatePartitionsRequest& request : requests) ++times_named[request.topic];
  RequestRecords made;
  size_t left = kPartitionsPerRequestMax;
  for (const CreatePartitionsRequest& request : requests) {
    int& times = times_named[request.topic];
    if (times == kAnswered) continue;
    const bool duplicate = std::exchange(times, kAnswered) > 1;
    auto decide = [&]() -> absl::Status {
      if (duplicate) return MakeError(ErrorKind::kInvalidRequest, "Duplicate topic name.");
      MetadataImage::Topic topic = image.FindTopic(request.topic);
      // As Kafka, without a word: clients have one of their own.
      if (topic == nullptr) return MakeError(ErrorKind::kUnknownTopicOrPartition, "");
      MR_ASSIGN_OR_RETURN(std::vector<std::vector<BrokerId>> placed,
                          PlaceMore(image, *topic, request, start(), &left));
      MetadataRecords records;
      records.reserve(placed.size());
      for (size_t i = 0; i < placed.size(); ++i) {
        records.emplace_back(PartitionRecord{
            topic->topic_id, PartitionId(static_cast<int32_t>(topic->partitions.size() + i)),
            NewPartition(image, placed[i])});
      }
      return made.Add(std::move(records));
    };
    absl::Status status = decide();
    decision.replies.push_back({request.topic, std::move(status)});
  }
  if (!validate_only) decision.records = made.Take();
  return decision;
}

}  // namespace millrace
