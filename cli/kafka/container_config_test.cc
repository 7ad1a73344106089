#include "cli/kafka/container_config.h"

#include <catch2/catch.hpp>
#include <map>
#include <string>

#include "common/config/broker_config.h"
#include "common/config/properties_file.h"

namespace millrace {
namespace {

using Environment = std::map<std::string, std::string>;

ContainerConfig Read(Environment environment, std::optional<std::string> mounted = std::nullopt) {
  ContainerInput input;
  input.environment = std::move(environment);
  input.mounted_properties = std::move(mounted);
  input.read_file = [](const std::string& path) -> std::optional<std::string> {
    if (path == "/etc/kafka/secrets/creds") return "secret\n";
    return std::nullopt;
  };
  return ReadContainerConfig(input);
}

Environment Properties(const ContainerConfig& config) {
  Environment properties;
  PropertiesFile file = ParseProperties(config.properties);
  CHECK(file.errors.empty());
  for (const Property& property : file.properties) properties[property.key] = property.value;
  return properties;
}

// What the node makes of it.
BrokerConfig Built(const ContainerConfig& config) {
  ConfigInput input;
  input.file_name = "container";
  input.file_text = config.properties;
  BrokerConfigResult result = LoadBrokerConfig(input);
  for (const std::string& error : result.report.errors) UNSCOPED_INFO(error);
  REQUIRE(result.config.has_value());
  return *std::move(result.config);
}

std::string Warnings(const ContainerConfig& config) {
  std::string all;
  for (const std::string& warning : config.warnings) all += warning + "\n";
  return all;
}

}  // namespace

TEST_CASE("ContainerConfig: names of variables become names of properties as in apache/kafka") {
  CHECK(PropertyOfVariable("LOG_RETENTION_HOURS") == "log.retention.hours");
  CHECK(PropertyOfVariable("A__B") == "a_b");
  CHECK(PropertyOfVariable("A___B") == "a-b");
  CHECK(PropertyOfVariable("A____B") == "a-.b");
  CHECK(PropertyOfVariable("A_____B") == "a-_b");
  CHECK(PropertyOfVariable("LISTENER_NAME_INTERNAL_SSL_KEYSTORE_TYPE") ==
        "listener.name.internal.ssl.keystore.type");
}

TEST_CASE("ContainerConfig: without any variable, one node that the host reaches on port 9092") {
  ContainerConfig config = Read({{"PATH", "/bin"}, {"HOSTNAME", "c0ffee"}});
  CHECK(config.warnings.empty());
  CHECK(!config.cluster_id.has_value());
  BrokerConfig broker = Built(config);
  CHECK(broker.is_broker);
  CHECK(broker.is_controller);
  CHECK(broker.listeners.client.front().endpoint == Endpoint{"PLAINTEXT", "0.0.0.0", 9092});
  CHECK(broker.listeners.advertised.front() == Endpoint{"PLAINTEXT", "localhost", 9092});
  CHECK(broker.storage.data_dirs == std::vector<std::string>{"/var/lib/kafka/data"});
}

TEST_CASE("ContainerConfig: any property among the variables drops the packaged defaults") {
  Environment properties = Properties(Read({{"KAFKA_NUM_PARTITIONS", "3"}}));
  CHECK(properties["num.partitions"] == "3");
  CHECK(properties["advertised.listeners"] == "PLAINTEXT://:9092");  // Not localhost.
  CHECK(!properties.contains("node.id"));
  // What is no property does not.
  CHECK(Properties(Read({{"KAFKA_HEAP_OPTS", "-Xmx1g"}})).contains("node.id"));
}

TEST_CASE("ContainerConfig: a node of the three-node layout of apache/kafka") {
  ContainerConfig config = Read(
      {{"KAFKA_NODE_ID", "1"},
       {"KAFKA_PROCESS_ROLES", "broker,controller"},
       {"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
        "PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT,CONTROLLER:PLAINTEXT"},
       {"KAFKA_CONTROLLER_QUORUM_VOTERS", "1@kafka-1:9093,2@kafka-2:9093,3@kafka-3:9093"},
       {"KAFKA_LISTENERS", "PLAINTEXT://:19092,CONTROLLER://:9093,PLAINTEXT_HOST://:9092"},
       {"KAFKA_INTER_BROKER_LISTENER_NAME", "PLAINTEXT"},
       {"KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://kafka-1:19092,PLAINTEXT_HOST://localhost:29092"},
       {"KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"},
       {"CLUSTER_ID", "4L6g3nShT-eMCtK--X86sw"},
       {"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "3"},
       {"KAFKA_LOG_DIRS", "/tmp/kraft-combined-logs"}});
  CHECK(config.errors.empty());
  CHECK(config.warnings.empty());
  CHECK(config.cluster_id == "4L6g3nShT-eMCtK--X86sw");
  Environment properties = Properties(config);
  CHECK(properties["listeners"] == "PLAINTEXT://:19092,CONTROLLER://:9093,PLAINTEXT_HOST://:9092");
  CHECK(properties["controller.quorum.voters"] == "1@kafka-1:9093,2@kafka-2:9093,3@kafka-3:9093");
  CHECK(properties["log.dirs"] == "/tmp/kraft-combined-logs");
  CHECK(properties["millrace.admin.listeners"] == "0.0.0.0:9644");
  CHECK(properties["offsets.topic.replication.factor"] == "3");
}

TEST_CASE("ContainerConfig: nodes of one compose file without CLUSTER_ID get the same one") {
  ContainerConfig config = Read({{"KAFKA_NODE_ID", "2"},
                                 {"KAFKA_PROCESS_ROLES", "broker,controller"},
                                 {"KAFKA_CONTROLLER_QUORUM_VOTERS", "1@a:9093,2@b:9094"}});
  CHECK(config.cluster_id == std::string(kPackagedClusterId));
  CHECK(Warnings(config).find("CLUSTER_ID is not set") != std::string::npos);
  // And the controller listens where the voters know it.
  CHECK(Properties(config)["listeners"] == "PLAINTEXT://0.0.0.0:9092,CONTROLLER://0.0.0.0:9094");
}

TEST_CASE(
    "ContainerConfig: a controller apart and its broker get the same cluster id without "
    "CLUSTER_ID") {
  for (const char* role : {"controller", "broker"}) {
    ContainerConfig config = Read({{"KAFKA_NODE_ID", "2"},
                                   {"KAFKA_PROCESS_ROLES", role},
                                   {"KAFKA_CONTROLLER_QUORUM_VOTERS", "1@controller-1:9093"}});
    CHECK(config.cluster_id == std::string(kPackagedClusterId));
  }
}

TEST_CASE("ContainerConfig: listeners come from what is advertised when they are absent") {
  CHECK(Properties(Read({{"KAFKA_ADVERTISED_LISTENERS",
                          "PLAINTEXT://kafka:29092,PLAINTEXT_HOST://localhost:9092"},
                         {"KAFKA_PROCESS_ROLES", "broker"}}))["listeners"] ==
        "PLAINTEXT://0.0.0.0:29092,PLAINTEXT_HOST://0.0.0.0:9092");
  CHECK(Properties(Read({{"KAFKA_PROCESS_ROLES", "controller"},
                         {"KAFKA_NODE_ID", "7"},
                         {"KAFKA_CONTROLLER_LISTENER_NAMES", "C"},
                         {"KAFKA_CONTROLLER_QUORUM_VOTERS", "7@c:19093"}}))["listeners"] ==
        "C://0.0.0.0:19093");
  CHECK(Properties(Read({{"KAFKA_LISTENERS", "A://b:1"},
                         {"KAFKA_ADVERTISED_LISTENERS", "A://c:2"}}))["listeners"] == "A://b:1");
}

TEST_CASE("ContainerConfig: an address on every interface is not what clients are told") {
  ContainerConfig config = Read({{"KAFKA_LISTENERS", "PLAINTEXT://0.0.0.0:9092,X://h:1"}});
  CHECK(Properties(config)["advertised.listeners"] == "PLAINTEXT://:9092,X://h:1");
  CHECK(Warnings(config).find("host name") != std::string::npos);
}

TEST_CASE("ContainerConfig: what Confluent's images are told of JVM and ZooKeeper is no error") {
  ContainerConfig config = Read(
      {{"KAFKA_BROKER_ID", "1"},
       {"KAFKA_ZOOKEEPER_CONNECT", "zookeeper:2181"},
       {"KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://broker:29092,PLAINTEXT_HOST://localhost:9092"},
       {"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT"},
       {"KAFKA_JMX_PORT", "9101"},
       {"KAFKA_JMX_HOSTNAME", "localhost"},
       {"KAFKA_HEAP_OPTS", "-Xmx1g"},
       {"KAFKA_LOG4J_LOGGERS", "kafka=INFO"},
       {"KAFKA_CONFLUENT_LICENSE_TOPIC_REPLICATION_FACTOR", "1"},
       {"CONFLUENT_METRICS_ENABLE", "true"}});
  CHECK(config.errors.empty());
  CHECK(Warnings(config).find("KAFKA_JMX_PORT has no effect") != std::string::npos);
  CHECK(Warnings(config).find("KAFKA_HEAP_OPTS has no effect") != std::string::npos);
  CHECK(Warnings(config).find("there is no ZooKeeper here: this node") != std::string::npos);
  Environment properties = Properties(config);
  CHECK(!properties.contains("jmx.port"));
  CHECK(!properties.contains("confluent.license.topic.replication.factor"));
  BrokerConfig broker = Built(config);
  CHECK(broker.node_id == BrokerId(1));
  CHECK(broker.listeners.advertised.size() == 2);
}

TEST_CASE("ContainerConfig: Bitnami's names") {
  ContainerConfig config =
      Read({{"KAFKA_CFG_NODE_ID", "0"},
            {"KAFKA_CFG_PROCESS_ROLES", "controller,broker"},
            {"KAFKA_CFG_LISTENERS", "PLAINTEXT://:9092,CONTROLLER://:9093,EXTERNAL://:9094"},
            {"KAFKA_CFG_ADVERTISED_LISTENERS", "PLAINTEXT://kafka:9092,EXTERNAL://localhost:9094"},
            {"KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP",
             "CONTROLLER:PLAINTEXT,EXTERNAL:PLAINTEXT,PLAINTEXT:PLAINTEXT"},
            {"KAFKA_CFG_CONTROLLER_QUORUM_VOTERS", "0@localhost:9093"},
            {"KAFKA_CFG_CONTROLLER_LISTENER_NAMES", "CONTROLLER"},
            {"KAFKA_KRAFT_CLUSTER_ID", "abcdefghijklmnopqrstuv"},
            {"ALLOW_PLAINTEXT_LISTENER", "yes"},
            {"KAFKA_ENABLE_KRAFT", "yes"},
            {"KAFKA_CLIENT_USERS", "user"}});
  CHECK(config.errors.empty());
  CHECK(config.cluster_id == "abcdefghijklmnopqrstuv");
  CHECK(Warnings(config) == "KAFKA_CLIENT_USERS has no effect: TLS and SASL are not served yet\n");
  BrokerConfig broker = Built(config);
  CHECK(broker.node_id == BrokerId(0));
  CHECK(broker.storage.data_dirs == std::vector<std::string>{"/bitnami/kafka/data"});
}

TEST_CASE("ContainerConfig: a mounted file is the beginning, and variables win") {
  ContainerConfig config = Read({{"KAFKA_NUM_PARTITIONS", "5"}},
                                "num.partitions=3\nlog.dirs=/elsewhere\nlisteners=PLAINTEXT://h:1");
  Environment properties = Properties(config);
  CHECK(properties["num.partitions"] == "5");
  CHECK(properties["log.dirs"] == "/elsewhere");
  CHECK(properties["listeners"] == "PLAINTEXT://h:1");
  CHECK(!properties.contains("node.id"));
}

TEST_CASE("ContainerConfig: names of secret files become paths and contents") {
  ContainerConfig config =
      Read({{"KAFKA_SSL_KEYSTORE_FILENAME", "k.jks"}, {"KAFKA_SSL_KEY_CREDENTIALS", "creds"}});
  CHECK(config.errors.empty());
  CHECK(Properties(config)["ssl.keystore.location"] == "/etc/kafka/secrets/k.jks");
  CHECK(Properties(config)["ssl.key.password"] == "secret");
  config = Read({{"KAFKA_SSL_TRUSTSTORE_CREDENTIALS", "absent"}});
  REQUIRE(config.errors.size() == 1);
  CHECK(config.errors.front() ==
        "KAFKA_SSL_TRUSTSTORE_CREDENTIALS=absent: cannot read /etc/kafka/secrets/absent");
}

TEST_CASE("ContainerConfig: values of any kind arrive as they are") {
  const std::string value = " a=b\\c\nd#e:f ";
  CHECK(Properties(Read({{"KAFKA_X", value}}))["x"] == value);
}

}  // namespace millrace
