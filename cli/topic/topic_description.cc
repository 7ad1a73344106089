#include "cli/topic/topic_description.h"

#include <fmt/format.h>

namespace millrace {
namespace {

std::string Joined(const std::vector<BrokerId>& brokers) {
  std::string text;
  for (BrokerId broker : brokers) text += fmt::format("{}{}", text.empty() ? "" : ",", broker);
  return text;
}

void BrokersJson(std::string_view name, const std::vector<BrokerId>& brokers, JsonWriter& json) {
  json.Key(name).BeginArray();
  for (BrokerId broker : brokers) json.Number(broker.value());
  json.EndArray();
}

}  // namespace

std::string DescriptionText(const TopicDescription& topic) {
  std::string configs;
  for (const TopicDescription::Config& config : topic.configs) {
    configs += fmt::format("{}{}={}", configs.empty() ? "" : ",", config.name, config.value);
  }
  std::string text = fmt::format("Topic: {}", topic.name);
  if (topic.id.has_value()) text += fmt::format("\tTopicId: {}", topic.id->ToString());
  text += fmt::format("\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}\n",
                      topic.partitions.size(), topic.replication_factor(), configs);
  for (const PartitionDescription& partition : topic.partitions) {
    text += fmt::format(
        "\tTopic: {}\tPartition: {}\tLeader: {}\tReplicas: {}\tIsr: {}", topic.name, partition.id,
        partition.leader.has_value() ? fmt::format("{}", *partition.leader) : "none",
        Joined(partition.replicas), Joined(partition.in_sync));
    text += fmt::format(
        "\tElr: {}\tLastKnownElr: {}\n",
        partition.eligible.has_value() ? Joined(*partition.eligible) : "N/A",
        partition.last_known_eligible.has_value() ? Joined(*partition.last_known_eligible) : "N/A");
  }
  return text;
}

void DescriptionJson(const TopicDescription& topic, JsonWriter& json) {
  json.BeginObject().Key("topic").String(topic.name).Key("id");
  if (topic.id.has_value()) {
    json.String(topic.id->ToString());
  } else {
    json.Null();
  }
  json.Key("internal").Bool(topic.internal);
  json.Key("replication_factor").Number(static_cast<int64_t>(topic.replication_factor()));
  json.Key("configs").BeginObject();
  for (const TopicDescription::Config& config : topic.configs) {
    json.Key(config.name).String(config.value);
  }
  json.EndObject().Key("partitions").BeginArray();
  for (const PartitionDescription& partition : topic.partitions) {
    json.BeginObject().Key("partition").Number(partition.id.value());
    json.Key("leader").OptionalNumber(partition.leader.has_value()
                                          ? std::optional<int64_t>(partition.leader->value())
                                          : std::nullopt);
    BrokersJson("replicas", partition.replicas, json);
    BrokersJson("isr", partition.in_sync, json);
    if (partition.eligible.has_value()) BrokersJson("elr", *partition.eligible, json);
    if (partition.last_known_eligible.has_value()) {
      BrokersJson("last_known_elr", *partition.last_known_eligible, json);
    }
    json.EndObject();
  }
  json.EndArray().EndObject();
}

}  // namespace millrace
