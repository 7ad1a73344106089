#include "broker/control/controller_link.h"

#include <catch2/catch.hpp>
#include <deque>
#include <map>
#include <set>

#include "common/error_kind.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "controller/transport/loopback_stream.h"

using namespace millrace;  // NOLINT

namespace {

constexpr BrokerId kSelf(7);

class FakeBroker final : public LinkedBroker {
 public:
  session::Register Registration() const override {
    session::Register message;
    message.broker.id = kSelf;
    message.wants_metadata = true;
    message.applied = applied;
    return message;
  }
  std::optional<RaftIndex> Applied() const override { return applied; }
  std::optional<BrokerId> KnownController() const override { return std::nullopt; }
  std::unique_ptr<MessageStream> DialSelf(StreamHello) override { return nullptr; }
  absl::Status OnEntries(const session::Entries& entries) override {
    for (const auto& item : entries.items) seen.push_back(item.entry);
    return absl::OkStatus();
  }
  absl::Status OnSnapshot(RaftIndex, std::vector<std::string> pieces) override {
    for (std::string& piece : pieces) seen.push_back("snapshot " + piece);
    return absl::OkStatus();
  }

  void OnHeartbeat(Instant sent) override { heard.push_back(sent); }

  std::optional<RaftIndex> applied;
  std::vector<std::string> seen;
  std::vector<Instant> heard;  // When heartbeats had left that were answered.
};

// Controllers by port; the test plays them.
class FakeControllers final : public StreamDialer {
 public:
  explicit FakeControllers(Env& env) : env_(env) {}
  ~FakeControllers() override = default;

  Task<absl::StatusOr<std::unique_ptr<MessageStream>>> Dial(SocketAddress address,
                                                            StreamHello hello, Instant) override {
    ++dials[address.port];
    if (!up.contains(address.port)) co_return absl::UnavailableError("refused");
    LoopbackStreams streams =
        MakeLoopbackStreams(env_.reactor, std::move(hello),
                            {.from = BrokerId(address.port), .from_directory = std::nullopt});
    accepted.emplace_back(address.port, std::move(streams.acceptor));
    co_return std::move(streams.dialer);
  }

  std::set<uint16_t> up;
  std::map<uint16_t, int> dials;
  std::deque<std::pair<uint16_t, std::unique_ptr<MessageStream>>> accepted;

 private:
  Env& env_;
};

struct World {
  World() {
    options.self = kSelf;
    options.cluster_id = "c";
    options.controller_listener = "CONTROLLER";
    for (uint16_t port : {1, 2, 3}) {
      options.candidates.push_back({BrokerId(port), {"controller", port}});
    }
    link = std::make_unique<ControllerLink>(env, broker, controllers, options);
  }
  ~World() {
    world.Run(env, link->Stop());
    for (auto& [port, stream] : controllers.accepted) world.Run(env, stream->Close());
  }

  // The newest stream, once there is one more than `known`.
  MessageStream& Accepted(size_t number) {
    REQUIRE(world.RunUntil([&] { return controllers.accepted.size() >= number; }, seconds(10)));
    return *controllers.accepted[number - 1].second;
  }
  template <typename Message>
  Message Expect(MessageStream& stream) {
    absl::StatusOr<std::string> bytes = world.Run(env, stream.Receive());
    REQUIRE(bytes.ok());
    absl::StatusOr<session::ToController> message = session::DecodeToController(*bytes);
    REQUIRE(message.ok());
    REQUIRE(std::holds_alternative<Message>(*message));
    return std::get<Message>(*std::move(message));
  }
  void Say(MessageStream& stream, session::ToBroker message) {
    REQUIRE(world.Run(env, stream.Send(session::Encode(message))).ok());
  }
  // A stream with a registered broker that has sent its first heartbeat.
  MessageStream& Linked(size_t number) {
    MessageStream& stream = Accepted(number);
    Expect<session::Register>(stream);
    Say(stream, session::Registered{BrokerEpoch(40), RaftTerm(1)});
    last_heartbeat = Expect<session::Heartbeat>(stream);
    return stream;
  }
  Task<void> Ask(Asking asking) {
    answers.push_back(co_await link->Ask(session::Request{.api_key = 19}, asking,
                                         env.reactor.Now() + seconds(5)));
  }

  SimWorld world{1};
  Env& env = world.AddNode("broker").Boot();
  FakeBroker broker;
  FakeControllers controllers{env};
  ControllerLinkOptions options;
  std::unique_ptr<ControllerLink> link;
  session::Heartbeat last_heartbeat;
  std::vector<absl::StatusOr<session::Response>> answers;
};

}  // namespace

TEST_CASE("ControllerLink: registers with whoever is active, and beats at once and then in time") {
  World w;
  w.controllers.up = {2};
  w.link->Start();
  MessageStream& stream = w.Linked(1);
  CHECK(stream.hello().kind == StreamKind::kBroker);
  CHECK(stream.hello().from == kSelf);
  CHECK(stream.hello().to == BrokerId(2));
  CHECK(w.link->epoch() == BrokerEpoch(40));
  CHECK(w.link->fenced());
  CHECK(w.last_heartbeat.wants_fence);
  const Instant before = w.world.Now();
  session::Heartbeat next = w.Expect<session::Heartbeat>(stream);
  CHECK(w.world.Now() - before > milliseconds(900));
  CHECK(next.sequence == w.last_heartbeat.sequence + 1);

  const Instant changed = w.world.Now();
  w.broker.applied = RaftIndex(44);
  w.link->Serve();
  next = w.Expect<session::Heartbeat>(stream);
  CHECK(w.world.Now() - changed < milliseconds(10));
  CHECK_FALSE(next.wants_fence);
  CHECK(next.applied == RaftIndex(44));
  w.Say(stream, session::HeartbeatReply{next.sequence, false, false});
  CHECK(w.world.RunUntil([&] { return !w.link->fenced(); }, seconds(1)));
}

TEST_CASE("ControllerLink: a redirect is followed at once, by the controllers' listener") {
  World w;
  w.controllers.up = {1, 3};
  w.link->Start();
  MessageStream& first = w.Accepted(1);
  w.Expect<session::Register>(first);
  const Instant before = w.world.Now();
  w.Say(first, session::Redirect{BrokerId(3),
                                 {{"OTHER", "controller", 9, "PLAINTEXT"},
                                  {"CONTROLLER", "controller", 3, "PLAINTEXT"}}});
  w.Linked(2);
  CHECK(w.world.Now() - before < milliseconds(10));
  CHECK(w.controllers.accepted[1].first == 3);
  CHECK(w.link->controller() == BrokerId(3));
}

TEST_CASE("ControllerLink: nobody there is asked again with a growing pause, and found when back") {
  World w;
  w.link->Start();
  w.world.RunFor(seconds(10));
  const int dials = w.controllers.dials[1] + w.controllers.dials[2] + w.controllers.dials[3];
  CHECK(dials > 15);
  CHECK(dials < 60);
  w.controllers.up = {1};
  w.Linked(1);
  CHECK(w.link->linked());
}

TEST_CASE("ControllerLink: an answer vouches for when its own heartbeat left, unless fenced") {
  World w;
  w.controllers.up = {2};
  w.link->Start();
  MessageStream& stream = w.Linked(1);
  const Instant first = w.world.Now();
  const uint64_t sequence = w.last_heartbeat.sequence;
  (void)w.Expect<session::Heartbeat>(stream);
  const Instant second = w.world.Now();
  REQUIRE(second - first > milliseconds(900));
  // A late answer to the first one says nothing of the second.
  w.Say(stream, session::HeartbeatReply{.sequence = sequence});
  REQUIRE(w.world.RunUntil([&] { return w.broker.heard.size() == 1; }, milliseconds(100)));
  CHECK(w.broker.heard.back() <= first);
  w.Say(stream, session::HeartbeatReply{.sequence = sequence + 1, .fenced = true});
  (void)w.Expect<session::Heartbeat>(stream);
  CHECK(w.broker.heard.size() == 1);
  w.Say(stream, session::HeartbeatReply{.sequence = sequence + 2});
  REQUIRE(w.world.RunUntil([&] { return w.broker.heard.size() == 2; }, milliseconds(100)));
  CHECK(w.broker.heard.back() > second);
}

TEST_CASE("ControllerLink: a controller that is silent is left") {
  World w;
  w.controllers.up = {1};
  w.link->Start();
  w.Linked(1);
  const Instant before = w.world.Now();
  w.Linked(2);
  CHECK(w.world.Now() - before >= milliseconds(2900));
  CHECK(w.world.Now() - before < milliseconds(4200));
}

TEST_CASE("ControllerLink: a question survives its controller where it may be asked twice") {
  World w;
  w.controllers.up = {1};
  w.link->Start();
  MessageStream& first = w.Linked(1);
  TaskScope asking(w.env.reactor);
  asking.Spawn(w.Ask(Asking::kOnce));
  asking.Spawn(w.Ask(Asking::kRepeatedly));
  const session::Request once = w.Expect<session::Request>(first);
  w.Expect<session::Request>(first);
  first.Shutdown();
  MessageStream& second = w.Linked(2);
  REQUIRE(w.answers.size() == 1);
  CHECK(absl::IsUnavailable(w.answers[0].status()));
  const session::Request again = w.Expect<session::Request>(second);
  CHECK(again.id != once.id);
  w.Say(second, session::Response{.id = again.id, .frame = "answer", .index = RaftIndex(50)});
  REQUIRE(w.world.RunUntil([&] { return w.answers.size() == 2; }, seconds(1)));
  REQUIRE(w.answers[1].ok());
  CHECK(w.answers[1]->frame == "answer");
  w.world.Run(w.env, asking.Join());
}

TEST_CASE("ControllerLink: a question larger than a session carries is refused at once") {
  World w;
  w.controllers.up = {1};
  w.link->Start();
  MessageStream& stream = w.Linked(1);
  const Instant before = w.world.Now();
  const auto ask = [&w](size_t bytes) {
    return w.world.Run(w.env,
                       w.link->Ask(session::Request{.api_key = 19, .body = std::string(bytes, 'x')},
                                   Asking::kRepeatedly, w.env.reactor.Now() + milliseconds(100)));
  };
  CHECK(absl::IsInvalidArgument(ask(session::kForwardedBytesMax + 1).status()));
  CHECK(w.world.Now() - before < milliseconds(10));
  CHECK_FALSE(ask(session::kForwardedBytesMax).ok());  // Sent, and not answered.
  CHECK(w.Expect<session::Request>(stream).body.size() == session::kForwardedBytesMax);
}

TEST_CASE(
    "ControllerLink: who is not the controller is not asked again, and no answer is an error") {
  World w;
  w.controllers.up = {1};
  w.link->Start();
  MessageStream& first = w.Linked(1);
  TaskScope asking(w.env.reactor);
  asking.Spawn(w.Ask(Asking::kOnce));
  const session::Request question = w.Expect<session::Request>(first);
  w.controllers.up = {};
  w.Say(first, session::Response{.id = question.id, .result = session::Result::kNotController});
  w.Say(first, session::Redirect{});
  REQUIRE(w.world.RunUntil([&] { return w.answers.size() == 1; }, seconds(10)));
  CHECK(KindOf(w.answers[0].status()) == ErrorKind::kNotController);
  w.world.Run(w.env, asking.Join());
}

TEST_CASE("ControllerLink: testimony is told until a controller has heard it") {
  World w;
  w.controllers.up = {1};
  w.link->Start();
  MessageStream& first = w.Linked(1);
  w.link->LostPeer(BrokerId(9));
  CHECK(w.Expect<session::Heartbeat>(first).lost_peers == std::vector{BrokerId(9)});
  first.Shutdown();
  MessageStream& second = w.Linked(2);
  CHECK(w.last_heartbeat.lost_peers == std::vector{BrokerId(9)});
  w.Say(second, session::HeartbeatReply{w.last_heartbeat.sequence, true, false});
  CHECK(w.Expect<session::Heartbeat>(second).lost_peers.empty());
}

TEST_CASE("ControllerLink: testimony is taken back when the peer is there again, once") {
  World w;
  w.controllers.up = {1};
  w.link->Start();
  MessageStream& stream = w.Linked(1);
  w.link->FoundPeer(BrokerId(9));  // Nobody has said that it was lost.
  w.link->LostPeer(BrokerId(8));
  const auto lost = w.Expect<session::Heartbeat>(stream);
  CHECK(lost.lost_peers == std::vector{BrokerId(8)});
  CHECK(lost.found_peers.empty());
  w.link->FoundPeer(BrokerId(8));  // The controller has not answered yet.
  const auto found = w.Expect<session::Heartbeat>(stream);
  CHECK(found.lost_peers.empty());
  CHECK(found.found_peers == std::vector{BrokerId(8)});
  w.Say(stream, session::HeartbeatReply{found.sequence, true, false});
  w.link->FoundPeer(BrokerId(8));
  w.link->LostPeer(BrokerId(7));
  const auto next = w.Expect<session::Heartbeat>(stream);
  CHECK(next.lost_peers == std::vector{BrokerId(7)});
  CHECK(next.found_peers.empty());
}

TEST_CASE("ControllerLink: the feed arrives in order, a snapshot as a whole") {
  World w;
  w.controllers.up = {1};
  w.link->Start();
  MessageStream& stream = w.Linked(1);
  w.Say(stream, session::SnapshotPiece{RaftIndex(5), true, false, "a"});
  w.world.RunFor(milliseconds(10));
  CHECK(w.broker.seen.empty());
  w.Say(stream, session::SnapshotPiece{RaftIndex(5), false, true, "b"});
  w.Say(stream, session::Entries{{{RaftIndex(6), "six"}, {RaftIndex(8), "eight"}}});
  w.world.RunFor(milliseconds(10));
  CHECK(w.broker.seen == std::vector<std::string>{"snapshot a", "snapshot b", "six", "eight"});
}
