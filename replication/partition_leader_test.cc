#include "replication/partition_leader.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>

namespace millrace {
namespace {

constexpr BrokerId n1(1), n2(2), n3(3);
constexpr Instant kStart(1'000'000'000);

PartitionAssignment Assigned(const std::set<BrokerId>& isr, int32_t partition_epoch = 0) {
  PartitionAssignment assignment;
  assignment.leader = n1;
  assignment.leader_epoch = LeaderEpoch(7);
  assignment.partition_epoch = PartitionEpoch(partition_epoch);
  for (BrokerId id : {n1, n2, n3}) {
    assignment.replicas.push_back({.broker = id,
                                   .epoch = BrokerEpoch(10 * id.value()),
                                   .in_isr = isr.contains(id),
                                   .active = true});
  }
  return assignment;
}

ReplicaEnds Ends(int64_t end) { return {Offset(0), Offset(end), Offset(end)}; }

struct Led {
  explicit Led(const std::set<BrokerId>& isr, size_t isr_min = 1, int64_t hw = 0, int64_t end = 0)
      : leader(n1, Assigned(isr), {Offset(0), Offset(hw), Offset(end), isr_min}, kStart, {}) {}
  PartitionLeader::Output Own(int64_t end) { return Keep(leader.OnOwnEnd(Offset(end), now)); }
  PartitionLeader::Output Agreed(BrokerId id, int64_t end) {
    return Keep(*leader.OnFollowerAgreed(id, BrokerEpoch(10 * id.value()), Ends(end), now));
  }
  PartitionLeader::Output Has(BrokerId id, int64_t end) {
    return Keep(*leader.OnFollowerProgress(id, BrokerEpoch(10 * id.value()), Ends(end), now));
  }
  PartitionLeader::Output Keep(PartitionLeader::Output output) {
    if (output.propose.has_value()) proposal = output.propose;
    return output;
  }
  PartitionLeader::Output Commit() {
    CommittedIsr committed{
        leader.leader_epoch(), PartitionEpoch(leader.partition_epoch().value() + 1), {}};
    for (const IsrMember& member : proposal->isr) committed.isr.push_back(member.broker);
    return Keep(leader.OnIsrOutcome(*std::exchange(proposal, std::nullopt), committed, now));
  }

  Instant now = kStart;
  PartitionLeader leader;
  std::optional<IsrProposal> proposal;
};

}  // namespace

TEST_CASE("PartitionLeader: alone, a replica's own end is the high watermark") {
  Led led({n1}, 1, 5, 5);
  CHECK(led.Own(9).high_watermark_moved);
  CHECK(led.leader.high_watermark() == Offset(9));
  CHECK_FALSE(led.Own(7).high_watermark_moved);
  CHECK(led.leader.high_watermark() == Offset(9));
}

TEST_CASE("PartitionLeader: the slowest member of the ISR holds the high watermark") {
  Led led({n1, n2, n3}, 2);
  CHECK_FALSE(led.Own(10).high_watermark_moved);
  CHECK_FALSE(led.Agreed(n2, 8).high_watermark_moved);  // n3 has not been heard of.
  CHECK(led.Agreed(n3, 3).high_watermark_moved);
  CHECK(led.leader.high_watermark() == Offset(3));
}

TEST_CASE("PartitionLeader: below min.insync.replicas nothing commits (KIP-966)") {
  Led led({n1}, 2, 3, 3);
  CHECK_FALSE(led.Own(9).high_watermark_moved);
  CHECK(led.leader.high_watermark() == Offset(3));
  CHECK_FALSE(led.Agreed(n2, 8).high_watermark_moved);
  CHECK(led.Commit().high_watermark_moved);
  CHECK(led.leader.high_watermark() == Offset(8));
}

TEST_CASE(
    "PartitionLeader: who was taken out of the ISR is not waited for until it is heard again") {
  Led led({n1, n2, n3}, 2);
  led.Own(10);
  led.Agreed(n2, 10);
  led.Agreed(n3, 4);
  CHECK(led.leader.high_watermark() == Offset(4));
  // Its log directory failed.
  CHECK(led.Keep(led.leader.OnAssignment(Assigned({n1, n2}, 1), 2, led.now)).high_watermark_moved);
  CHECK(led.leader.high_watermark() == Offset(10));
  led.Own(12);
  led.Has(n3, 10);  // It comes back, and is about to join.
  led.Has(n2, 12);
  CHECK(led.leader.high_watermark() == Offset(10));
}

TEST_CASE(
    "PartitionLeader: who gives its subscription up outside the ISR is neither waited for nor "
    "proposed") {
  Led led({n1, n2}, 1);
  led.Own(10);
  led.Agreed(n2, 10);
  led.Agreed(n3, 10);
  REQUIRE(led.proposal.has_value());
  const auto refuse = [&led](IsrProposal proposal) {
    return led.Keep(
        led.leader.OnIsrOutcome(proposal, std::unexpected(IsrRefusal::kGivenUp), led.now));
  };
  refuse(*std::exchange(led.proposal, std::nullopt));
  led.Own(12);
  led.Has(n2, 12);
  CHECK(led.leader.high_watermark() == Offset(10));  // It was caught up a moment ago.
  // Its log directory is full.
  CHECK(led.Keep(led.leader.OnFollowerGone(n3, BrokerEpoch(30), led.now)).high_watermark_moved);
  CHECK(led.leader.high_watermark() == Offset(12));
  led.now = led.now + seconds(5);
  led.Keep(led.leader.OnTime(led.now));
  CHECK_FALSE(led.proposal.has_value());
  // There is room again.
  led.Agreed(n3, 12);
  CHECK(led.proposal.has_value());
  // In the ISR it counts until the controller has said otherwise.
  led.Keep(led.leader.OnFollowerGone(n2, BrokerEpoch(20), led.now));
  led.Own(14);
  led.Has(n3, 14);
  CHECK(led.leader.high_watermark() == Offset(12));
}

TEST_CASE("PartitionLeader: who is refused keeps nobody who lags in the ISR") {
  Led led({n1, n2}, 1);
  led.Own(10);
  led.Agreed(n2, 10);
  led.Agreed(n3, 10);
  REQUIRE(led.proposal.has_value());
  led.Keep(led.leader.OnIsrOutcome(*std::exchange(led.proposal, std::nullopt),
                                   std::unexpected(IsrRefusal::kGivenUp), led.now));
  led.Own(12);
  led.now = led.now + seconds(31);
  led.Has(n3, 12);  // And n2 has not.
  REQUIRE(led.proposal.has_value());
  CHECK(DescribeIsr(*led.proposal) == "1");
  led.Commit();
  CHECK(led.leader.high_watermark() == Offset(12));
  REQUIRE(led.proposal.has_value());
  CHECK(DescribeIsr(*led.proposal) == "1,3");
}

TEST_CASE("PartitionLeader: who is refused again and again is proposed ever more seldom") {
  Led led({n1, n2}, 1);
  led.Own(10);
  led.Agreed(n2, 10);
  led.Agreed(n3, 10);
  int proposals = 0;
  for (int tenths = 0; tenths < 600; ++tenths) {
    if (led.proposal.has_value()) {
      ++proposals;
      led.Keep(led.leader.OnIsrOutcome(*std::exchange(led.proposal, std::nullopt),
                                       std::unexpected(IsrRefusal::kGivenUp), led.now));
    }
    led.now = led.now + milliseconds(100);
    const std::optional<Instant> due = led.leader.Due(led.now);
    REQUIRE(due.has_value());
    CHECK(*due <= led.now + seconds(8));
    if (*due <= led.now) led.Keep(led.leader.OnTime(led.now));
  }
  CHECK(proposals > 8);
  CHECK(proposals < 14);
  CHECK(led.leader.is_refused_again());
  while (!led.proposal.has_value()) {
    led.now = led.now + milliseconds(100);
    led.Keep(led.leader.OnTime(led.now));
  }
  led.Commit();
  CHECK_FALSE(led.leader.is_refused_again());
}

TEST_CASE("PartitionLeader: whom the high watermark waits for is awaited, and nobody else") {
  Led led({n1, n2}, 1);
  led.Own(10);
  CHECK(led.leader.Awaits(n2, led.now));  // In the ISR, wherever it is.
  CHECK_FALSE(led.leader.Awaits(n3, led.now));
  CHECK_FALSE(led.leader.Awaits(BrokerId(77), led.now));
  led.Agreed(n2, 10);
  led.Agreed(n3, 4);  // It is coming.
  CHECK_FALSE(led.leader.Awaits(n3, led.now));
  led.Has(n3, 10);  // It has everything, so it is proposed.
  led.Own(12);
  CHECK(led.leader.Awaits(n3, led.now));
  CHECK(led.leader.high_watermark() == Offset(10));
  // The controller refuses. It was caught up a moment ago, and may be so again.
  const IsrProposal proposal = *std::exchange(led.proposal, std::nullopt);
  led.Keep(led.leader.OnIsrOutcome(proposal, std::unexpected(IsrRefusal::kGivenUp), led.now));
  CHECK(led.leader.Awaits(n3, led.now));
  led.now = led.now + seconds(60);
  led.Has(n2, 12);
  CHECK_FALSE(led.leader.Awaits(n3, led.now));
  CHECK(led.leader.high_watermark() == Offset(12));
}

}  // namespace millrace
