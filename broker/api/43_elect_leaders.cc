// ElectLeaders (key 43), versions 0 to 2. Preferred leaders get their partitions back; or, where nobody
// leads, whoever is alive becomes leader (unclean: what it lacks is lost).
//
// Promises: when the answer arrives the elections are decided and this node has applied them.
//           Without a list of partitions: all that need it, and only those are answered. What is
//           named twice is answered once.
// Bound:    50,000 topics and partitions in one request.
// Errors:   per partition UNKNOWN_TOPIC_OR_PARTITION, ELECTION_NOT_NEEDED,
//           PREFERRED_LEADER_NOT_AVAILABLE, ELIGIBLE_LEADERS_NOT_AVAILABLE. INVALID_REQUEST for a
//           kind of election nobody knows.
// Source:   KIP-460.
#include <fmt/format.h>

#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "broker/fetch/shared_name.h"
#include "proto/kafka/elect_leaders_request.h"
#include "proto/kafka/elect_leaders_response.h"

namespace millrace {
namespace {

using Response = kafka::ElectLeadersResponse;

// Topics and partitions of one request.
constexpr size_t kElementsMax = 50'000;

std::optional<ElectionKind> KindFromWire(int8_t type) {
  if (type == 0) return ElectionKind::kPreferred;
  if (type == 1) return ElectionKind::kUnclean;
  return std::nullopt;
}

// Topics in the order in which `replies` name them first in a row.
void AddReply(const ElectLeadersReply& reply, Response* response) {
  auto& topics = response->replica_election_results;
  if (topics.empty() || topics.back().topic != reply.topic) {
    topics.emplace_back();
    topics.back().topic = reply.topic;
  }
  topics.back().partition_result.push_back(
      {reply.partition.value(), ErrorCode(reply.status), ErrorMessage(reply.status)});
}

// Topics that cannot be, by their names, are answered here: those may be long, and are not to be
// copied for each partition.
void AnswerImpossible(const kafka::ElectLeadersRequest& request, Response* response) {
  if (!request.topic_partitions.has_value()) return;
  const absl::Status unknown = MakeError(ErrorKind::kUnknownTopicOrPartition, "No such topic.");
  for (const auto& topic : *request.topic_partitions) {
    if (topic.topic.size() <= kTopicNameBytesMax) continue;
    auto& result = response->replica_election_results.emplace_back();
    result.topic = topic.topic;
    for (int32_t partition : std::set<int32_t>(topic.partitions.begin(), topic.partitions.end())) {
      result.partition_result.push_back({partition, ErrorCode(unknown), ErrorMessage(unknown)});
    }
  }
}

std::vector<ElectLeadersRequest::Item> ItemsOf(const kafka::ElectLeadersRequest& request) {
  std::vector<ElectLeadersRequest::Item> items;
  std::set<std::pair<std::string_view, int32_t>> seen;
  for (const auto& topic : *request.topic_partitions) {
    if (topic.topic.size() > kTopicNameBytesMax) continue;
    for (int32_t partition : topic.partitions) {
      if (!seen.insert({topic.topic, partition}).second) continue;
      items.push_back({topic.topic, PartitionId(partition)});
    }
  }
  return items;
}

}  // namespace

Task<ApiReply> HandleElectLeaders(AdminContext* admin, ApiRequest request) {
  constexpr int16_t kErrorSince = 1;
  absl::StatusOr<kafka::ElectLeadersRequest> body =
      DecodeBody<kafka::ElectLeadersRequest>(request, kElementsMax);
  if (!body.ok()) co_return Undecodable<Response>(request, body.status(), kErrorSince);
  const std::optional<ElectionKind> kind =
      request.version == 0 ? ElectionKind::kPreferred : KindFromWire(body->election_type);
  ElectLeadersRequest asked;
  asked.kind = kind.value_or(ElectionKind::kPreferred);
  if (body->topic_partitions.has_value()) asked.partitions = ItemsOf(*body);
  absl::StatusOr<std::vector<ElectLeadersReply>> replies;
  if (kind.has_value()) {
    replies = co_await admin->active().ElectLeaders(asked);
  } else {
    replies = MakeError(ErrorKind::kInvalidRequest,
                        fmt::format("Unknown election type {}", body->election_type));
  }
  Response response;
  response.error_code = ErrorCode(replies.status());
  if (replies.ok()) {
    for (const ElectLeadersReply& reply : *replies) AddReply(reply, &response);
  } else if (asked.partitions.has_value()) {
    for (const auto& item : *asked.partitions) {
      AddReply({item.topic, item.partition, replies.status()}, &response);
    }
  }
  if (kind.has_value()) AnswerImpossible(*body, &response);
  co_return Reply(request, response);
}

}  // namespace millrace
