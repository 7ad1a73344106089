#include "controller/session/session_message.h"

#include <catch2/catch.hpp>

using namespace millrace;           // NOLINT
using namespace millrace::session;  // NOLINT

namespace {

BrokerImage SomeBroker() {
  BrokerImage broker;
  broker.id = BrokerId(3);
  broker.incarnation = IncarnationId(1, 2);
  broker.endpoints = {{"PLAINTEXT", "host", 9092, "PLAINTEXT"}};
  broker.rack = "r";
  broker.log_directories = {{DirectoryId(5, 6), true, true}};
  return broker;
}

template <typename Message>
Message ThroughTheWire(const Message& message) {
  if constexpr (std::is_constructible_v<ToController, Message>) {
    absl::StatusOr<ToController> read = DecodeToController(Encode(ToController(message)));
    REQUIRE(read.ok());
    return std::get<Message>(*read);
  } else {
    absl::StatusOr<ToBroker> read = DecodeToBroker(Encode(ToBroker(message)));
    REQUIRE(read.ok());
    return std::get<Message>(*read);
  }
}

}  // namespace

TEST_CASE("SessionMessage: a registration says who the broker is and what it has") {
  Register read = ThroughTheWire(Register{SomeBroker(), BrokerEpoch(7), true, RaftIndex(12)});
  CHECK(read.broker.id == BrokerId(3));
  CHECK(read.broker.incarnation == IncarnationId(1, 2));
  CHECK(read.broker.endpoints == SomeBroker().endpoints);
  CHECK(read.broker.rack == "r");
  CHECK(read.broker.log_directories == SomeBroker().log_directories);
  CHECK(read.previous_epoch == BrokerEpoch(7));
  CHECK(read.wants_metadata);
  CHECK(read.applied == RaftIndex(12));
  Register bare = ThroughTheWire(Register{.broker = SomeBroker()});
  CHECK_FALSE(bare.previous_epoch.has_value());
  CHECK_FALSE(bare.applied.has_value());
}

TEST_CASE("SessionMessage: a heartbeat carries state and testimony") {
  Heartbeat read = ThroughTheWire(Heartbeat{.epoch = BrokerEpoch(4),
                                            .sequence = 9,
                                            .applied = RaftIndex(11),
                                            .wants_fence = true,
                                            .wants_shutdown = true,
                                            .offline_directories = {DirectoryId(8, 9)},
                                            .lost_peers = {BrokerId(2), BrokerId(5)},
                                            .found_peers = {BrokerId(7)},
                                            .full_directories = {DirectoryId(3, 4)},
                                            .slow_directories = {DirectoryId(5, 6)}});
  CHECK(read.epoch == BrokerEpoch(4));
  CHECK(read.sequence == 9);
  CHECK(read.applied == RaftIndex(11));
  CHECK(read.wants_fence);
  CHECK(read.wants_shutdown);
  CHECK(read.offline_directories == std::vector{DirectoryId(8, 9)});
  CHECK(read.lost_peers == std::vector{BrokerId(2), BrokerId(5)});
  CHECK(read.found_peers == std::vector{BrokerId(7)});
  CHECK(read.full_directories == std::vector{DirectoryId(3, 4)});
  CHECK(read.slow_directories == std::vector{DirectoryId(5, 6)});
  // As from a broker that knows of none.
  CHECK(ThroughTheWire(Heartbeat{.epoch = BrokerEpoch(4)}).slow_directories.empty());
}

TEST_CASE("SessionMessage: a request keeps its client's identity, and an answer its bytes") {
  Request request{.id = 5,
                  .api_key = 19,
                  .api_version = 7,
                  .correlation_id = -3,
                  .client_id = "",
                  .body = std::string("\0\xff", 2),
                  .principal = "User:a",
                  .listener = "EXTERNAL",
                  .controller_listener = true,
                  .client = {"10.0.0.1", 65535},
                  .local = {"::1", 1}};
  Request read = ThroughTheWire(request);
  CHECK(read.id == 5);
  CHECK(read.api_key == 19);
  CHECK(read.api_version == 7);
  CHECK(read.correlation_id == -3);
  CHECK(read.client_id == "");
  CHECK(read.body == request.body);
  CHECK(read.principal == "User:a");
  CHECK(read.listener == "EXTERNAL");
  CHECK(read.controller_listener);
  CHECK(read.client == request.client);
  CHECK(read.local == request.local);
  request.client_id = std::nullopt;
  CHECK_FALSE(ThroughTheWire(request).client_id.has_value());

  Response answer = ThroughTheWire(Response{5, Result::kClose, "", std::nullopt, "why"});
  CHECK(answer.result == Result::kClose);
  CHECK(answer.why == "why");
  CHECK_FALSE(answer.index.has_value());
  answer = ThroughTheWire(Response{6, Result::kAnswered, "bytes", RaftIndex(3), ""});
  CHECK(answer.frame == "bytes");
  CHECK(answer.index == RaftIndex(3));
}

TEST_CASE("SessionMessage: what a controller says") {
  Redirect redirect =
      ThroughTheWire(Redirect{BrokerId(2), {{"CONTROLLER", "c2", 9093, "PLAINTEXT"}}});
  CHECK(redirect.leader == BrokerId(2));
  CHECK(redirect.endpoints.front().port == 9093);
  CHECK_FALSE(ThroughTheWire(Redirect{}).leader.has_value());
  CHECK(ThroughTheWire(Refused{"no", true}).for_good);
  CHECK(ThroughTheWire(Registered{BrokerEpoch(8), RaftTerm(2)}).epoch == BrokerEpoch(8));
  CHECK(ThroughTheWire(HeartbeatReply{4, true, true}).may_shut_down);
  Entries entries = ThroughTheWire(Entries{{{RaftIndex(1), "a"}, {RaftIndex(3), ""}}});
  REQUIRE(entries.items.size() == 2);
  CHECK(entries.items[1].index == RaftIndex(3));
  SnapshotPiece piece = ThroughTheWire(SnapshotPiece{RaftIndex(9), true, false, "p"});
  CHECK(piece.first);
  CHECK_FALSE(piece.last);
  CHECK(piece.piece == "p");
}

TEST_CASE("SessionMessage: bytes of a peer never break anything") {
  CHECK(absl::IsInvalidArgument(DecodeToController("").status()));
  CHECK(absl::IsInvalidArgument(DecodeToBroker("").status()));
  CHECK(absl::IsInvalidArgument(DecodeToController("\xff\xff").status()));
  CHECK(absl::IsInvalidArgument(DecodeToBroker("\xff\xff").status()));
  // A registration without a broker.
  CHECK(absl::IsInvalidArgument(DecodeToController(std::string("\x0a\x00", 2)).status()));
  const std::string whole = Encode(ToController(Register{.broker = SomeBroker()}));
  for (size_t i = 0; i < whole.size(); ++i) (void)DecodeToController(whole.substr(0, i));
}
