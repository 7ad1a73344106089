#include "cli/kafka/container_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "common/config/config_value.h"
#include "common/config/listener.h"
#include "common/config/properties_file.h"

namespace millrace {
namespace {

constexpr std::string_view kPrefix = "KAFKA_";
constexpr std::string_view kBitnamiPrefix = "KAFKA_CFG_";
constexpr uint16_t kControllerPort = 9093;

constexpr std::string_view kNoJvm =
    "there is no JVM here. Memory: millrace.memory.bytes; metrics: port 9644, /metrics";
constexpr std::string_view kNoLog4j = "there is no log4j here; use KAFKA_MILLRACE_LOG_LEVEL";
constexpr std::string_view kNotServedYet = "TLS and SASL are not served yet";
constexpr std::string_view kNotNeeded = "nothing here needs it";

// Variables that are no properties, with what to say of them; silence where there is nothing to
// say. A name that ends in '*' is a prefix.
struct Special {
  std::string_view name;
  std::string_view remark;
};
constexpr std::array kSpecial = {
    // The image's own, or of the tools in it.
    Special{"KAFKA_VERSION", ""},
    Special{"KAFKA_HOME", ""},
    Special{"KAFKA_OPTS", kNoJvm},
    Special{"KAFKA_HEAP_OPTS", kNoJvm},
    Special{"KAFKA_HEAP_OPT", kNoJvm},
    Special{"KAFKA_JVM_PERFORMANCE_OPTS", kNoJvm},
    Special{"KAFKA_GC_LOG_OPTS", kNoJvm},
    Special{"KAFKA_JMX_*", kNoJvm},
    Special{"KAFKA_JVM_*", kNoJvm},
    Special{"KAFKA_LOG4J_*", kNoLog4j},
    Special{"KAFKA_LOG4J2_*", kNoLog4j},
    Special{"KAFKA_TOOLS_LOG4J_*", kNoLog4j},
    // Confluent's.
    Special{"KAFKA_CONFLUENT_*", "it belongs to Confluent's server"},
    Special{"KAFKA_METRIC_REPORTERS", kNoJvm},
    Special{"KAFKA_REST_*", "it belongs to Confluent's REST proxy"},
    // Bitnami's.
    Special{"KAFKA_KRAFT_CLUSTER_ID", ""},
    Special{"KAFKA_CLUSTER_ID", ""},
    Special{"KAFKA_ENABLE_KRAFT", ""},
    Special{"KAFKA_KRAFT_BOOTSTRAP_SCRAM_USERS", kNotServedYet},
    Special{"KAFKA_SKIP_KRAFT_STORAGE_INIT", kNotNeeded},
    Special{"KAFKA_INITIAL_CONTROLLERS", kNotNeeded},
    Special{"KAFKA_CLIENT_LISTENER_NAME", kNotNeeded},
    Special{"KAFKA_BASE_DIR", kNotNeeded},
    Special{"KAFKA_VOLUME_DIR", kNotNeeded},
    Special{"KAFKA_MOUNTED_CONF_DIR", kNotNeeded},
    Special{"KAFKA_DAEMON_*", kNotNeeded},
    Special{"KAFKA_CLIENT_USERS", kNotServedYet},
    Special{"KAFKA_CLIENT_PASSWORDS", kNotServedYet},
    Special{"KAFKA_INTER_BROKER_USER", kNotServedYet},
    Special{"KAFKA_INTER_BROKER_PASSWORD", kNotServedYet},
    Special{"KAFKA_CONTROLLER_USER", kNotServedYet},
    Special{"KAFKA_CONTROLLER_PASSWORD", kNotServedYet},
    Special{"KAFKA_CERTIFICATE_PASSWORD", kNotServedYet},
    Special{"KAFKA_TLS_*", kNotServedYet},
    Special{"KAFKA_ZOOKEEPER_PROTOCOL", "there is no ZooKeeper here"},
    Special{"KAFKA_ZOOKEEPER_USER", "there is no ZooKeeper here"},
    Special{"KAFKA_ZOOKEEPER_PASSWORD", "there is no ZooKeeper here"},
    Special{"KAFKA_ZOOKEEPER_TLS_*", "there is no ZooKeeper here"},
};

const Special* FindSpecial(std::string_view name) {
  for (const Special& special : kSpecial) {
    const bool is_prefix = special.name.ends_with('*');
    const std::string_view stem = special.name.substr(0, special.name.size() - (is_prefix ? 1 : 0));
    if (is_prefix ? name.starts_with(stem) : name == stem) return &special;
  }
  return nullptr;
}

// Variables that name a file in the secrets folder, and what becomes of it.
struct SecretVariable {
  std::string_view name;
  std::string_view property;
  bool is_content;  // The property is what the file holds, else where it lies.
};
constexpr std::array kSecretVariables = {
    SecretVariable{"KAFKA_SSL_KEYSTORE_FILENAME", "ssl.keystore.location", false},
    SecretVariable{"KAFKA_SSL_TRUSTSTORE_FILENAME", "ssl.truststore.location", false},
    SecretVariable{"KAFKA_SSL_KEY_CREDENTIALS", "ssl.key.password", true},
    SecretVariable{"KAFKA_SSL_KEYSTORE_CREDENTIALS", "ssl.keystore.password", true},
    SecretVariable{"KAFKA_SSL_TRUSTSTORE_CREDENTIALS", "ssl.truststore.password", true},
};

// Everything that is set, and what of it came from variables.
class Settings {
 public:
  explicit Settings(const ContainerInput& input) : input_(input) {
    if (!input.mounted_properties.has_value()) return;
    // What is wrong with the file is said by who reads it for good.
    for (const Property& property : ParseProperties(*input.mounted_properties).properties) {
      all_[property.key] = property.value;
    }
  }

  void ReadVariables() {
    for (const auto& [name, value] : input_.environment) {
      if (!name.starts_with(kPrefix)) continue;
      if (name.starts_with(kBitnamiPrefix)) {
        bitnami_ = true;
        Add(PropertyOfVariable(name.substr(kBitnamiPrefix.size())), value);
      } else if (ReadSecret(name, value)) {
        continue;
      } else if (const Special* special = FindSpecial(name)) {
        if (!special->remark.empty()) {
          config_.warnings.push_back(fmt::format("{} has no effect: {}", name, special->remark));
        }
      } else {
        Add(PropertyOfVariable(name.substr(kPrefix.size())), value);
      }
    }
    bitnami_ = bitnami_ || input_.environment.contains("ALLOW_PLAINTEXT_LISTENER") ||
               input_.environment.contains("KAFKA_KRAFT_CLUSTER_ID");
  }

  // One node, reached on the host's port 9092.
  void AddPackagedDefaults() {
    if (!added_.empty() || input_.mounted_properties.has_value()) return;
    Add("process.roles", "broker,controller");
    Add("node.id", "1");
    Add("controller.listener.names", "CONTROLLER");
    Add("controller.quorum.voters", fmt::format("1@localhost:{}", kControllerPort));
    Add("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT");
    Add("listeners",
        fmt::format("PLAINTEXT://0.0.0.0:9092,CONTROLLER://0.0.0.0:{}", kControllerPort));
    Add("advertised.listeners", "PLAINTEXT://localhost:9092");
  }

  void DeriveListeners() {
    if (Has("listeners")) return;
    std::vector<std::string> listeners;
    for (const Endpoint& endpoint : EndpointsOf("advertised.listeners")) {
      if (!IsController(endpoint.name)) {
        listeners.push_back(fmt::format("{}://0.0.0.0:{}", endpoint.name, endpoint.port));
      }
    }
    // A controller alone advertises nothing; a broker without addresses is Bitnami's default.
    if (listeners.empty() && HasRole("broker")) listeners.emplace_back("PLAINTEXT://0.0.0.0:9092");
    // A node that names no quorum is its own: nobody dials its controller.
    if (HasRole("controller") && NamesQuorum()) {
      listeners.push_back(
          fmt::format("{}://0.0.0.0:{}", ControllerNames().front(), OwnVoterPort()));
    }
    if (!listeners.empty()) Add("listeners", fmt::format("{}", fmt::join(listeners, ",")));
  }

  // An address on every interface cannot be told to clients: the container's name can.
  void DeriveAdvertised() {
    if (Has("advertised.listeners") || !HasRole("broker")) return;
    std::vector<std::string> advertised;
    bool any = false;
    for (const Endpoint& endpoint : EndpointsOf("listeners")) {
      if (IsController(endpoint.name)) continue;
      const bool everywhere = endpoint.host == "0.0.0.0" || endpoint.host == "::";
      any = any || everywhere;
      advertised.push_back(fmt::format(
          "{}://{}", endpoint.name, HostPortText(everywhere ? "" : endpoint.host, endpoint.port)));
    }
    if (!any) return;
    Add("advertised.listeners", fmt::format("{}", fmt::join(advertised, ",")));
    config_.warnings.emplace_back(
        "KAFKA_ADVERTISED_LISTENERS is not set: clients are told this container's host name, which "
        "those outside its network cannot reach");
  }

  void DeriveFolders() {
    if (Has("log.dirs") || Has("log.dir")) return;
    Add("log.dirs", std::string(bitnami_ ? kBitnamiDataFolder : kContainerDataFolder));
  }

  // In a container the port is open to whom it is published for.
  void DeriveAdmin() {
    if (!Has("millrace.admin.listeners")) Add("millrace.admin.listeners", "0.0.0.0:9644");
  }

  void WarnOfZooKeeper() {
    if (!Has("zookeeper.connect") || NamesQuorum()) return;
    config_.warnings.emplace_back(
        "there is no ZooKeeper here: this node is a cluster of its own. For several, set "
        "KAFKA_PROCESS_ROLES, KAFKA_NODE_ID and KAFKA_CONTROLLER_QUORUM_VOTERS on each");
  }

  void ReadClusterId() {
    for (const char* name : {"CLUSTER_ID", "KAFKA_KRAFT_CLUSTER_ID", "KAFKA_CLUSTER_ID"}) {
      auto found = input_.environment.find(name);
      if (found == input_.environment.end() || found->second.empty()) continue;
      config_.cluster_id = found->second;
      return;
    }
    const size_t others = Elements("controller.quorum.voters").size() +
                          Elements("controller.quorum.bootstrap.servers").size();
    // A node that is not a cluster by itself must find the others under the same id.
    if (others > 1 || HasRole("broker") != HasRole("controller")) {
      config_.cluster_id = std::string(kPackagedClusterId);
      config_.warnings.push_back(
          fmt::format("CLUSTER_ID is not set: {} it is, as in apache/kafka", kPackagedClusterId));
    }
  }

  ContainerConfig Finish() {
    std::string text = input_.mounted_properties.value_or("");
    if (!text.empty() && !text.ends_with('\n')) text += '\n';
    for (const std::string& key : added_) text += PrintProperty(key, all_.at(key));
    config_.properties = std::move(text);
    return std::move(config_);
  }

 private:
  bool Has(const std::string& key) const {
    auto found = all_.find(key);
    return found != all_.end() && !TrimConfigText(found->second).empty();
  }

  bool NamesQuorum() const {
    return Has("controller.quorum.voters") || Has("controller.quorum.bootstrap.servers");
  }

  void Add(const std::string& key, std::string value) {
    if (std::ranges::find(added_, key) == added_.end()) added_.push_back(key);
    all_[key] = std::move(value);
  }

  bool ReadSecret(const std::string& name, const std::string& value) {
    auto found = std::ranges::find(kSecretVariables, name, &SecretVariable::name);
    if (found == kSecretVariables.end()) return false;
    const std::string path = fmt::format("{}/{}", kContainerSecretsFolder, value);
    if (!found->is_content) {
      Add(std::string(found->property), path);
      return true;
    }
    const std::optional<std::string> content =
        input_.read_file ? input_.read_file(path) : std::nullopt;
    if (content.has_value()) {
      Add(std::string(found->property), std::string(TrimConfigText(*content)));
    } else {
      config_.errors.push_back(fmt::format("{}={}: cannot read {}", name, value, path));
    }
    return true;
  }

  std::vector<std::string> Elements(const std::string& key) const {
    std::vector<std::string> elements;
    auto found = all_.find(key);
    std::string_view rest = found == all_.end() ? std::string_view() : found->second;
    while (!rest.empty()) {
      const size_t comma = rest.find(',');
      if (const std::string_view one = TrimConfigText(rest.substr(0, comma)); !one.empty()) {
        elements.emplace_back(one);
      }
      rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    }
    return elements;
  }

  // Those that can be read; the others are refused by who reads the whole for good.
  std::vector<Endpoint> EndpointsOf(const std::string& key) const {
    std::vector<Endpoint> endpoints;
    for (const std::string& element : Elements(key)) {
      std::expected<Endpoint, std::string> endpoint = ParseEndpoint(element);
      if (endpoint.has_value()) endpoints.push_back(*std::move(endpoint));
    }
    return endpoints;
  }

  bool HasRole(std::string_view role) const {
    const std::vector<std::string> roles = Elements("process.roles");
    return roles.empty() || std::ranges::find(roles, role) != roles.end();
  }

  std::vector<std::string> ControllerNames() const {
    std::vector<std::string> names = Elements("controller.listener.names");
    for (std::string& name : names) name = ListenerName(name);
    if (names.empty()) names.emplace_back("CONTROLLER");
    return names;
  }

  bool IsController(const std::string& name) const {
    const std::vector<std::string> names = ControllerNames();
    return std::ranges::find(names, name) != names.end();
  }

  // The port that the voters know this node by.
  uint16_t OwnVoterPort() const {
    auto id = all_.find("node.id");
    if (id == all_.end()) id = all_.find("broker.id");
    for (const std::string& voter : Elements("controller.quorum.voters")) {
      const size_t at = voter.find('@');
      if (at == std::string::npos || id == all_.end()) continue;
      if (voter.substr(0, at) != TrimConfigText(id->second)) continue;
      std::expected<HostPort, std::string> address =
          ParseHostPort(std::string_view(voter).substr(at + 1));
      if (address.has_value()) return address->port;
    }
    return kControllerPort;
  }

  const ContainerInput& input_;
  ContainerConfig config_;
  std::map<std::string, std::string, std::less<>> all_;
  std::vector<std::string> added_;  // Keys beside those of the mounted file, in order.
  bool bitnami_ = false;
};

}  // namespace

std::string PropertyOfVariable(std::string_view name) {
  std::string property;
  for (size_t i = 0; i < name.size();) {
    if (name[i] != '_') {
      const char c = name[i++];
      property += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      continue;
    }
    size_t run = 0;
    while (i + run < name.size() && name[i + run] == '_') ++run;
    i += run;
    // As apache/kafka reads a long run: three by three, then two, then one.
    property.append(run / 3, '-');
    if (run % 3 == 2) property += '_';
    if (run % 3 == 1) property += '.';
  }
  return property;
}

ContainerConfig ReadContainerConfig(const ContainerInput& input) {
  Settings settings(input);
  settings.ReadVariables();
  settings.AddPackagedDefaults();
  settings.DeriveListeners();
  settings.DeriveAdvertised();
  settings.DeriveFolders();
  settings.DeriveAdmin();
  settings.WarnOfZooKeeper();
  settings.ReadClusterId();
  return settings.Finish();
}

}  // namespace millrace
