#include "cli/kafka/kafka_tools.h"

#include <catch2/catch.hpp>
#include <sstream>

#include "cli/command_line.h"

namespace millrace {
namespace {

std::vector<std::string> Words(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// The words of ours, which one of our verbs must take.
std::string Translated(const std::string& tool, const std::string& arguments) {
  absl::StatusOr<std::vector<std::string>> words = TranslateKafkaTool(tool, Words(arguments));
  if (!words.ok()) return "error: " + std::string(words.status().message());
  CAPTURE(tool, arguments);
  CHECK(std::holds_alternative<ChosenCommand>(ChooseCommand(*words)));
  std::string text;
  for (const std::string& word : *words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace

TEST_CASE("KafkaTools: a program is a tool by its name") {
  CHECK(KafkaToolOf("/opt/kafka/bin/kafka-topics.sh") == "topics");
  CHECK(KafkaToolOf("kafka-console-consumer") == "console-consumer");
  CHECK(!KafkaToolOf("/usr/local/bin/millrace").has_value());
  CHECK(!KafkaToolOf("kafka-acls.sh").has_value());
}

TEST_CASE("KafkaTools: what health checks and test frameworks call") {
  CHECK(Translated("topics", "--bootstrap-server localhost:9092 --list") ==
        "topic list --names --internal --bootstrap-server localhost:9092");
  CHECK(Translated("topics",
                   "--bootstrap-server=b:1 --create --if-not-exists --topic t "
                   "--partitions 3 --replication-factor 1 --config a=b --config c=d") ==
        "topic create t --partitions 3 --replication-factor 1 --config a=b --config c=d "
        "--if-not-exists --bootstrap-server b:1");
  CHECK(Translated("topics", "--describe --topic t --bootstrap-server b:1") ==
        "topic describe --internal t --bootstrap-server b:1");
  CHECK(Translated("topics", "--delete --topic t --bootstrap-server b:1") ==
        "topic delete t --bootstrap-server b:1");
  CHECK(Translated("topics", "--alter --topic t --partitions 9 --bootstrap-server b:1") ==
        "topic alter t --partitions 9 --bootstrap-server b:1");
  CHECK(Translated("broker-api-versions", "--bootstrap-server b:1") ==
        "api-versions --bootstrap-server b:1");
  CHECK(Translated("storage", "format -t x -c f --standalone") ==
        "storage format -t x -c f --standalone");
  CHECK(Translated("get-offsets", "--bootstrap-server b:1 --topic t --time -2") ==
        "topic offsets --kafka t --time=-2 --internal --bootstrap-server b:1");
  CHECK(Translated("topics", "--version") == "version");
}

TEST_CASE("KafkaTools: producing and consuming on the console") {
  CHECK(Translated("console-producer", "--topic t --bootstrap-server b:1") ==
        "produce t --acks all --compression none --bootstrap-server b:1");
  CHECK(Translated("console-producer",
                   "--broker-list b:1 --topic t --property parse.key=true --property "
                   "key.separator=: --producer-property acks=1 --compression-codec lz4") ==
        "produce t --key-delimiter : --acks 1 --compression lz4 --bootstrap-server b:1");
  CHECK(Translated("console-consumer",
                   "--bootstrap-server b:1 --topic t --from-beginning --max-messages 5 "
                   "--timeout-ms 1000") ==
        "consume t --summary --offset beginning --count 5 --idle-exit 1000ms --format %s\\n "
        "--bootstrap-server b:1");
  CHECK(Translated("console-consumer",
                   "--bootstrap-server b:1 --topic t --partition 2 --offset 17 --property "
                   "print.key=true --property key.separator=% --property print.offset=true") ==
        "consume t --summary --partition 2 --offset 17 --format Offset:%o%%%k%%%s\\n "
        "--bootstrap-server b:1");
}

TEST_CASE("KafkaTools: configurations") {
  CHECK(Translated("configs",
                   "--bootstrap-server b:1 --describe --entity-type topics "
                   "--entity-name t --all") ==
        "config describe --kafka --type topic --name t --all --bootstrap-server b:1");
  CHECK(Translated("configs",
                   "--bootstrap-server b:1 --alter --topic t --add-config "
                   "a=1,b=[x,y] --delete-config c,d") ==
        "config set --kafka --type topic --name t a=1 b=x,y --delete c --delete d "
        "--bootstrap-server b:1");
  CHECK(
      Translated("configs", "--bootstrap-server b:1 --alter --broker-defaults --add-config a=1") ==
      "config set --kafka --type broker --defaults a=1 --bootstrap-server b:1");
  CHECK(Translated("configs", "--describe --entity-type users --bootstrap-server b:1")
            .starts_with("error: --entity-type users:"));
}

TEST_CASE("KafkaTools: consumer groups") {
  const std::string at = " --bootstrap-server b:1";
  CHECK(Translated("consumer-groups", "--list" + at) == "group list --consumers --names" + at);
  CHECK(Translated("consumer-groups", at + " --list --state --type") ==
        "group list --consumers --kafka typesstates" + at);
  CHECK(Translated("consumer-groups", "--list --state stable,empty" + at) ==
        "group list --consumers --state stable,empty --kafka states" + at);
  CHECK(Translated("consumer-groups", "--describe --group g" + at) ==
        "group describe --kafka offsets g" + at);
  CHECK(Translated("consumer-groups", "--describe --all-groups --state" + at) ==
        "group describe --kafka state --all-groups" + at);
  CHECK(Translated("consumer-groups",
                   "--describe --group g --members --verbose --timeout 9000" + at) ==
        "group describe --kafka members --verbose g --timeout 9000ms" + at);
  CHECK(Translated("consumer-groups", "--delete --group g --group h" + at) ==
        "group delete --kafka table g h" + at);
  CHECK(Translated(
            "consumer-groups",
            "--group g --reset-offsets --shift-by -5 --topic t:0,1 --topic u --execute" + at) ==
        "group reset-offsets --kafka table --execute --shift-by=-5 --topic t:0,1 --topic u g" + at);
  CHECK(
      Translated("consumer-groups",
                 "--group g --reset-offsets --to-earliest --all-topics --dry-run --export" + at) ==
      "group reset-offsets --kafka export --to-earliest --all-topics g" + at);
  CHECK(Translated("consumer-groups", "--group g --delete-offsets --topic t" + at) ==
        "group delete-offsets --kafka table --topic t g" + at);
  CHECK(Translated("consumer-groups", "--list --describe" + at)
            .starts_with("error: Command must include exactly one action"));
  CHECK(Translated("consumer-groups", "--describe" + at).starts_with("error: It takes one of"));
  CHECK(Translated("groups", "--list --consumer" + at) ==
        "group list --kafka groups --consumers" + at);
  CHECK(Translated("groups", "--list --group-type classic --protocol consumer" + at) ==
        "group list --kafka groups --type classic --protocol consumer" + at);
  CHECK(Translated("console-consumer", "--topic t --group g" + at) ==
        "consume t --summary --group g --offset end --format %s\\n" + at);
  CHECK(Translated("console-consumer", "--topic t --consumer-property group.id=g" + at) ==
        "consume t --summary --group g --offset end --format %s\\n" + at);
}

TEST_CASE("KafkaTools: what is not understood is said by name") {
  CHECK(Translated("topics", "--list --frobnicate --bootstrap-server b:1")
            .starts_with("error: kafka-topics: --frobnicate is not understood here."));
  CHECK(Translated("topics", "--bootstrap-server") ==
        "error: Option --bootstrap-server requires an argument");
  CHECK(Translated("topics", "--bootstrap-server b:1").starts_with("error: Command must include"));
  CHECK(Translated("topics", "--create --bootstrap-server b:1") ==
        "error: Missing required argument \"[topic]\"");
  CHECK(Translated("console-producer", "--bootstrap-server b:1") ==
        "error: Missing required argument \"[topic]\"");
}

}  // namespace millrace
