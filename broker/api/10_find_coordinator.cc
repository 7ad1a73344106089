// FindCoordinator (key 10), versions 0 to 6. Which broker keeps a group's state.
//
// Promises: the internal topic is made when it does not exist yet, also where topics are not made by
//           themselves otherwise. The address is that of the listener by which the request came.
//           While the coordinator may just have died, the answer waits for the election (doubtful_leaders.h).
// Errors:   per key: COORDINATOR_NOT_AVAILABLE while nobody surely leads the partition, or the topic
//           cannot be made (too few brokers); INVALID_REQUEST for another kind of key, and for one of a share
//           group, as in Kafka where those are off. Transactions are not served yet: see
//           NoTransactions().
// Source:   KIP-699 (several keys); rules 6.1-6.7.
#include <algorithm>
#include <functional>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/doubtful_leaders.h"
#include "broker/api/group_support.h"
#include "broker/api/handlers.h"
#include "broker/api/internal_topics.h"
#include "broker/api/metadata_view.h"
#include "proto/kafka/find_coordinator_request.h"
#include "proto/kafka/find_coordinator_response.h"

namespace millrace {
namespace {

using Response = kafka::FindCoordinatorResponse;

constexpr int8_t kGroup = 0;
constexpr int8_t kTransaction = 1;
constexpr int8_t kShare = 2;
constexpr int16_t kSeveralKeysVersion = 4;
constexpr int16_t kShareKeyVersion = 6;

Response::Coordinator Refuse(std::string key, kafka::KafkaError error, std::string message) {
  Response::Coordinator coordinator;
  coordinator.key = std::move(key);
  coordinator.node_id = -1;
  coordinator.port = -1;
  coordinator.error_code = ErrorCode(error);
  coordinator.error_message = std::move(message);
  return coordinator;
}

// Kafka always serves them, so no client expects this, and what it takes for passing it asks again
// for as long as its user waits, which may be for ever. The Java client ends with the text of any error
// that is not retriable. librdkafka, which asks for one key at a time, ends with one code alone, and
// tells the text, too.
Response::Coordinator NoTransactions(std::string key, bool several) {
  return Refuse(std::move(key),
                several ? kafka::KafkaError::kUnsupportedVersion
                        : kafka::KafkaError::kTransactionalIdAuthorizationFailed,
                "Transactions are not served by this cluster (transaction.version is 0).");
}

const PartitionImage* GroupsPartition(const Broker& broker, const MetadataImage& image,
                                      const std::string& key) {
  auto at = CoordinatorOf(broker, key);
  const MetadataImage::Topic topic = at.has_value() ? image.FindTopic(at->topic_id) : nullptr;
  return topic == nullptr ? nullptr : topic->Find(at->partition);
}

bool HasDoubtfulCoordinator(const Broker& broker, const std::vector<std::string>& keys) {
  return std::ranges::any_of(keys, [&](const std::string& key) {
    const PartitionImage* partition = GroupsPartition(broker, *broker.image(), key);
    return partition != nullptr && IsDoubtful(broker, partition->leader);
  });
}

std::vector<BrokerId> CoordinatorsOf(const Broker& broker, const std::vector<std::string>& keys) {
  std::vector<BrokerId> leaders;
  for (const std::string& key : keys) {
    const PartitionImage* partition = GroupsPartition(broker, *broker.image(), key);
    if (partition != nullptr) AddLeader(broker, *partition, &leaders);
  }
  return leaders;
}

Response::Coordinator Find(const Broker& broker, const std::string& listener, std::string key) {
  const MetadataImage& image = *broker.image();
  const PartitionImage* partition = GroupsPartition(broker, image, key);
  const BrokerImage* leader = partition == nullptr || !partition->leader.has_value() ||
                                      IsDoubtful(broker, partition->leader)
                                  ? nullptr
                                  : image.FindBroker(*partition->leader);
  const BrokerEndpoint* endpoint =
      leader == nullptr || leader->fenced ? nullptr : leader->FindEndpoint(listener);
  if (endpoint == nullptr) {
    return Refuse(std::move(key), kafka::KafkaError::kCoordinatorNotAvailable,
                  "The coordinator is not available.");
  }
  Response::Coordinator coordinator;
  coordinator.key = std::move(key);
  coordinator.node_id = leader->id.value();
  coordinator.host = endpoint->host;
  coordinator.port = endpoint->port;
  coordinator.error_message = "";
  return coordinator;
}

}  // namespace

Task<ApiReply> HandleFindCoordinator(Broker* broker, ApiRequest request) {
  absl::StatusOr<kafka::FindCoordinatorRequest> body =
      DecodeBody<kafka::FindCoordinatorRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  const bool several = request.version >= kSeveralKeysVersion;
  std::vector<std::string> keys =
      several ? std::move(body->coordinator_keys) : std::vector<std::string>{std::move(body->key)};
  const int8_t type = body->key_type;
  if (type == kGroup && !keys.empty() &&
      broker->image()->FindTopic(std::string(kGroupsTopic)) == nullptr) {
    co_await MakeInternalTopic(broker, std::string(kGroupsTopic));
  }
  if (type == kGroup && !keys.empty()) {
    const std::function<bool()> concerns = [&] { return HasDoubtfulCoordinator(*broker, keys); };
    co_await AwaitElections(broker, CoordinatorsOf(*broker, keys), &concerns, request.drain);
  }
  Response response;
  for (std::string& key : keys) {
    if (type == kGroup) {
      response.coordinators.push_back(Find(*broker, request.connection->listener, std::move(key)));
    } else if (type == kTransaction) {
      response.coordinators.push_back(NoTransactions(std::move(key), several));
    } else {
      const bool share = type == kShare && request.version >= kShareKeyVersion;
      response.coordinators.push_back(Refuse(std::move(key), kafka::KafkaError::kInvalidRequest,
                                             share ? "Share groups are not served by this cluster."
                                                   : "The key is of an unknown type."));
    }
  }
  if (!several && !response.coordinators.empty()) {
    const Response::Coordinator only = std::move(response.coordinators.front());
    response.coordinators.clear();
    response.error_code = only.error_code;
    // Kafka's text for success.
    response.error_message = only.error_code == 0 ? "NONE" : only.error_message;
    response.node_id = only.node_id;
    response.host = only.host;
    response.port = only.port;
  }
  co_return Reply(request, response);
}

}  // namespace millrace
