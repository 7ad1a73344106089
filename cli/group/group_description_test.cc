#include "cli/group/group_description.h"

#include <catch2/catch.hpp>

#include "cli/kafka/kafka_group_text.h"

namespace millrace {
namespace {

TopicPartition At(std::string topic, int32_t partition) {
  return {std::move(topic), PartitionId(partition)};
}

// "a" reads one partition and "b" two; t-3 is read by nobody.
GroupDescription Billing() {
  GroupDetails group{"billing", "Stable", "consumer", "range", BrokerId(1), {}};
  group.members.push_back({"a-1", std::nullopt, "a", "/10.0.0.1", {At("t", 0)}});
  group.members.push_back({"b-1", "b-static", "b", "/10.0.0.2", {At("t", 1), At("u", 0)}});
  CommittedPositions committed;
  committed[At("t", 0)].offset = Offset(7);
  committed[At("t", 3)].offset = Offset(1);
  std::vector<GroupPartition> partitions = PartitionsOf(group, committed);
  for (GroupPartition& one : partitions) one.log_end = Offset(10);
  return {std::move(group), "one:9092", std::move(partitions)};
}

}  // namespace

TEST_CASE("GroupDescription: partitions of members come first, the larger parts before others") {
  const GroupDescription billing = Billing();
  std::string order;
  for (const GroupPartition& one : billing.partitions) order += one.place.ToString() + " ";
  CHECK(order == "t-1 u-0 t-0 t-3 ");
  CHECK(billing.partitions[0].member == size_t{1});
  CHECK(!billing.partitions[3].member.has_value());
}

TEST_CASE("GroupDescription: lag is what lies between position and end, where both are known") {
  GroupDescription billing = Billing();
  CHECK(billing.partitions[2].lag() == 3);
  CHECK(!billing.partitions[0].lag().has_value());  // No position.
  CHECK(billing.total_lag() == 3 + 9);
  CHECK(GroupText(billing, false).find("TOTAL-LAG    12\n") != std::string::npos);
  // What the group is to read and has no position in does not count.
  billing.partitions[0].log_end.reset();
  CHECK(billing.total_lag() == 12);
  // The end of one that it has a position in may be anywhere.
  billing.partitions[3].log_end.reset();
  CHECK(!billing.total_lag().has_value());
  CHECK(GroupText(billing, false).find("TOTAL-LAG    -\n") != std::string::npos);
  JsonWriter json;
  GroupJson(billing, json);
  CHECK(json.text().find("\"total_lag\":null") != std::string::npos);
}

TEST_CASE(
    "GroupDescription: it is as late as its latest partition, if it is known how late each is") {
  GroupDescription billing = Billing();
  CHECK(!billing.age_max().has_value());
  billing.partitions[3].age = milliseconds(12'345);
  CHECK(!billing.age_max().has_value());
  CHECK(GroupText(billing, false).find("LAG-SECONDS  -\n") != std::string::npos);
  billing.partitions[2].age = milliseconds(1);
  CHECK(billing.age_max() == milliseconds(12'345));
  CHECK(GroupText(billing, false).find("LAG-SECONDS  12.3\n") != std::string::npos);
  JsonWriter json;
  GroupJson(billing, json);
  CHECK(json.text().find("\"lag_ms_max\":12345") != std::string::npos);
  CHECK(json.text().find("\"lag_ms\":null") != std::string::npos);
  // Of what is read to its end nothing waits.
  billing.partitions[3].committed = Offset(10);
  CHECK(billing.age_max() == milliseconds(1));
  billing.partitions[2].log_end.reset();
  CHECK(!billing.age_max().has_value());
  billing.partitions.clear();
  CHECK(!billing.age_max().has_value());
  CHECK(billing.total_lag() == 0);
}

TEST_CASE("GroupDescription: assignments in a line") {
  CHECK(AssignmentText({}) == "-");
  CHECK(AssignmentText({At("t", 0), At("t", 2), At("u", 1)}) == "t:0,2;u:1");
}

TEST_CASE("KafkaGroupText: columns are as wide as Kafka's, and nothing is cut off") {
  const std::string text = KafkaOffsetsText(Billing(), false);
  CHECK(
      text.starts_with("\nGROUP           TOPIC           PARTITION  CURRENT-OFFSET  "
                       "LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            "
                       "CLIENT-ID\nbilling         t               1          -               10 "
                       "             -               b-1             /10.0.0.2       b\n"));
  CHECK(text.ends_with("-               -               -\n"));
  GroupDescription nothing = Billing();
  nothing.partitions.clear();
  CHECK(KafkaOffsetsText(nothing, false).empty());
  CHECK(
      KafkaMembersText(Billing().group, false)
          .starts_with("\nGROUP           CONSUMER-ID     GROUP-INSTANCE-ID HOST            "
                       "CLIENT-ID       #PARTITIONS     \nbilling         a-1                     "
                       "          /10.0.0.1       a               1               \n"));
  CHECK(KafkaGroupType("classic") == "Classic");
  CHECK(KafkaGroupType("") == "Unknown");
}

}  // namespace millrace
