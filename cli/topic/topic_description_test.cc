#include "cli/topic/topic_description.h"

#include <catch2/catch.hpp>

#include "cli/text_table.h"

namespace millrace {
namespace {

TopicDescription Sample() {
  TopicDescription topic;
  topic.name = "greetings";
  topic.id = *Uuid::Parse("JhFSVB_4QF2tWnu4MSAgYA");
  topic.configs = {{"min.insync.replicas", "1"}, {"retention.ms", "1000000"}};
  topic.partitions = {
      {PartitionId(0),
       BrokerId(1),
       {BrokerId(1), BrokerId(2)},
       {BrokerId(1)},
       std::vector<BrokerId>{BrokerId(2)},
       std::vector<BrokerId>{}},
      {PartitionId(1), std::nullopt, {BrokerId(2), BrokerId(1)}, {}, std::nullopt, std::nullopt}};
  return topic;
}

}  // namespace

TEST_CASE("TopicDescription: the text has the layout of kafka-topics --describe") {
  CHECK(DescriptionText(Sample()) ==
        "Topic: greetings\tTopicId: JhFSVB_4QF2tWnu4MSAgYA\tPartitionCount: 2\t"
        "ReplicationFactor: 2\tConfigs: min.insync.replicas=1,retention.ms=1000000\n"
        "\tTopic: greetings\tPartition: 0\tLeader: 1\tReplicas: 1,2\tIsr: 1\tElr: 2\t"
        "LastKnownElr: \n"
        "\tTopic: greetings\tPartition: 1\tLeader: none\tReplicas: 2,1\tIsr: \tElr: N/A\t"
        "LastKnownElr: N/A\n");
}

TEST_CASE("TopicDescription: JSON says the same with numbers and nulls") {
  JsonWriter json;
  DescriptionJson(Sample(), json);
  CHECK(json.text() ==
        R"({"topic":"greetings","id":"JhFSVB_4QF2tWnu4MSAgYA","internal":false,)"
        R"("replication_factor":2,"configs":{"min.insync.replicas":"1","retention.ms":"1000000"},)"
        R"("partitions":[{"partition":0,"leader":1,"replicas":[1,2],"isr":[1],"elr":[2],)"
        R"("last_known_elr":[]},{"partition":1,"leader":null,"replicas":[2,1],"isr":[]}]})");
}

TEST_CASE("TextTable: columns are as wide as their widest cell, numbers stand to the right") {
  TextTable table({{"TOPIC", TextTable::Align::kLeft}, {"N", TextTable::Align::kRight}});
  table.AddRow(
      {"gr\xC3\xBC\xC3\x9F"
       "e-and-more",
       "1"});
  table.AddRow({"t", "100"});
  CHECK(table.ToString() ==
        "TOPIC             N\n"
        "gr\xC3\xBC\xC3\x9F"
        "e-and-more    1\n"
        "t               100\n");
}

}  // namespace millrace
