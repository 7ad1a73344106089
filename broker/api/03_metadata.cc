// Metadata (key 3), versions 0 to 13. Brokers, topics, partitions and leaders, as of the latest
// image.
//
// Bounds:   a topic named several times is answered once, as by Kafka: the answer is never larger
//           than that to a request for all topics and the request together.
// Promises: a topic that is created by asking for it (auto.create.topics.enable) is answered as
// created, with its leaders:
//           the client need not ask again. Topics by name or, from v10, by id; null (v0: an empty
//           list) asks for all. While a leader that is asked for may just have died, the answer
//           waits for the election (doubtful_leaders.h).
// Errors:   per topic UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, INVALID_TOPIC_EXCEPTION, and
// what a refused creation says. Source:   KIP-4, KIP-430 (authorized operations), KIP-516 (ids),
// KIP-1102 (v13's top-level error, unused here).
#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/doubtful_leaders.h"
#include "broker/api/handlers.h"
#include "broker/api/metadata_view.h"
#include "broker/fencing_doubts.h"
#include "proto/kafka/metadata_request.h"
#include "proto/kafka/metadata_response.h"

namespace millrace {
namespace {

using kafka::MetadataRequest;
using kafka::MetadataResponse;

constexpr int16_t kErrorVersion = 13;

MetadataImage::Topic FindAsked(const MetadataImage& image,
                               const MetadataRequest::MetadataRequestTopic& asked) {
  if (!asked.topic_id.is_zero()) return image.FindTopic(asked.topic_id);
  return asked.name.has_value() ? image.FindTopic(*asked.name) : nullptr;
}

// The topics that are asked for, with what is there of them.
void ForEachAsked(const MetadataImage& image, const MetadataRequest& request, bool all,
                  const std::function<bool(const TopicImage&)>& visit) {
  if (all) {
    image.topics().ForEach(
        [&](const std::string&, const MetadataImage::Topic& topic) { return visit(*topic); });
    return;
  }
  for (const MetadataRequest::MetadataRequestTopic& asked : *request.topics) {
    const MetadataImage::Topic topic = FindAsked(image, asked);
    if (topic != nullptr && !visit(*topic)) return;
  }
}

// Whether one of the partitions that are asked for has one.
bool AsksForDoubtful(const Broker& broker, const MetadataRequest& request, bool all) {
  const std::shared_ptr<const MetadataImage> image = broker.image();
  bool found = false;
  ForEachAsked(*image, request, all, [&](const TopicImage& topic) {
    found = std::ranges::any_of(topic.partitions, [&](const PartitionImage& partition) {
      return IsDoubtful(broker, partition.leader);
    });
    return !found;
  });
  return found;
}

std::vector<BrokerId> LeadersAskedFor(const Broker& broker, const MetadataRequest& request,
                                      bool all) {
  if (all) return LivingOthers(broker);
  std::vector<BrokerId> leaders;
  const std::shared_ptr<const MetadataImage> image = broker.image();
  ForEachAsked(*image, request, all, [&](const TopicImage& topic) {
    for (const PartitionImage& partition : topic.partitions) {
      AddLeader(broker, partition, &leaders);
    }
    return true;
  });
  return leaders;
}

// Whether this broker itself may not lead any more (fencing_doubts.h).
bool IsInDoubt(const Broker& broker, const TopicPartitionId& id, const PartitionImage& partition) {
  return broker.fencing != nullptr && partition.leader == broker.options.node_id &&
         broker.fencing->IsDoubtful(id, partition.leader_epoch, broker.env.reactor.Now());
}

MetadataResponse::MetadataResponseTopic Describe(const Broker& broker, const MetadataImage& image,
                                                 const TopicImage& topic,
                                                 const std::string& listener,
                                                 bool with_operations) {
  MetadataResponse::MetadataResponseTopic described;
  described.name = topic.name;
  described.topic_id = topic.topic_id;
  described.is_internal = IsInternalTopic(topic.name);
  if (with_operations) described.topic_authorized_operations = kAllTopicOperations;
  described.partitions.reserve(topic.partitions.size());
  for (size_t p = 0; p < topic.partitions.size(); ++p) {
    const PartitionImage& partition = topic.partitions[p];
    PartitionView view = ViewPartition(image, partition, listener);
    const TopicPartitionId id{topic.topic_id, PartitionId(static_cast<int32_t>(p))};
    if (IsDoubtful(broker, partition.leader) || IsInDoubt(broker, id, partition)) {
      view.leader = -1;
      view.error = kafka::KafkaError::kLeaderNotAvailable;
    }
    described.partitions.push_back({ErrorCode(view.error), static_cast<int32_t>(p), view.leader,
                                    partition.leader_epoch.value(), std::move(view.replicas),
                                    std::move(view.isr), std::move(view.offline)});
  }
  return described;
}

// Creates those of `names` that are missing and may be created; what is refused is told by
// `refused`.
Task<void> AutoCreate(Broker* broker, std::vector<std::string> names,
                      std::shared_ptr<std::map<std::string, absl::Status>> refused) {
  std::vector<CreateTopicRequest> requests;
  for (std::string& name : names) {
    CreateTopicRequest request;
    request.name = std::move(name);
    requests.push_back(std::move(request));
  }
  absl::StatusOr<std::vector<CreateTopicReply>> replies =
      co_await broker->controller.CreateTopics(std::move(requests), /*validate_only=*/false);
  if (!replies.ok()) co_return;  // They stay unknown, which the client retries.
  for (const CreateTopicReply& reply : *replies) {
    // Somebody else was faster: it exists, which is what was asked for.
    if (!reply.status.ok() && KindOf(reply.status) != ErrorKind::kTopicAlreadyExists) {
      refused->emplace(reply.name, reply.status);
    }
  }
}

std::vector<std::string> Missing(const MetadataImage& image, const MetadataRequest& request) {
  std::set<std::string> missing;
  for (const auto& topic : *request.topics) {
    if (topic.topic_id.is_zero() && topic.name.has_value() && !IsInternalTopic(*topic.name) &&
        ValidateTopicName(*topic.name).ok() && image.FindTopic(*topic.name) == nullptr) {
      missing.insert(*topic.name);
    }
  }
  return {missing.begin(), missing.end()};
}

MetadataResponse::MetadataResponseTopic Answer(const Broker& broker, const MetadataImage& image,
                                               const MetadataRequest::MetadataRequestTopic& asked,
                                               const std::string& listener, bool with_operations,
                                               const std::map<std::string, absl::Status>& refused) {
  const bool by_id = !asked.topic_id.is_zero();
  const MetadataImage::Topic topic = FindAsked(image, asked);
  if (topic != nullptr) return Describe(broker, image, *topic, listener, with_operations);
  MetadataResponse::MetadataResponseTopic unknown;
  unknown.topic_id = asked.topic_id;
  if (by_id) {
    unknown.name = std::nullopt;
    unknown.error_code = ErrorCode(kafka::KafkaError::kUnknownTopicId);
    return unknown;
  }
  unknown.name = asked.name;
  const std::string name = asked.name.value_or("");
  absl::Status valid = ValidateTopicName(name);
  auto why = refused.find(name);
  unknown.error_code = !valid.ok() ? ErrorCode(valid)
                       : why != refused.end()
                           ? ErrorCode(why->second)
                           : ErrorCode(kafka::KafkaError::kUnknownTopicOrPartition);
  return unknown;
}

}  // namespace

Task<ApiReply> HandleMetadata(Broker* broker, ApiRequest request) {
  absl::StatusOr<MetadataRequest> body = DecodeBody<MetadataRequest>(request);
  if (!body.ok()) co_return Undecodable<MetadataResponse>(request, body.status(), kErrorVersion);
  const bool all = !body->topics.has_value() || (request.version == 0 && body->topics->empty());
  auto refused = std::make_shared<std::map<std::string, absl::Status>>();
  const bool may_create = request.version < 4 || body->allow_auto_topic_creation;
  if (!all && may_create && broker->options.auto_create_topics) {
    std::vector<std::string> missing = Missing(*broker->image(), *body);
    if (!missing.empty()) co_await AutoCreate(broker, std::move(missing), refused);
  }
  if (all || !body->topics->empty()) {
    const std::function<bool()> concerns = [&] { return AsksForDoubtful(*broker, *body, all); };
    co_await AwaitElections(broker, LeadersAskedFor(*broker, *body, all), &concerns, request.drain);
  }

  const std::shared_ptr<const MetadataImage> image = broker->image();
  const std::string& listener = request.connection->listener;
  MetadataResponse response;
  for (const BrokerView& view : BrokersOn(*image, listener, /*with_fenced=*/true)) {
    // Who was fenced this moment is told still: librdkafka, told in one answer that a broker is gone
    // and who leads its partitions now, may lose the second over the first, for a second.
    if (view.broker->fenced && !IsDoubtful(*broker, *view.broker)) continue;
    response.brokers.push_back(
        {view.broker->id.value(), view.endpoint->host, view.endpoint->port, view.broker->rack});
  }
  // Fenced brokers are not told, and a client that hears of us asks nobody else; but it must have
  // somebody to ask.
  const auto others = std::ranges::count_if(image->brokers(), [&](const auto& one) {
    return BrokerId(one.first) != broker->options.node_id && !one.second.fenced;
  });
  if (others > 0 && broker->fencing != nullptr &&
      broker->fencing->MayBeFenced(broker->env.reactor.Now())) {
    std::erase_if(response.brokers, [broker](const auto& one) {
      return one.node_id == broker->options.node_id.value();
    });
  }
  response.cluster_id = broker->options.cluster_id;
  response.controller_id = AnyBroker(*image, broker->options.node_id);
  if (body->include_cluster_authorized_operations && request.version >= 8 &&
      request.version <= 10) {
    response.cluster_authorized_operations = kAllClusterOperations;
  }
  if (all) {
    image->topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
      response.topics.push_back(
          Describe(*broker, *image, *topic, listener, body->include_topic_authorized_operations));
      return true;
    });
  } else {
    std::set<std::pair<TopicId, std::optional<std::string>>> answered;
    for (const auto& asked : *body->topics) {
      const auto name = asked.topic_id.is_zero() ? asked.name : std::nullopt;
      if (!answered.emplace(asked.topic_id, name).second) continue;
      response.topics.push_back(Answer(*broker, *image, asked, listener,
                                       body->include_topic_authorized_operations, *refused));
    }
  }
  co_return Reply(request, response);
}

}  // namespace millrace
