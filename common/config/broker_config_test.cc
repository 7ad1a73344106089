#include "common/config/broker_config.h"

#include <catch2/catch.hpp>
#include <map>

namespace millrace {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using Lines = std::vector<std::string>;

BrokerConfigResult Load(std::string text, std::vector<std::string> set = {}, bool strict = false) {
  return LoadBrokerConfig({.file_name = "server.properties",
                           .file_text = std::move(text),
                           .set_arguments = std::move(set),
                           .strict = strict});
}

BrokerConfig Good(std::string text, std::vector<std::string> set = {}) {
  BrokerConfigResult result = Load(std::move(text), std::move(set));
  INFO((result.report.errors.empty() ? "" : result.report.errors[0]));
  REQUIRE(result.config.has_value());
  return *std::move(result.config);
}

Lines ErrorsOf(std::string text) {
  BrokerConfigResult result = Load(std::move(text));
  CHECK(result.config.has_value() == result.report.errors.empty());
  return result.report.errors;
}

// The one error there should be.
std::string ErrorOf(std::string text) {
  Lines errors = ErrorsOf(std::move(text));
  if (errors.size() == 1) return errors[0];
  std::string all = errors.empty() ? "accepted" : "more than one:";
  for (const std::string& error : errors) all += "\n" + error;
  return all;
}

TEST_CASE("BrokerConfig: without settings it is one node on this machine only") {
  BrokerConfigResult result = Load("");
  REQUIRE(result.config.has_value());
  CHECK(result.report.warnings.empty());
  CHECK(result.report.notes.empty());
  const BrokerConfig& config = *result.config;
  CHECK(config.node_id == BrokerId(1));
  CHECK(config.is_broker);
  CHECK(config.is_controller);
  CHECK(config.listeners.client == std::vector<NamedListener>{{{"PLAINTEXT", "127.0.0.1", 9092},
                                                               SecurityProtocol::kPlaintext}});
  CHECK(config.listeners.controller ==
        std::vector<NamedListener>{
            {{"CONTROLLER", "127.0.0.1", 9093}, SecurityProtocol::kPlaintext}});
  CHECK(config.listeners.advertised == std::vector<Endpoint>{{"PLAINTEXT", "127.0.0.1", 9092}});
  CHECK(config.listeners.inter_broker_name == "PLAINTEXT");
  CHECK(config.storage.data_dirs == Lines{"./millrace-data"});
  CHECK(config.storage.metadata_dir == "./millrace-data");
  CHECK(config.topic_creation.partitions_default == 1);
  CHECK(config.topic_creation.auto_create);
  CHECK(config.connections.request_bytes_max == 104857600);
  CHECK(config.connections.idle_max == milliseconds(600000));
  CHECK(config.fetch_bytes_max == 57671680);
  CHECK(config.io == IoChoice::kAuto);
  CHECK(config.server_values == ServerConfigValues());
}

TEST_CASE(
    "BrokerConfig: the file that Kafka ships for one node starts, and says what has no effect") {
  BrokerConfigResult result = Load(R"(
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
offsets.topic.replication.factor=1
log.retention.hours=168
)");
  REQUIRE(result.config.has_value());
  CHECK(result.report.warnings.empty());
  REQUIRE(result.report.notes.size() == 2);
  CHECK(result.report.notes[0] ==
        "server.properties:10: num.network.threads=3: There are no thread pools: one thread per "
        "shard "
        "does all of it (millrace.shards).");
  CHECK(result.config->groups.topic_replication_factor == 1);
  CHECK(result.config->listeners.advertised_controller ==
        std::vector<Endpoint>{{"CONTROLLER", "localhost", 9093}});
  CHECK(result.config->quorum_bootstrap == std::vector<HostPort>{{"localhost", 9093}});
}

TEST_CASE("BrokerConfig: a node that is the whole cluster keeps its groups in one replica") {
  CHECK(Good("").groups.topic_replication_factor == 1);
  CHECK(Good("offsets.topic.replication.factor=2").groups.topic_replication_factor == 2);
  CHECK(Good("process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=CONTROLLER\n"
             "controller.quorum.bootstrap.servers=localhost:9093\n"
             "listeners=PLAINTEXT://:9092,CONTROLLER://:9093")
            .groups.topic_replication_factor == 3);
}

TEST_CASE("BrokerConfig: only a controller can make itself a voter") {
  const std::string quorum =
      "node.id=1\ncontroller.listener.names=CONTROLLER\n"
      "controller.quorum.bootstrap.servers=localhost:9093\n"
      "controller.quorum.auto.join.enable=true\n";
  CHECK(Good(quorum + "process.roles=controller\nlisteners=CONTROLLER://:9093").quorum.auto_join);
  CHECK_FALSE(Good("").quorum.auto_join);
  CHECK(ErrorsOf(quorum + "process.roles=broker\nlisteners=PLAINTEXT://:9092") ==
        Lines{"server.properties:4: controller.quorum.auto.join.enable=true: this node is no "
              "controller: expected false, or the role controller in process.roles"});
}

TEST_CASE("BrokerConfig: --set wins over the file, and errors say where a value was set") {
  BrokerConfig config = Good("num.partitions=3\nnode.id=7", {"num.partitions=5", "node.id = 8"});
  CHECK(config.topic_creation.partitions_default == 5);
  CHECK(config.node_id == BrokerId(8));
  CHECK(Load("num.partitions=3", {"num.partitions=0"}).report.errors ==
        Lines{"--set: num.partitions=0: expected a whole number of at least 1"});
  CHECK(Load("", {"num.partitions"}).report.errors ==
        Lines{"--set num.partitions: expected NAME=VALUE"});
}

TEST_CASE("BrokerConfig: all errors come at once, in the order of the file") {
  CHECK(
      ErrorsOf("num.partitions=0\nauto.create.topics.enable=maybe\ncompression.type=lzo\n"
               "log.segment.bytes=14\nlisteners=PLAINTEXT:9092") ==
      Lines{
          "server.properties:1: num.partitions=0: expected a whole number of at least 1",
          "server.properties:2: auto.create.topics.enable=maybe: expected true or false",
          "server.properties:3: compression.type=lzo: expected one of uncompressed, zstd, lz4, "
          "snappy, gzip, producer",
          "server.properties:4: log.segment.bytes=14: expected a whole number of at least 1048576",
          "server.properties:5: listeners=PLAINTEXT:9092: PLAINTEXT:9092 is not "
          "NAME://HOST:PORT: it has no ://"});
}

TEST_CASE(
    "BrokerConfig: an unknown key is a warning with the nearest name, or an error if strict") {
  BrokerConfigResult result = Load("num.partition=3\nmy.plugin.url=x");
  CHECK(result.config.has_value());
  CHECK(
      result.report.warnings ==
      Lines{"server.properties:1: num.partition=3: no such key, it has no effect; the nearest one "
            "known is num.partitions",
            "server.properties:2: my.plugin.url=x: no such key, it has no effect"});
  CHECK(Load("num.partition=3", {}, /*strict=*/true).report.errors.size() == 1);
}

TEST_CASE("BrokerConfig: keys of older Kafkas are warnings that say what to use now") {
  BrokerConfigResult result =
      Load("broker.id=4\nzookeeper.connect=zk:2181\nadvertised.host.name=h\nzookeeper.ssl.x=1");
  REQUIRE(result.config.has_value());
  CHECK(result.config->node_id == BrokerId(4));
  REQUIRE(result.report.warnings.size() == 3);
  CHECK(result.report.warnings[0].find("There is no ZooKeeper") != std::string::npos);
  CHECK(result.report.warnings[1].find("Use advertised.listeners") != std::string::npos);
  CHECK(result.report.warnings[2].find("There is no ZooKeeper") != std::string::npos);
  CHECK(result.config->server_values.static_values == ConfigMap{{"broker.id", "4"}});
}

TEST_CASE("BrokerConfig: a key set twice is a warning, a malformed escape an error") {
  BrokerConfigResult result = Load("num.partitions=3\nnum.partitions=4");
  CHECK(result.config->topic_creation.partitions_default == 4);
  CHECK(result.report.warnings == Lines{"server.properties:2: num.partitions is set again: this "
                                        "one stands, line 1 does not count"});
  CHECK(ErrorOf("log.dirs=C:\\users").starts_with("server.properties:1: malformed \\uXXXX"));
}

TEST_CASE("BrokerConfig: secrets are not shown, known or not") {
  BrokerConfigResult result = Load("ssl.key.password=hush\nmy.secret=hush2");
  for (const Lines& lines : {result.report.notes, result.report.warnings}) {
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].find("hush") == std::string::npos);
    CHECK(lines[0].find("=[hidden]: ") != std::string::npos);
  }
}

TEST_CASE("BrokerConfig: where a quorum is named nothing is guessed") {
  CHECK(
      ErrorsOf("controller.quorum.bootstrap.servers=h:9093") ==
      Lines{
          "process.roles: is missing, and a quorum is named: expected broker, controller, or "
          "broker,controller",
          "node.id: is missing, and a quorum is named: expected a whole number of at least 0",
          "controller.listener.names: is missing, and a quorum is named: expected the name of the "
          "controllers' listener"});
}

TEST_CASE("BrokerConfig: the quorum must fit this node, and be this node for now") {
  const std::string base =
      "process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=CONTROLLER\n"
      "controller.quorum.voters=";
  CHECK(Good(base + "1@localhost:9093").voters ==
        std::vector<QuorumVoter>{{BrokerId(1), {"localhost", 9093}}});
  CHECK(ErrorOf(base + "2@localhost:9093").ends_with("but node 1 is not among the voters"));
  CHECK(Good(base + "1@a:9093,2@b:9093").voters.size() == 2);
  CHECK(ErrorOf(base + "1@a:9093,1@b:9093").ends_with("the id 1 occurs twice"));
  CHECK(ErrorOf(base + "x@a:9093").find("is not ID@HOST:PORT") != std::string::npos);
  CHECK(ErrorOf(base + "1@a").ends_with("a is not HOST:PORT: it has no port"));
  CHECK(ErrorOf(base + "1@0.0.0.0:9093").find("cannot be dialled") != std::string::npos);
}

TEST_CASE("BrokerConfig: node.id and broker.id must agree") {
  CHECK(Good("node.id=3\nbroker.id=3").node_id == BrokerId(3));
  CHECK(Good("node.id=3\nbroker.id=-1").node_id == BrokerId(3));
  CHECK(ErrorOf("node.id=3\nbroker.id=4") ==
        "server.properties:2: broker.id=4: node.id says 3: expected the same number, or node.id "
        "alone");
  CHECK(ErrorOf("node.id=-1").ends_with("expected a whole number of at least 0"));
  CHECK(ErrorOf("process.roles=broker\nlisteners=PLAINTEXT://:1").find("part of a quorum") !=
        std::string::npos);
  CHECK(
      ErrorOf("process.roles=foo").ends_with("a list of broker, controller, at least one of them"));
}

TEST_CASE("BrokerConfig: listeners may be several, with names of their own and any free port") {
  BrokerConfig config = Good(
      "listeners=internal://0.0.0.0:0,EXTERNAL://[::1]:0\n"
      "advertised.listeners=INTERNAL://broker:9092,EXTERNAL://:0\n"
      "listener.security.protocol.map=INTERNAL:PLAINTEXT,external:plaintext\n"
      "inter.broker.listener.name=internal");
  REQUIRE(config.listeners.client.size() == 2);
  CHECK(config.listeners.client[0].endpoint == Endpoint{"INTERNAL", "0.0.0.0", 0});
  CHECK(config.listeners.client[1].endpoint == Endpoint{"EXTERNAL", "::1", 0});
  CHECK(config.listeners.controller.empty());
  CHECK(config.listeners.advertised ==
        std::vector<Endpoint>{{"INTERNAL", "broker", 9092}, {"EXTERNAL", "", 0}});
  CHECK(config.listeners.inter_broker_name == "INTERNAL");
}

TEST_CASE("BrokerConfig: hostless listeners advertise the machine's name") {
  CHECK(Good("listeners=PLAINTEXT://:9092").listeners.advertised ==
        std::vector<Endpoint>{{"PLAINTEXT", "", 9092}});
  CHECK(Good("listeners=PLAINTEXT://[::]:9092").listeners.advertised ==
        std::vector<Endpoint>{{"PLAINTEXT", "", 9092}});
  CHECK(ErrorOf("listeners=PLAINTEXT://0.0.0.0:9092").find("which no client can reach") !=
        std::string::npos);
  CHECK(ErrorOf("advertised.listeners=PLAINTEXT://0.0.0.0:9092").find("no client can reach") !=
        std::string::npos);
}

TEST_CASE("BrokerConfig: bad combinations of listeners are refused") {
  CHECK(ErrorOf("listeners=FOO://:9092")
            .ends_with("FOO has no security protocol: expected FOO:PROTOCOL in "
                       "listener.security.protocol.map"));
  CHECK(ErrorOf("listeners=PLAINTEXT://:1,PLAINTEXT://:2").find("PLAINTEXT occurs twice") !=
        std::string::npos);
  CHECK(ErrorOf("listeners=PLAINTEXT://:1,CONTROLLER://:1").find("both use port 1") !=
        std::string::npos);
  CHECK(ErrorOf("listeners=SSL://:9092").find("TLS and SASL are not served yet") !=
        std::string::npos);
  CHECK(ErrorOf("listeners=CONTROLLER://:9093").ends_with("expected one for clients"));
  CHECK(ErrorOf("listeners=PLAINTEXT://:9092\ncontroller.listener.names=CONTROLLER")
            .ends_with(
                "this node is a controller: expected at least one of CONTROLLER in listeners"));
  CHECK(ErrorOf("advertised.listeners=EXT://h:1").find("EXT is not in listeners") !=
        std::string::npos);
  CHECK(ErrorOf("advertised.listeners=CONTROLLER://h:1").ends_with("expected at least one"));
  CHECK(ErrorOf("listener.security.protocol.map=PLAINTEXT").ends_with("is not NAME:PROTOCOL"));
  CHECK(ErrorOf("inter.broker.listener.name=EXT")
            .ends_with("no such listener is advertised: expected one of PLAINTEXT"));
  CHECK(ErrorOf("inter.broker.listener.name=PLAINTEXT\nsecurity.inter.broker.protocol=PLAINTEXT")
            .ends_with("expected only one of the two"));
  CHECK(ErrorOf("security.inter.broker.protocol=SSL").ends_with("expected one of PLAINTEXT"));
}

TEST_CASE("BrokerConfig: limits of connections, and who they do not apply to") {
  BrokerConfig config = Good(
      "max.connections.per.ip=0\nmax.connections.per.ip.overrides=127.0.0.1:5, ::1:6\n"
      "connections.max.idle.ms=-1\nsocket.send.buffer.bytes=-1");
  CHECK(config.connections.connections_per_ip_overrides ==
        std::map<std::string, int32_t>{{"127.0.0.1", 5}, {"::1", 6}});
  CHECK_FALSE(config.connections.idle_max.has_value());
  CHECK_FALSE(config.connections.send_buffer_bytes.has_value());
  CHECK(ErrorOf("max.connections.per.ip=0").find("nobody could connect") != std::string::npos);
  for (std::string bad : {"127.0.0.1", "127.0.0.1:x", "bad host:1", ":1", "a:-1"}) {
    CHECK(ErrorOf("max.connections.per.ip.overrides=" + bad).ends_with("is not ADDRESS:COUNT"));
  }
  CHECK(ErrorOf("socket.send.buffer.bytes=-5").find("the system's choice") != std::string::npos);
}

TEST_CASE("BrokerConfig: the request budget holds the largest request") {
  CHECK(Good("queued.max.request.bytes=200000000").memory.request_budget_bytes == 200000000);
  CHECK(Good("queued.max.request.bytes=200000000\nmillrace.request.budget.bytes=300000000")
            .memory.request_budget_bytes == 300000000);
  CHECK(ErrorOf("queued.max.request.bytes=5").find("socket.request.max.bytes") !=
        std::string::npos);
  CHECK(ErrorOf("millrace.request.budget.bytes=5").find("104857600") != std::string::npos);
}

TEST_CASE("BrokerConfig: the patience of controllers, and what they do by themselves") {
  const BrokerConfig config = Good(
      "controller.quorum.fetch.timeout.ms=500\nauto.leader.rebalance.enable=false\n"
      "leader.imbalance.check.interval.seconds=7\nmetadata.log.max.snapshot.interval.ms=0\n"
      "metadata.log.max.record.bytes.between.snapshots=1000");
  CHECK(config.quorum.fetch_timeout == milliseconds(500));
  CHECK(config.quorum.snapshot_bytes == 1000);
  CHECK_FALSE(config.quorum.snapshot_interval.has_value());
  CHECK_FALSE(config.elections.balance);
  CHECK(config.elections.balance_interval == seconds(7));
  CHECK(config.elections.unclean_interval == seconds(300));
  CHECK(ErrorOf("controller.quorum.fetch.timeout.ms=199").ends_with("at least 200"));
}

TEST_CASE("BrokerConfig: when a disk is slow") {
  CHECK(Good("").storage.slow_write == milliseconds(500));
  CHECK(Good("millrace.disk.slow.ms=0").storage.slow_write == milliseconds(0));
  CHECK(Good("millrace.disk.slow.ms=60000").storage.slow_write == milliseconds(60'000));
  const std::string error = ErrorOf("millrace.disk.slow.ms=60001");
  CHECK(error.find("millrace.disk.slow.ms") != std::string::npos);
  CHECK(error.find("60001") != std::string::npos);
  CHECK(error.ends_with("from 0 to 60000"));
  CHECK(ErrorOf("millrace.disk.slow.ms=-1").ends_with("from 0 to 60000"));
}

TEST_CASE("BrokerConfig: topics fall back on what the file says") {
  BrokerConfig config = Good(
      "log.retention.hours=1\nlog.segment.bytes= 2097152 \nmillrace.durability=page-cache\n"
      "log.cleanup.policy=compact, delete");
  TopicConfig topic = ResolveTopicConfig({}, config.server_values);
  CHECK(topic.retention == hours(1));
  CHECK(topic.segment_bytes == 2097152);
  CHECK(topic.durability == Durability::kPageCache);
  CHECK(topic.cleanup_compact);
  CHECK(config.server_values.static_values.at("log.segment.bytes") == "2097152");

  CHECK(ErrorOf("log.retention.ms=0").find("dropped at once") != std::string::npos);
  CHECK(ErrorOf("log.retention.ms=-5") == "accepted");
  CHECK(ErrorOf("log.roll.ms=0").ends_with("expected a whole number of at least 1 (segment.ms)"));
  CHECK(ErrorOf("log.roll.jitter.ms=-1").ends_with("of at least 0 (segment.jitter.ms)"));
  CHECK(ErrorOf("log.cleaner.max.compaction.lag.ms=1\nlog.cleaner.min.compaction.lag.ms=5")
            .ends_with("expected at most 1"));
}

TEST_CASE("BrokerConfig: data directories come from log.dirs, else from log.dir") {
  CHECK(Good("log.dir=/a").storage.data_dirs == Lines{"/a"});
  BrokerConfig config = Good("log.dir=/a\nlog.dirs=/b, /c,/b\nmetadata.log.dir=/m");
  CHECK(config.storage.data_dirs == Lines{"/b", "/c"});
  CHECK(config.storage.metadata_dir == "/m");
  CHECK(ErrorOf("log.dirs=").find("at least one element") != std::string::npos);
  CHECK(ErrorOf("log.dirs=/a,").find("none empty") != std::string::npos);
  CHECK(ErrorOf("log.dirs=/a\ncordoned.log.dirs=/b").find("/b is not in log.dirs") !=
        std::string::npos);
}

TEST_CASE("BrokerConfig: protection that is not served yet is refused, not ignored") {
  CHECK(ErrorOf("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer")
            .find("everyone may do everything") != std::string::npos);
  CHECK(ErrorOf("authorizer.class.name=") == "accepted");
}

TEST_CASE("BrokerConfig: combinations of keys without effect are checked as well") {
  CHECK(ErrorOf("replica.fetch.wait.max.ms=30001\nreplica.lag.time.max.ms=40000")
            .ends_with("expected at least replica.fetch.wait.max.ms, 30001"));
  CHECK(ErrorOf("replica.lag.time.max.ms=100").ends_with("replica.lag.time.max.ms, 100"));
  CHECK(ErrorOf("connection.failed.authentication.delay.ms=600000").ends_with("ms, 600000"));
  CHECK(ErrorOf("log.cleaner.dedupe.buffer.size=5").ends_with("1048576"));
}

TEST_CASE("BrokerConfig: DescribeConfigs tells source, default, scope and no secret") {
  BrokerConfig config = Good("num.partitions=3\nssl.key.password=hush");
  bool partitions_seen = false;
  bool password_seen = false;
  for (const ConfigEntry& entry : DescribeBrokerConfig(config.server_values)) {
    CHECK_FALSE(entry.name == "zookeeper.connect");
    if (entry.name == "num.partitions") {
      partitions_seen = true;
      CHECK(entry.value == "3");
      CHECK(entry.source == ConfigSource::kStaticBroker);
      CHECK(entry.is_read_only);
      CHECK(entry.synonyms ==
            std::vector<ConfigSynonym>{{"num.partitions", "3", ConfigSource::kStaticBroker},
                                       {"num.partitions", "1", ConfigSource::kDefault}});
    }
    if (entry.name == "ssl.key.password") {
      password_seen = true;
      CHECK(entry.is_sensitive);
      CHECK_FALSE(entry.value.has_value());
      CHECK_FALSE(entry.synonyms[0].value.has_value());
    }
  }
  CHECK(partitions_seen);
  CHECK(password_seen);
}

TEST_CASE("BrokerConfig: DescribeConfigs names the keys of other units that set the same") {
  const BrokerConfig config = Good("log.retention.minutes=90");
  const std::vector<ConfigSynonym> chain{
      {"log.retention.minutes", "90", ConfigSource::kStaticBroker},
      {"log.retention.hours", "168", ConfigSource::kDefault}};
  std::map<std::string_view, std::optional<std::string>> values;
  for (const ConfigEntry& entry : DescribeBrokerConfig(config.server_values)) {
    if (!entry.name.starts_with("log.retention.") || entry.name.ends_with("bytes")) continue;
    if (entry.name == "log.retention.check.interval.ms") continue;
    values.emplace(entry.name, entry.value);
    CHECK(entry.synonyms == chain);
    CHECK(entry.source == ConfigSource::kStaticBroker);
  }
  CHECK(values == decltype(values){{"log.retention.ms", std::nullopt},
                                   {"log.retention.minutes", "90"},
                                   {"log.retention.hours", "168"}});
}

}  // namespace
}  // namespace millrace
