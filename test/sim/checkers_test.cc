#include "test/sim/checkers.h"

#include <catch2/catch.hpp>

namespace millrace::simtest {
namespace {

const TopicPartition kPartition{"topic", 0};

template <typename C>
bool Holds(C& checker) {
  checker.AtEnd();
  return checker.violations().empty();
}

ReadRecord Record(int64_t offset, int producer, uint64_t number, int32_t sequence = -1) {
  return {offset, {producer, number}, sequence < 0 ? -1 : 7, 0, sequence};
}

}  // namespace

TEST_CASE("SentValue: reads what producers write, padding included, and nothing else") {
  REQUIRE(ParseSentValue("3/14....") == SentValue{3, 14});
  REQUIRE_FALSE(ParseSentValue("3/14x").has_value());
  REQUIRE_FALSE(ParseSentValue("3").has_value());
  REQUIRE_FALSE(ParseSentValue("").has_value());
}

TEST_CASE("AcknowledgedIsReadable: notices a lost, a changed and an unreadable record") {
  AcknowledgedIsReadable fine;
  fine.OnAcknowledged(kPartition, 0, {1, 1});
  fine.OnFinalLog(0, kPartition, {Record(0, 1, 1), Record(1, 1, 2)});
  REQUIRE(Holds(fine));

  AcknowledgedIsReadable lost;
  lost.OnAcknowledged(kPartition, 1, {1, 2});
  lost.OnFinalLog(0, kPartition, {Record(0, 1, 1)});
  REQUIRE_FALSE(Holds(lost));

  AcknowledgedIsReadable changed;
  changed.OnAcknowledged(kPartition, 0, {1, 2});
  changed.OnFinalLog(0, kPartition, {Record(0, 1, 1)});
  REQUIRE_FALSE(Holds(changed));

  AcknowledgedIsReadable unread;
  unread.OnAcknowledged(kPartition, 0, {1, 1});
  REQUIRE_FALSE(Holds(unread));
}

TEST_CASE("OneValuePerOffset: notices an offset that is given twice") {
  OneValuePerOffset checker;
  checker.OnRead(1, kPartition, Record(5, 1, 1));
  checker.OnRead(2, kPartition, Record(5, 1, 1));
  REQUIRE(Holds(checker));
  checker.OnAcknowledged(kPartition, 5, {2, 1});
  REQUIRE_FALSE(Holds(checker));
}

TEST_CASE("OneOffsetPerValue: notices a retry that was appended again") {
  OneOffsetPerValue checker;
  checker.OnAcknowledged(kPartition, 3, {1, 1});
  checker.OnFinalLog(0, kPartition, {Record(3, 1, 1)});
  REQUIRE(Holds(checker));
  checker.OnFinalLog(0, kPartition, {Record(3, 1, 1), Record(4, 1, 1)});
  REQUIRE_FALSE(Holds(checker));
}

TEST_CASE("HighWatermarkNeverRegresses: notices a step back, per consumer") {
  HighWatermarkNeverRegresses checker;
  checker.OnHighWatermark(1, kPartition, 5);
  checker.OnHighWatermark(2, kPartition, 3);
  REQUIRE(Holds(checker));
  checker.OnHighWatermark(1, kPartition, 4);
  REQUIRE_FALSE(Holds(checker));
}

TEST_CASE("WhatWasReadStays: notices a record that was read and is gone") {
  WhatWasReadStays checker;
  checker.OnRead(1, kPartition, Record(0, 1, 1));
  checker.OnFinalLog(0, kPartition, {});
  REQUIRE_FALSE(Holds(checker));
}

TEST_CASE("OnlyWhatWasSentIsRead: notices an invented record") {
  OnlyWhatWasSentIsRead checker;
  checker.OnSent(kPartition, {1, 1});
  checker.OnRead(1, kPartition, Record(0, 1, 1));
  REQUIRE(Holds(checker));
  checker.OnRead(1, kPartition, Record(1, 1, 2));
  REQUIRE_FALSE(Holds(checker));
}

TEST_CASE("ReadsAreMonotonic: notices skips and repeats, and knows seeks") {
  ReadsAreMonotonic checker;
  checker.OnRead(1, kPartition, Record(0, 1, 1));
  checker.OnRead(1, kPartition, Record(1, 1, 2));
  checker.OnSeek(1, kPartition, 0);
  checker.OnRead(1, kPartition, Record(0, 1, 1));
  REQUIRE(Holds(checker));
  checker.OnRead(1, kPartition, Record(2, 1, 3));
  REQUIRE_FALSE(Holds(checker));
}

TEST_CASE("ReplicasAreIdentical: notices a replica that is shorter") {
  ReplicasAreIdentical checker;
  checker.OnFinalLog(1, kPartition, {Record(0, 1, 1)});
  checker.OnFinalLog(2, kPartition, {Record(0, 1, 1)});
  REQUIRE(Holds(checker));
  checker.OnFinalLog(3, kPartition, {});
  REQUIRE_FALSE(Holds(checker));
}

TEST_CASE("NoDuplicatePerSequence: notices a sequence that is there twice") {
  NoDuplicatePerSequence checker;
  checker.OnFinalLog(0, kPartition, {Record(0, 1, 1, 0), Record(1, 1, 2, 1)});
  REQUIRE(Holds(checker));
  checker.OnFinalLog(0, kPartition, {Record(0, 1, 1, 0), Record(1, 1, 2, 0)});
  REQUIRE_FALSE(Holds(checker));
}

TEST_CASE("ProducerOrderIsKept: notices two records that changed places") {
  ProducerOrderIsKept checker;
  checker.OnFinalLog(0, kPartition, {Record(0, 1, 1), Record(1, 2, 1), Record(2, 1, 2)});
  REQUIRE(Holds(checker));
  checker.OnFinalLog(0, kPartition, {Record(0, 1, 2), Record(1, 1, 1)});
  REQUIRE_FALSE(Holds(checker));
}

TEST_CASE("OneOwnerPerGeneration: notices a partition that two have, and not one that moved") {
  OneOwnerPerGeneration checker;
  checker.OnAssigned(1, "a", kPartition);
  checker.OnAssigned(1, "a", kPartition);
  checker.OnAssigned(2, "b", kPartition);
  REQUIRE(Holds(checker));
  checker.OnAssigned(2, "a", kPartition);
  REQUIRE_FALSE(Holds(checker));
}

TEST_CASE("StaleGenerationCommitsNothing: notices who commits after its generation has ended") {
  StaleGenerationCommitsNothing checker;
  checker.OnAssigned(3, "a", kPartition);
  checker.OnCommitSent(kPartition, 1, 3);
  checker.OnAssigned(4, "b", kPartition);
  checker.OnCommitAcknowledged(kPartition, 1);  // It was under way when the next one began.
  checker.OnCommitSent(kPartition, 2, 3);       // Refused, as far as anybody knows.
  checker.OnCommitSent(kPartition, 3, 4);
  checker.OnCommitAcknowledged(kPartition, 3);
  REQUIRE(Holds(checker));
  checker.OnCommitAcknowledged(kPartition, 2);
  REQUIRE_FALSE(Holds(checker));
}

TEST_CASE("CommittedPositionNeverGoesBack: notices what was lost, and what nobody committed") {
  CommittedPositionNeverGoesBack lost;
  lost.OnCommitSent(kPartition, 1, 1);
  lost.OnCommitSent(kPartition, 2, 1);
  lost.OnPositionTold(kPartition, 2, 1);
  REQUIRE(Holds(lost));
  lost.OnPositionTold(kPartition, 1, 2);
  REQUIRE_FALSE(Holds(lost));
  CommittedPositionNeverGoesBack made_up;
  made_up.OnPositionTold(kPartition, -1, -1);
  REQUIRE(Holds(made_up));
  made_up.OnPositionTold(kPartition, 7, -1);
  REQUIRE_FALSE(Holds(made_up));
}

}  // namespace millrace::simtest
