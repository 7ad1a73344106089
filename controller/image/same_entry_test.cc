#include "controller/image/same_entry.h"

#include <catch2/catch.hpp>
#include <utility>

namespace millrace {
namespace {

MetadataEntry Of(MetadataRecord record) { return {RaftTerm(1), Timestamp(2), {std::move(record)}}; }

BrokerChangeRecord Fenced(std::optional<bool> fenced) {
  BrokerChangeRecord change{BrokerId(1), BrokerEpoch(2)};
  change.fenced = fenced;
  return change;
}

PartitionRecord Recovering(LeaderRecovery recovery) {
  PartitionRecord record{TopicId(1, 1), PartitionId(0), {}};
  record.state.recovery = recovery;
  return record;
}

}  // namespace

TEST_CASE("SameEntry: entries differ by kind, by any field, by order and by number of records") {
  const std::vector<MetadataEntry> all = {
      Of(NoOpRecord()),
      Of(Fenced(std::nullopt)),
      Of(Fenced(false)),
      Of(Recovering(LeaderRecovery::kRecovered)),
      Of(Recovering(LeaderRecovery::kRecovering)),
      Of(ConfigRecord{ConfigResource::kTopic, "t", "k", std::nullopt}),
      Of(ConfigRecord{ConfigResource::kTopic, "t", "k", ""}),
      {RaftTerm(2), Timestamp(2), {NoOpRecord()}},
      {RaftTerm(1), Timestamp(3), {NoOpRecord()}},
      {RaftTerm(1), Timestamp(2), {}},
      {RaftTerm(1), Timestamp(2), {NoOpRecord(), ProducerIdsRecord{7}}},
      {RaftTerm(1), Timestamp(2), {ProducerIdsRecord{7}, NoOpRecord()}},
  };
  for (size_t a = 0; a < all.size(); ++a) {
    for (size_t b = 0; b < all.size(); ++b) {
      CAPTURE(a, b);
      CHECK(SameEntry(all[a], all[b]) == (a == b));
    }
  }
}

}  // namespace millrace
