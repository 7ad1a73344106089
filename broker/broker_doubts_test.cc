#include "broker/broker_doubts.h"

#include <catch2/catch.hpp>

using namespace millrace;  // NOLINT

TEST_CASE("BrokerDoubts: who broke is doubtful for a moment, as that registration only") {
  auto image = [](int64_t epoch) {
    BrokerImage broker;
    broker.id = BrokerId(2);
    broker.epoch = BrokerEpoch(epoch);
    return broker;
  };
  BrokerDoubts doubts;
  const Instant now = Instant(0) + seconds(1);
  CHECK_FALSE(doubts.HasAny(now));
  doubts.OnBroken(BrokerId(2), BrokerEpoch(5), now);
  const BrokerImage five = image(5);
  const BrokerImage six = image(6);
  CHECK(doubts.HasAny(now + milliseconds(100)));
  CHECK_FALSE(doubts.HasAny(now + BrokerDoubts::kDoubtMax));
  CHECK(doubts.IsDoubtful(five, now + milliseconds(100)));
  CHECK_FALSE(doubts.IsDoubtful(six, now + milliseconds(100)));
  CHECK_FALSE(doubts.IsDoubtful(five, now + BrokerDoubts::kDoubtMax));
  BrokerImage going = five;
  going.in_controlled_shutdown = true;
  CHECK_FALSE(doubts.IsDoubtful(going, now));
  BrokerImage other = five;
  other.id = BrokerId(3);
  CHECK_FALSE(doubts.IsDoubtful(other, now));
  doubts.OnStream(BrokerId(2), BrokerEpoch(4));  // Another life of it.
  CHECK(doubts.IsDoubtful(five, now));
  doubts.OnStream(BrokerId(2), BrokerEpoch(5));
  CHECK_FALSE(doubts.IsDoubtful(five, now));
}
