#include "controller/session/session_server.h"

#include <catch2/catch.hpp>

#include "common/error_kind.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "controller/image/image_snapshot.h"
#include "controller/metadata_state.h"
#include "controller/transport/loopback_stream.h"

using namespace millrace;  // NOLINT

namespace {

// A log of its own that commits at once, and leads when told to.
class FakeLog final : public MetadataLog {
 public:
  FakeLog(MetadataState& state, MetadataFeed& feed) : state_(state), feed_(feed) {}
  Task<absl::StatusOr<RaftIndex>> Propose(std::vector<MetadataRecord> records) override {
    if (!term.has_value()) {
      co_return MakeError(ErrorKind::kNotController, absl::StatusCode::kUnavailable, "not active");
    }
    const RaftIndex index = next_index();
    const MetadataEntry entry{*term, Timestamp(0), std::move(records)};
    MR_CHECK(state_.OnCommitted(index, entry).ok());
    feed_.Add(index, EncodeEntry(entry));
    last_ = index;
    co_return index;
  }
  std::optional<RaftTerm> leading_term() const override { return term; }
  RaftIndex next_index() const override { return RaftIndex(last_.value() + 1); }

  std::optional<RaftTerm> term = RaftTerm(1);

 private:
  MetadataState& state_;
  MetadataFeed& feed_;
  RaftIndex last_{0};
};

struct World final : ActiveController, SessionRequests {
  World() {
    controller.Attach(server);
    controller.Start();
    controller.OnLeadership(log.term);
  }
  ~World() override {
    for (auto& stream : streams) stream->Shutdown();
    world.Run(env, server.Stop());
    world.Run(env, controller.Stop());
    for (auto& stream : streams) world.Run(env, stream->Close());
  }

  std::optional<RaftTerm> leading_term() const override { return log.term; }
  std::optional<BrokerId> leader() const override { return other; }
  std::vector<BrokerEndpoint> EndpointsOf(BrokerId) const override {
    return {{"CONTROLLER", "elsewhere", 9093, "PLAINTEXT"}};
  }
  Task<session::Response> Answer(session::Request request) override {
    asked.push_back(request.principal);
    if (hold != nullptr) co_await hold->Wait();
    co_return session::Response{.frame = answer, .index = state.image()->index()};
  }

  MessageStream& Dial(int32_t id) {
    StreamHello hello{.kind = StreamKind::kBroker,
                      .cluster_id = "c",
                      .from = BrokerId(id),
                      .from_directory = DirectoryId(1000, static_cast<uint64_t>(id)),
                      .to = std::nullopt};
    LoopbackStreams pair = MakeLoopbackStreams(
        env.reactor, hello, {.from = BrokerId(100), .from_directory = std::nullopt});
    server.Accept(std::move(pair.acceptor));
    streams.push_back(std::move(pair.dialer));
    return *streams.back();
  }
  void Say(MessageStream& stream, session::ToController message) {
    REQUIRE(world.Run(env, stream.Send(session::Encode(message))).ok());
  }
  static Task<void> Receive(MessageStream* stream, absl::StatusOr<std::string>* bytes,
                            bool* ended) {
    *bytes = co_await stream->Receive();
    *ended = true;
  }
  template <typename Message>
  Message Expect(MessageStream& stream) {
    absl::StatusOr<std::string> bytes = absl::DeadlineExceededError("nothing came");
    TaskScope receiving(env.reactor);
    bool ended = false;
    receiving.Spawn(Receive(&stream, &bytes, &ended));
    if (!world.RunUntil([&] { return ended; }, seconds(10))) stream.Shutdown();
    world.Run(env, receiving.Join());
    REQUIRE(bytes.ok());
    absl::StatusOr<session::ToBroker> message = session::DecodeToBroker(*bytes);
    REQUIRE(message.ok());
    REQUIRE(std::holds_alternative<Message>(*message));
    return std::get<Message>(*std::move(message));
  }
  session::Register RegisterOf(int32_t id, bool wants_metadata = false) {
    session::Register message;
    message.broker.id = BrokerId(id);
    message.broker.incarnation = IncarnationId(7, static_cast<uint64_t>(id));
    message.broker.endpoints = {{"PLAINTEXT", "host", 9092, "PLAINTEXT"}};
    message.broker.log_directories = {{DirectoryId(1000, static_cast<uint64_t>(id)), true, true}};
    message.broker.features = AnnouncedFeatures();
    message.wants_metadata = wants_metadata;
    return message;
  }

  SimWorld world{1};
  Env& env = world.AddNode("controller").Boot();
  MetadataState state;
  MetadataFeed feed{env.reactor};
  FakeLog log{state, feed};
  Controller controller{env, {.cluster_id = "c"}, log, state};
  SessionServer server{env,   controller, feed,
                       *this, *this,      {.self = BrokerId(100), .probed_listener = "PLAINTEXT"}};
  std::optional<BrokerId> other;
  std::vector<std::string> asked;
  std::string answer = "answer";
  Event* hold = nullptr;  // No request is answered before it.
  std::vector<std::unique_ptr<MessageStream>> streams;
};

}  // namespace

TEST_CASE("SessionServer: a broker registers, catches up, is unfenced, and is asked for nothing") {
  World w;
  MessageStream& stream = w.Dial(1);
  w.Say(stream, w.RegisterOf(1));
  const session::Registered registered = w.Expect<session::Registered>(stream);
  CHECK(w.state.image()->FindBroker(BrokerId(1))->fenced);
  session::Heartbeat heartbeat{
      .epoch = registered.epoch, .sequence = 1, .applied = w.state.image()->index()};
  w.Say(stream, heartbeat);
  const auto reply = w.Expect<session::HeartbeatReply>(stream);
  CHECK(reply.sequence == 1);
  CHECK_FALSE(reply.fenced);
  CHECK_FALSE(w.state.image()->FindBroker(BrokerId(1))->fenced);
}

TEST_CASE(
    "SessionServer: a request is answered with its client's identity and the index it means") {
  World w;
  MessageStream& stream = w.Dial(1);
  w.Say(stream, w.RegisterOf(1));
  w.Expect<session::Registered>(stream);
  w.Say(stream, session::Request{.id = 9, .api_key = 19, .principal = "User:a"});
  const auto response = w.Expect<session::Response>(stream);
  CHECK(response.id == 9);
  CHECK(response.result == session::Result::kAnswered);
  CHECK(response.index == w.state.image()->index());
  CHECK(w.asked == std::vector<std::string>{"User:a"});
}

TEST_CASE("SessionServer: who is not active says who is, after it has waited for an election") {
  World w;
  w.log.term = std::nullopt;
  MessageStream& stream = w.Dial(1);
  w.Say(stream, w.RegisterOf(1));
  const Instant before = w.world.Now();
  CHECK_FALSE(w.Expect<session::Redirect>(stream).leader.has_value());
  CHECK(w.world.Now() - before >= milliseconds(900));
  w.other = BrokerId(101);
  MessageStream& second = w.Dial(1);
  w.Say(second, w.RegisterOf(1));
  const auto redirect = w.Expect<session::Redirect>(second);
  CHECK(redirect.leader == BrokerId(101));
  CHECK(redirect.endpoints.front().host == "elsewhere");
}

TEST_CASE("SessionServer: a controller that is no longer active sends its brokers away") {
  World w;
  MessageStream& stream = w.Dial(1);
  w.Say(stream, w.RegisterOf(1));
  w.Expect<session::Registered>(stream);
  w.log.term = std::nullopt;
  w.other = BrokerId(101);
  w.controller.OnLeadership(std::nullopt);
  w.server.OnLeadership();
  CHECK(w.Expect<session::Redirect>(stream).leader == BrokerId(101));
}

TEST_CASE(
    "SessionServer: a dial that is accepted counts for life, unless the other side hangs up") {
  const bool hangs_up = GENERATE(true, false);
  CAPTURE(hangs_up);
  World w;
  Env& host = w.world.AddNode("host").Boot();
  auto listener = w.world.Run(host, host.network.Listen({"host", 9092}, {}));
  REQUIRE(listener.ok());
  MessageStream& stream = w.Dial(1);
  MessageStream& witness = w.Dial(2);
  for (int32_t id : {1, 2}) {
    MessageStream& one = id == 1 ? stream : witness;
    w.Say(one, w.RegisterOf(id));
    const BrokerEpoch epoch = w.Expect<session::Registered>(one).epoch;
    w.Say(one,
          session::Heartbeat{.epoch = epoch, .sequence = 1, .applied = w.state.image()->index()});
    REQUIRE_FALSE(w.Expect<session::HeartbeatReply>(one).fenced);
  }
  stream.Shutdown();
  auto dialed = w.world.Run(host, (*listener)->Accept());
  REQUIRE(dialed.ok());
  if (hangs_up) w.world.Run(host, (*dialed)->Close());
  w.controller.OnEvidence({EvidenceKind::kReplicationLost, BrokerId(1), BrokerId(2)});
  w.world.RunFor(milliseconds(45));  // Until before the next dial.
  CHECK(w.state.image()->FindBroker(BrokerId(1))->fenced == hangs_up);
  if (!hangs_up) w.world.Run(host, (*dialed)->Close());
  w.world.Run(host, (*listener)->Close());
}

TEST_CASE("SessionServer: an answer larger than a session carries is told as such, at once") {
  World w;
  MessageStream& stream = w.Dial(1);
  w.Say(stream, w.RegisterOf(1));
  w.Expect<session::Registered>(stream);
  for (size_t bytes : {session::kForwardedBytesMax, session::kForwardedBytesMax + 1}) {
    w.answer = std::string(bytes, 'x');
    w.Say(stream, session::Request{.id = bytes, .api_key = 19});
    const auto response = w.Expect<session::Response>(stream);
    CHECK(response.id == bytes);
    const bool fits = bytes <= session::kForwardedBytesMax;
    CHECK(response.result == (fits ? session::Result::kAnswered : session::Result::kClose));
    CHECK(response.frame.size() == (fits ? bytes : 0));
    CHECK(response.why.empty() == fits);
  }
}

TEST_CASE("SessionServer: heartbeats are taken however many requests are under way") {
  World w;
  Event hold(w.env.reactor);
  w.hold = &hold;
  MessageStream& stream = w.Dial(1);
  w.Say(stream, w.RegisterOf(1));
  const BrokerEpoch epoch = w.Expect<session::Registered>(stream).epoch;
  const uint64_t last = session::kRequestsMax;
  for (uint64_t id = 1; id <= last; ++id) w.Say(stream, session::Request{.id = id, .api_key = 19});
  w.Say(stream, session::Heartbeat{.epoch = epoch, .sequence = 1, .wants_fence = true});
  CHECK(w.Expect<session::HeartbeatReply>(stream).sequence == 1);
  // One more is refused, without effect, so that it is asked again.
  w.Say(stream, session::Request{.id = last + 1, .api_key = 19});
  w.Say(stream, session::Heartbeat{.epoch = epoch, .sequence = 2, .wants_fence = true});
  const auto refused = w.Expect<session::Response>(stream);
  CHECK(refused.id == last + 1);
  CHECK(refused.result == session::Result::kNotController);
  CHECK_FALSE(refused.why.empty());
  CHECK(w.Expect<session::HeartbeatReply>(stream).sequence == 2);
  CHECK(w.asked.size() == last);
  // When those are answered there is room again.
  hold.Set();
  for (uint64_t i = 0; i < last; ++i) {
    CHECK(w.Expect<session::Response>(stream).result == session::Result::kAnswered);
  }
  w.Say(stream, session::Request{.id = last + 2, .api_key = 19});
  CHECK(w.Expect<session::Response>(stream).result == session::Result::kAnswered);
}

TEST_CASE("SessionServer: another process under a living broker's id is refused, in words") {
  World w;
  MessageStream& stream = w.Dial(1);
  w.Say(stream, w.RegisterOf(1));
  w.Expect<session::Registered>(stream);
  MessageStream& second = w.Dial(1);
  session::Register other = w.RegisterOf(1);
  other.broker.incarnation = IncarnationId(8, 8);
  other.broker.log_directories = {{DirectoryId(2000, 1), true, true}};
  w.Say(second, other);
  const auto refused = w.Expect<session::Refused>(second);
  CHECK_FALSE(refused.why.empty());
  CHECK_FALSE(refused.for_good);
}

TEST_CASE("SessionServer: a broker without a replica gets the image, then what is committed") {
  World w;
  MessageStream& first = w.Dial(1);
  w.Say(first, w.RegisterOf(1));
  w.Expect<session::Registered>(first);
  MessageStream& second = w.Dial(2);
  w.Say(second, w.RegisterOf(2, /*wants_metadata=*/true));
  w.Expect<session::Registered>(second);
  std::vector<std::string> pieces;
  session::SnapshotPiece piece;
  do {
    piece = w.Expect<session::SnapshotPiece>(second);
    CHECK(piece.first == pieces.empty());
    pieces.push_back(piece.piece);
  } while (!piece.last);
  auto image = ReadImageSnapshot(piece.index, pieces);
  REQUIRE(image.ok());
  CHECK((*image)->FindBroker(BrokerId(1)) != nullptr);
  CHECK((*image)->FindBroker(BrokerId(2)) != nullptr);
  MessageStream& third = w.Dial(3);
  w.Say(third, w.RegisterOf(3));
  w.Expect<session::Registered>(third);
  const auto entries = w.Expect<session::Entries>(second);
  REQUIRE(entries.items.size() == 1);
  CHECK(entries.items.front().index == w.state.image()->index());
}

TEST_CASE("SessionServer: of brokers that are fed it is told how far they are, of others not") {
  World w;
  MessageStream& replica = w.Dial(1);
  w.Say(replica, w.RegisterOf(1));
  w.Expect<session::Registered>(replica);
  CHECK(w.server.Fed().empty());
  MessageStream& fed = w.Dial(2);
  w.Say(fed, w.RegisterOf(2, /*wants_metadata=*/true));
  const BrokerEpoch epoch = w.Expect<session::Registered>(fed).epoch;
  REQUIRE(w.server.Fed().size() == 1);
  CHECK(w.server.Fed().front().id == BrokerId(2));
  CHECK(w.server.Fed().front().directory == DirectoryId(1000, 2));
  CHECK(w.server.Fed().front().applied == RaftIndex(0));
  CHECK_FALSE(w.server.Fed().front().caught_up.has_value());
  while (!w.Expect<session::SnapshotPiece>(fed).last) {
  }
  const std::optional<RaftIndex> index = w.state.image()->index();
  w.Say(fed,
        session::Heartbeat{.epoch = epoch, .sequence = 1, .applied = index, .wants_fence = true});
  w.Expect<session::HeartbeatReply>(fed);
  CHECK(w.server.Fed().front().applied == index);
  CHECK(w.server.Fed().front().caught_up == w.env.clock.Now());
  // The next active controller hears for itself.
  w.log.term = std::nullopt;
  w.server.OnLeadership();
  CHECK(w.server.Fed().empty());
}
