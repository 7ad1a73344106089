#include "common/config/broker_listeners.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/check.h"

namespace millrace {
namespace {

constexpr std::string_view kBothRoles = "broker,controller";

bool NamesQuorum(const SettingTable& settings) {
  return !settings.List("controller.quorum.voters").empty() ||
         !settings.List("controller.quorum.bootstrap.servers").empty();
}

void ReadIdentity(SettingTable& settings, BrokerConfig& config) {
  bool names_quorum = NamesQuorum(settings);
  if (names_quorum && !settings.IsSet("process.roles")) {
    settings.Refuse("process.roles",
                    "is missing, and a quorum is named: expected broker, "
                    "controller, or broker,controller");
  }
  std::vector<std::string> roles = settings.List("process.roles");
  config.is_broker = std::ranges::find(roles, "broker") != roles.end();
  config.is_controller = std::ranges::find(roles, "controller") != roles.end();
  if ((!config.is_broker || !config.is_controller) && !names_quorum) {
    settings.Refuse("process.roles",
                    fmt::format("a node of one role is part of a quorum: expected {}, or the "
                                "quorum in controller.quorum.voters or "
                                "controller.quorum.bootstrap.servers",
                                kBothRoles));
  }

  bool has_old_id = settings.IsSet("broker.id") && settings.Integer("broker.id") >= 0;
  if (settings.IsSet("node.id") || !has_old_id) {
    config.node_id = BrokerId(settings.Int32("node.id"));
  } else {
    config.node_id = BrokerId(settings.Int32("broker.id"));
  }
  if (settings.IsSet("node.id") && has_old_id && settings.AllGood({"node.id", "broker.id"}) &&
      settings.Int32("broker.id") != config.node_id.value()) {
    settings.Refuse("broker.id",
                    fmt::format("node.id says {}: expected the same number, or node.id "
                                "alone",
                                config.node_id));
  }
  if (names_quorum && !settings.IsSet("node.id") && !has_old_id) {
    settings.Refuse("node.id",
                    "is missing, and a quorum is named: expected a whole number of at "
                    "least 0");
  }
  config.rack = settings.OptionalText("broker.rack");
}

// One entry of controller.quorum.voters, ID@HOST:PORT.
std::expected<QuorumVoter, std::string> ParseVoter(std::string_view text) {
  size_t at = text.find('@');
  if (at == std::string_view::npos) {
    return std::unexpected(fmt::format("{} is not ID@HOST:PORT", text));
  }
  std::string_view id_text = text.substr(0, at);
  int32_t id = -1;
  auto [end, error] = std::from_chars(id_text.data(), id_text.data() + id_text.size(), id);
  if (error != std::errc() || end != id_text.data() + id_text.size() || id < 0) {
    return std::unexpected(
        fmt::format("{} is not ID@HOST:PORT: the id is not a whole number of at least 0", text));
  }
  std::expected<HostPort, std::string> address = ParseHostPort(text.substr(at + 1));
  if (!address.has_value()) return std::unexpected(std::move(address).error());
  if (address->host == "0.0.0.0" || address->host == "::") {
    return std::unexpected(
        fmt::format("{} cannot be dialled: expected an address of that node", text));
  }
  return QuorumVoter{BrokerId(id), *std::move(address)};
}

void CheckVoters(SettingTable& settings, const BrokerConfig& config) {
  constexpr std::string_view kKey = "controller.quorum.voters";
  auto is_self = [&config](const QuorumVoter& voter) { return voter.id == config.node_id; };
  bool has_self = std::ranges::any_of(config.voters, is_self);
  if (config.is_controller && !has_self) {
    settings.Refuse(kKey, fmt::format("this node is a controller, but node {} is not among the "
                                      "voters",
                                      config.node_id));
  } else if (!config.is_controller && has_self) {
    settings.Refuse(kKey, fmt::format("this node is no controller, but node {} is among the voters",
                                      config.node_id));
  }
}

void ReadQuorum(SettingTable& settings, BrokerConfig& config) {
  for (const std::string& entry : settings.List("controller.quorum.voters")) {
    std::expected<QuorumVoter, std::string> voter = ParseVoter(entry);
    if (!voter.has_value()) {
      settings.Refuse("controller.quorum.voters", voter.error());
      break;
    }
    auto same_id = [&voter](const QuorumVoter& other) { return other.id == voter->id; };
    if (std::ranges::any_of(config.voters, same_id)) {
      settings.Refuse("controller.quorum.voters", fmt::format("the id {} occurs twice", voter->id));
      break;
    }
    config.voters.push_back(*std::move(voter));
  }
  for (const std::string& entry : settings.List("controller.quorum.bootstrap.servers")) {
    std::expected<HostPort, std::string> address = ParseHostPort(entry);
    if (!address.has_value()) {
      settings.Refuse("controller.quorum.bootstrap.servers", address.error());
      break;
    }
    config.quorum_bootstrap.push_back(*std::move(address));
  }
  bool good =
      settings.AllGood({"controller.quorum.voters", "process.roles", "node.id", "broker.id"});
  if (good && !config.voters.empty()) CheckVoters(settings, config);
}

// Reads a list of endpoints; complains and gives an empty list if it is malformed.
std::vector<Endpoint> ReadEndpoints(SettingTable& settings, std::string_view key) {
  std::expected<std::vector<Endpoint>, std::string> endpoints = ParseEndpoints(settings.List(key));
  if (endpoints.has_value()) return *std::move(endpoints);
  settings.Refuse(key, endpoints.error());
  return {};
}

// Where to listen if nothing is said: on this machine only.
std::vector<Endpoint> DefaultEndpoints(const BrokerConfig& config) {
  std::vector<Endpoint> endpoints;
  if (config.is_broker) endpoints.push_back({"PLAINTEXT", "127.0.0.1", 9092});
  if (config.is_controller) {
    endpoints.push_back({config.listeners.controller_names.front(), "127.0.0.1", 9093});
  }
  return endpoints;
}

std::map<std::string, SecurityProtocol> ReadProtocolMap(SettingTable& settings,
                                                        const ListenerConfig& listeners) {
  constexpr std::string_view kKey = "listener.security.protocol.map";
  // Kafka calls the key's type a string, not a list.
  std::expected<ConfigValue, std::string> entries =
      ParseConfigValue(kKey, ConfigType::kList, Any(), settings.Text(kKey));
  if (!entries.has_value()) {
    settings.Refuse(kKey, "expected NAME:PROTOCOL, ... without empty elements");
    return {};
  }
  std::expected<std::map<std::string, SecurityProtocol>, std::string> map =
      ParseProtocolMap(std::get<std::vector<std::string>>(*entries));
  if (!map.has_value()) {
    settings.Refuse(kKey, map.error());
    return {};
  }
  // As in Kafka: where the map is left alone, controller listeners of other names are PLAINTEXT.
  if (!settings.IsSet(kKey)) {
    for (const std::string& name : listeners.controller_names) {
      map->try_emplace(name, SecurityProtocol::kPlaintext);
    }
  }
  return *std::move(map);
}

bool IsControllerName(const ListenerConfig& listeners, const std::string& name) {
  return std::ranges::find(listeners.controller_names, name) != listeners.controller_names.end();
}

void AddListener(SettingTable& settings, Endpoint endpoint,
                 const std::map<std::string, SecurityProtocol>& protocols,
                 ListenerConfig& listeners) {
  auto protocol = protocols.find(endpoint.name);
  if (protocol == protocols.end()) {
    if (settings.AllGood({"listener.security.protocol.map"})) {
      settings.Refuse("listeners",
                      fmt::format("{0} has no security protocol: expected {0}:PROTOCOL in "
                                  "listener.security.protocol.map",
                                  endpoint.name));
    }
    return;
  }
  if (protocol->second != SecurityProtocol::kPlaintext) {
    settings.Refuse(
        "listeners",
        fmt::format("{} is a {} listener, and TLS and SASL are not served yet: expected "
                    "PLAINTEXT (listener.security.protocol.map)",
                    endpoint.name, SecurityProtocolName(protocol->second)));
    return;
  }
  bool is_controller = IsControllerName(listeners, endpoint.name);
  std::vector<NamedListener>& side = is_controller ? listeners.controller : listeners.client;
  side.push_back({std::move(endpoint), protocol->second});
}

void CheckControllerListeners(SettingTable& settings, const BrokerConfig& config) {
  const ListenerConfig& listeners = config.listeners;
  bool demanded = settings.IsSet("controller.listener.names") || NamesQuorum(settings);
  if (config.is_controller && listeners.controller.empty() && demanded) {
    settings.Refuse(
        "controller.listener.names",
        fmt::format("this node is a controller: expected at least one of {} in listeners",
                    fmt::join(listeners.controller_names, ", ")));
  }
  if (!config.is_controller && !listeners.controller.empty()) {
    settings.Refuse("listeners", fmt::format("{} is a controller listener, and this node is no "
                                             "controller",
                                             listeners.controller.front().endpoint.name));
  }
  if (config.is_broker && listeners.client.empty()) {
    settings.Refuse("listeners", "all of them are controller listeners: expected one for clients");
  }
}

void ReadInterBrokerName(SettingTable& settings, ListenerConfig& listeners) {
  constexpr std::string_view kNameKey = "inter.broker.listener.name";
  constexpr std::string_view kProtocolKey = "security.inter.broker.protocol";
  bool has_name = settings.OptionalText(kNameKey).has_value();
  if (has_name && settings.IsSet(kProtocolKey)) {
    settings.Refuse(kProtocolKey,
                    fmt::format("{} is set as well: expected only one of the two", kNameKey));
    return;
  }
  auto is_advertised = [&listeners](const std::string& name) {
    return std::ranges::find(listeners.advertised, name, &Endpoint::name) !=
           listeners.advertised.end();
  };
  std::string_view key = has_name ? kNameKey : kProtocolKey;
  listeners.inter_broker_name =
      ListenerName(has_name ? *settings.OptionalText(kNameKey) : settings.Text(kProtocolKey));
  if (is_advertised(listeners.inter_broker_name) || listeners.advertised.empty()) return;
  if (!settings.IsSet(key)) {
    // Kafka would insist on a listener called PLAINTEXT; the first one will do.
    listeners.inter_broker_name = listeners.advertised.front().name;
    return;
  }
  std::vector<std::string_view> names;
  for (const Endpoint& endpoint : listeners.advertised) names.push_back(endpoint.name);
  settings.Refuse(key, fmt::format("no such listener is advertised: expected one of {}",
                                   fmt::join(names, ", ")));
}

void CheckAdvertisedHost(SettingTable& settings, std::string_view key, Endpoint& endpoint) {
  if (endpoint.host == "0.0.0.0") {
    settings.Refuse(key,
                    fmt::format("{} would be advertised as 0.0.0.0, which no client can reach: "
                                "expected an address of this machine in advertised.listeners",
                                endpoint.name));
  } else if (endpoint.host == "::") {
    endpoint.host.clear();  // Kafka advertises it; the machine's name is what can be reached.
  }
}

void ReadAdvertised(SettingTable& settings, ListenerConfig& listeners) {
  constexpr std::string_view kKey = "advertised.listeners";
  if (!settings.IsSet(kKey)) {
    for (const NamedListener& listener : listeners.client) {
      listeners.advertised.push_back(listener.endpoint);
      CheckAdvertisedHost(settings, "listeners", listeners.advertised.back());
    }
    return;
  }
  for (Endpoint& endpoint : ReadEndpoints(settings, kKey)) {
    bool is_controller = IsControllerName(listeners, endpoint.name);
    auto same_name = [&endpoint](const NamedListener& l) {
      return l.endpoint.name == endpoint.name;
    };
    bool is_listened =
        std::ranges::any_of(is_controller ? listeners.controller : listeners.client, same_name);
    if (!is_listened && settings.AllGood({"listeners", "listener.security.protocol.map"})) {
      settings.Refuse(kKey, fmt::format("{} is not in listeners: expected names from there only",
                                        endpoint.name));
    }
    CheckAdvertisedHost(settings, kKey, endpoint);
    (is_controller ? listeners.advertised_controller : listeners.advertised)
        .push_back(std::move(endpoint));
  }
  if (listeners.advertised.empty() && !listeners.client.empty() &&
      settings.AllGood({kKey, "listeners"})) {
    settings.Refuse(kKey, "no listener for clients is among them: expected at least one");
  }
}

void ReadListeners(SettingTable& settings, BrokerConfig& config) {
  ListenerConfig& listeners = config.listeners;
  for (const std::string& name : settings.List("controller.listener.names")) {
    listeners.controller_names.push_back(ListenerName(name));
  }
  MR_CHECK(!listeners.controller_names.empty());  // The key has a default and may not be empty.
  if (NamesQuorum(settings) && !settings.IsSet("controller.listener.names")) {
    settings.Refuse("controller.listener.names",
                    "is missing, and a quorum is named: expected the name of the controllers' "
                    "listener");
  }

  bool is_said = settings.IsSet("listeners") && settings.AllGood({"listeners"});
  std::vector<Endpoint> endpoints =
      is_said ? ReadEndpoints(settings, "listeners") : DefaultEndpoints(config);
  if (std::optional<std::string> clash = CheckPortsDiffer(endpoints)) {
    settings.Refuse("listeners", *clash);
  }
  std::map<std::string, SecurityProtocol> protocols = ReadProtocolMap(settings, listeners);
  for (Endpoint& endpoint : endpoints) {
    AddListener(settings, std::move(endpoint), protocols, listeners);
  }
  if (settings.AllGood({"listeners", "controller.listener.names", "process.roles",
                        "listener.security.protocol.map"})) {
    CheckControllerListeners(settings, config);
  }
  ReadAdvertised(settings, listeners);
  if (settings.AllGood({"listeners", "advertised.listeners", "inter.broker.listener.name",
                        "security.inter.broker.protocol", "listener.security.protocol.map"})) {
    ReadInterBrokerName(settings, listeners);
  }
}

}  // namespace

void ReadIdentityAndListeners(SettingTable& settings, BrokerConfig& config) {
  ReadIdentity(settings, config);
  ReadQuorum(settings, config);
  ReadListeners(settings, config);
}

}  // namespace millrace
