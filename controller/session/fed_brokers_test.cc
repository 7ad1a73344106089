#include "controller/session/fed_brokers.h"

#include <catch2/catch.hpp>

using namespace millrace;  // NOLINT

namespace {

struct Story {
  void Heard(int32_t id, int64_t applied, int64_t end, int64_t at, uint64_t directory = 1) {
    brokers.Heard(BrokerId(id), DirectoryId(7, directory), RaftIndex(applied), RaftIndex(end),
                  Instant(0) + seconds(at), Timestamp(at * 1000));
  }
  std::vector<FedBroker> List(int64_t at) { return brokers.List(Instant(0) + seconds(at)); }
  FedBroker One(int64_t at) {
    const std::vector<FedBroker> list = List(at);
    REQUIRE(list.size() == 1);
    return list.front();
  }
  FedBrokers brokers;
};

}  // namespace

TEST_CASE("FedBrokers: a broker with everything has caught up, and one that falls behind had") {
  Story story;
  story.Heard(4, 10, 10, 1);
  CHECK(story.One(1).applied == RaftIndex(10));
  CHECK(story.One(1).heard == Timestamp(1000));
  CHECK(story.One(1).caught_up == Timestamp(1000));
  // It has now what there was then.
  story.Heard(4, 10, 25, 2);
  CHECK(story.One(2).heard == Timestamp(2000));
  CHECK(story.One(2).caught_up == Timestamp(1000));
  // Always one heartbeat behind: it keeps up.
  story.Heard(4, 25, 40, 3);
  CHECK(story.One(3).caught_up == Timestamp(2000));
  // It does not get on any more.
  story.Heard(4, 25, 50, 4);
  CHECK(story.One(4).heard == Timestamp(4000));
  CHECK(story.One(4).caught_up == Timestamp(2000));
}

TEST_CASE("FedBrokers: one that never had everything never caught up") {
  Story story;
  story.Heard(4, 3, 10, 1);
  story.Heard(4, 9, 20, 2);
  CHECK(story.One(2).applied == RaftIndex(9));
  CHECK_FALSE(story.One(2).caught_up.has_value());
}

TEST_CASE("FedBrokers: nobody is told to have more than there is, or less than nothing") {
  Story story;
  story.Heard(4, 1'000'000, 10, 1);
  CHECK(story.One(1).applied == RaftIndex(10));
  story.Heard(4, -7, 10, 2);
  CHECK(story.One(2).applied == RaftIndex(0));
}

TEST_CASE("FedBrokers: who is silent for five minutes is told no more, and a wiped one at once") {
  Story story;
  story.Heard(5, 10, 10, 1);
  story.Heard(4, 10, 10, 200);
  REQUIRE(story.List(301).size() == 2);
  CHECK(story.List(301).front().id == BrokerId(4));
  REQUIRE(story.List(302).size() == 1);
  CHECK(story.List(302).front().id == BrokerId(4));
  story.Heard(4, 0, 10, 303, /*directory=*/2);
  CHECK(story.One(303).directory == DirectoryId(7, 2));
  CHECK_FALSE(story.One(303).caught_up.has_value());
  story.brokers.Clear();
  CHECK(story.List(303).empty());
}
