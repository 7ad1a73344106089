#include "cli/client/consumer_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "proto/kafka/consumer_protocol_assignment.h"
#include "proto/kafka/consumer_protocol_subscription.h"
#include "proto/kafka/reader.h"
#include "proto/kafka/writer.h"

namespace millrace {
namespace {

template <typename Message>
absl::StatusOr<Slice> Encode(const Message& message) {
  kafka::Writer out;
  out.WriteInt16(Message::kMaxVersion);
  message.Encode(out, Message::kMaxVersion);
  MR_ASSIGN_OR_RETURN(const Chain bytes, std::move(out).Finish());
  return bytes.Flatten();
}

template <typename Message>
absl::StatusOr<Message> Decode(Slice bytes, const char* what) {
  kafka::Reader in(std::move(bytes));
  const int16_t version = in.ReadInt16();
  Message message;
  if (in.ok() && version >= 0) message.Decode(in, std::min(version, Message::kMaxVersion));
  // What follows in a version we do not know is none of our business.
  if (in.ok() && version >= 0 && (in.left() == 0 || version > Message::kMaxVersion)) return message;
  return absl::DataLossError(fmt::format("these bytes are no {} of a consumer", what));
}

// Runs of partitions of one topic.
template <typename Wire>
std::vector<Wire> ByTopic(const std::vector<TopicPartition>& partitions) {
  std::vector<Wire> topics;
  for (const TopicPartition& one : partitions) {
    if (topics.empty() || topics.back().topic != one.topic) topics.push_back({one.topic, {}});
    topics.back().partitions.push_back(one.partition.value());
  }
  return topics;
}

template <typename Wire>
std::vector<TopicPartition> Flat(const std::vector<Wire>& topics) {
  std::vector<TopicPartition> partitions;
  for (const Wire& topic : topics) {
    for (int32_t partition : topic.partitions) {
      partitions.push_back({topic.topic, PartitionId(partition)});
    }
  }
  return partitions;
}

}  // namespace

absl::StatusOr<Slice> EncodeSubscription(const ConsumerSubscription& subscription) {
  kafka::ConsumerProtocolSubscription message;
  message.topics = subscription.topics;
  message.owned_partitions =
      ByTopic<kafka::ConsumerProtocolSubscription::TopicPartition>(subscription.owned);
  return Encode(message);
}

absl::StatusOr<ConsumerSubscription> DecodeSubscription(Slice bytes) {
  MR_ASSIGN_OR_RETURN(
      kafka::ConsumerProtocolSubscription message,
      Decode<kafka::ConsumerProtocolSubscription>(std::move(bytes), "subscription"));
  return ConsumerSubscription{std::move(message.topics), Flat(message.owned_partitions)};
}

absl::StatusOr<Slice> EncodeAssignment(const ConsumerAssignment& assignment) {
  kafka::ConsumerProtocolAssignment message;
  message.assigned_partitions =
      ByTopic<kafka::ConsumerProtocolAssignment::TopicPartition>(assignment);
  return Encode(message);
}

absl::StatusOr<ConsumerAssignment> DecodeAssignment(Slice bytes) {
  if (bytes.empty()) return ConsumerAssignment();
  MR_ASSIGN_OR_RETURN(kafka::ConsumerProtocolAssignment message,
                      Decode<kafka::ConsumerProtocolAssignment>(std::move(bytes), "assignment"));
  return Flat(message.assigned_partitions);
}

}  // namespace millrace
