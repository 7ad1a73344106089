#include "broker/admin/node_status.h"

#include <fmt/format.h>

#include <cstdlib>

#include "common/json/json_writer.h"

namespace millrace {

std::string_view NodeStageName(NodeStage stage) {
  switch (stage) {
    case NodeStage::kStarting:
      return "starting";
    case NodeStage::kRecovering:
      return "recovering";
    case NodeStage::kRegistering:
      return "registering";
    case NodeStage::kServing:
      return "serving";
    case NodeStage::kStopping:
      return "stopping";
  }
  std::abort();
}

std::string NodeStatusLine(const NodeStatus& status) {
  if (status.ready()) return "ready";
  if (status.stage != NodeStage::kServing) return std::string(NodeStageName(status.stage));
  return fmt::format("serving, but {}", *status.not_ready);
}

std::string NodeStatusJson(const NodeStatus& status) {
  auto count = [](size_t number) { return static_cast<int64_t>(number); };
  JsonWriter json;
  json.BeginObject();
  json.Key("ready").Bool(status.ready());
  json.Key("status").String(NodeStatusLine(status));
  json.Key("version").String(status.version);
  json.Key("node_id").Number(status.node_id.value());
  json.Key("cluster_id").String(status.cluster_id);
  json.Key("roles").BeginArray();
  for (const std::string& role : status.roles) json.String(role);
  json.EndArray();
  json.Key("rack");
  status.rack.has_value() ? json.String(*status.rack) : json.Null();
  json.Key("reactor").String(status.reactor);
  json.Key("shards").Number(count(status.shards));
  json.Key("uptime_ms").Number(std::chrono::duration_cast<milliseconds>(status.uptime).count());
  json.Key("listeners").BeginArray();
  for (const NodeStatus::Listener& listener : status.listeners) {
    json.BeginObject().Key("name").String(listener.name);
    json.Key("address").String(listener.address).EndObject();
  }
  json.EndArray();
  json.Key("log_directories").BeginArray();
  for (const NodeStatus::Directory& directory : status.directories) {
    json.BeginObject().Key("path").String(directory.path);
    json.Key("online").Bool(!directory.failure.has_value());
    json.Key("full").Bool(directory.full);
    json.Key("slow").Bool(directory.slow);
    if (directory.failure.has_value()) json.Key("failure").String(*directory.failure);
    json.EndObject();
  }
  json.EndArray();
  json.Key("metadata_index")
      .OptionalNumber(status.metadata_index.has_value()
                          ? std::optional<int64_t>(status.metadata_index->value())
                          : std::nullopt);
  json.Key("controller_id")
      .OptionalNumber(status.controller.has_value()
                          ? std::optional<int64_t>(status.controller->value())
                          : std::nullopt);
  json.Key("brokers").BeginArray();
  for (const NodeStatus::Peer& peer : status.brokers) {
    json.BeginObject().Key("id").Number(peer.id.value());
    json.Key("address").String(peer.address).Key("fenced").Bool(peer.fenced).EndObject();
  }
  json.EndArray();
  json.Key("topics").Number(count(status.topics));
  json.Key("partitions").BeginObject();
  json.Key("total").Number(count(status.partitions));
  json.Key("led").Number(count(status.led));
  json.Key("replicas").Number(count(status.replicas));
  json.Key("leaderless").Number(count(status.leaderless));
  json.Key("under_replicated").Number(count(status.under_replicated));
  json.Key("reassigning").Number(count(status.reassigning));
  json.EndObject().EndObject();
  return json.Take() + "\n";
}

}  // namespace millrace
