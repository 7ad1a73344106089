// The one suite over MessageStream, StreamDialer and StreamAcceptor: it runs on frames in the
// simulator, on frames on real sockets, and on gRPC, and each must tell the same story.
//
// A test binary includes this once and defines StreamWorlds().
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controller/transport/stream_bench.h"

namespace millrace {

struct StreamWorldKind {
  const char* name;
  std::unique_ptr<ContractWorld> (*world)();
  StreamMakers (*makers)(ContractWorld& world);
};
std::vector<StreamWorldKind> StreamWorlds();

namespace stream_contract {

using Story = std::vector<std::string>;
using Scenario = Task<void> (*)(StreamBench* bench, Story* story);

inline std::string Say(const absl::Status& status) {
  std::string said = absl::StatusCodeToString(status.code());
  if (absl::IsFailedPrecondition(status)) said += ": " + std::string(status.message());
  return said;
}
template <typename T>
std::string Say(const absl::StatusOr<T>& value) {
  return Say(value.status());
}
inline std::string Say(const absl::StatusOr<std::string>& message) {
  return message.ok() ? "'" + *message + "'" : Say(message.status());
}

inline Task<void> Play(Scenario scenario, StreamBench* bench, Story* story) {
  co_await bench->Start();
  co_await scenario(bench, story);
  co_await bench->Stop();
  story->push_back(bench->serving == 0 ? "all served" : "still serving");
}

inline void InEveryStreamWorld(Scenario scenario, Story expected) {
  expected.push_back("all served");
  for (const StreamWorldKind& kind : StreamWorlds()) {
    CAPTURE(kind.name);
    std::unique_ptr<ContractWorld> world = kind.world();
    Story story;
    {
      StreamBench bench(*world, kind.makers(*world));
      world->RunUntilDone(Play(scenario, &bench, &story));
    }
    CHECK(story == expected);
  }
}

struct StreamPair {
  std::unique_ptr<MessageStream> dialed;
  std::unique_ptr<MessageStream> accepted;
};

inline Task<StreamPair> Connected(StreamBench* bench) {
  auto dialed = co_await bench->Dial();
  if (!dialed.ok()) FAIL(dialed.status().ToString());
  std::unique_ptr<MessageStream> accepted = co_await bench->Accepted();
  co_return StreamPair{*std::move(dialed), std::move(accepted)};
}

inline Task<void> CloseBoth(StreamPair* pair) {
  co_await pair->dialed->Close();
  co_await pair->accepted->Close();
}

inline Task<void> ReceiveAndSay(MessageStream* stream, std::string* said) {
  *said = Say(co_await stream->Receive());
}
inline Task<void> SendUntilRefused(MessageStream* stream, std::string* said, size_t* sent) {
  absl::Status status;
  while (status.ok()) {
    status = co_await stream->Send(std::string(100'000, 'x'));
    if (status.ok()) *sent += 100'000;
  }
  *said = Say(status);
}
inline Task<void> SendNumbers(MessageStream* stream, std::string prefix, int count,
                              std::string* said) {
  absl::Status status;
  for (int i = 0; i < count && status.ok(); ++i) {
    status = co_await stream->Send(prefix + std::to_string(i));
  }
  *said = Say(status);
}
// Counts what is not the next number of its prefix.
inline Task<void> ReceiveNumbers(MessageStream* stream, int count, int* wrong) {
  int next_a = 0;
  int next_b = 0;
  for (int i = 0; i < count; ++i) {
    absl::StatusOr<std::string> message = co_await stream->Receive();
    if (!message.ok() || message->empty()) {
      *wrong += count - i;
      co_return;
    }
    int& next = (*message)[0] == 'a' ? next_a : next_b;
    *wrong += message->substr(1) != std::to_string(next++);
  }
}

inline Task<void> TalksBothWays(StreamBench* bench, Story* story) {
  StreamPair pair = co_await Connected(bench);
  for (MessageStream* side : {pair.dialed.get(), pair.accepted.get()}) {
    const StreamHello& hello = side->hello();
    const StreamHello sent = StreamBench::Hello();
    const StreamWelcome& welcome = side->welcome();
    const bool hello_arrived = hello.kind == sent.kind && hello.cluster_id == sent.cluster_id &&
                               hello.from == sent.from &&
                               hello.from_directory == sent.from_directory && hello.to == sent.to &&
                               hello.protocol == sent.protocol && hello.features == sent.features;
    const bool welcome_arrived = welcome.from == BrokerId(2) &&
                                 welcome.from_directory == DirectoryId(7, 8) &&
                                 welcome.protocol == 1 && welcome.features == 5;
    story->push_back(hello_arrived && welcome_arrived ? "introduced" : "garbled");
  }
  story->push_back(Say(co_await pair.dialed->Send("one")));
  story->push_back(Say(co_await pair.dialed->Send("")));
  story->push_back(Say(co_await pair.dialed->Send(std::string("\0two", 4))));
  story->push_back(Say(co_await pair.accepted->Receive()));
  story->push_back(Say(co_await pair.accepted->Receive()));
  story->push_back(Say(co_await pair.accepted->Receive()) == std::string("'\0two'", 6) ? "binary"
                                                                                       : "text");
  story->push_back(Say(co_await pair.accepted->Send("back")));
  story->push_back(Say(co_await pair.dialed->Receive()));
  co_await CloseBoth(&pair);
}

TEST_CASE("MessageStream: both sides are introduced and talk in whole messages") {
  InEveryStreamWorld(&TalksBothWays, {"introduced", "introduced", "OK", "OK", "OK", "'one'", "''",
                                      "binary", "OK", "'back'"});
}

inline Task<void> KeepsOrder(StreamBench* bench, Story* story) {
  constexpr int kMessages = 2000;
  StreamPair pair = co_await Connected(bench);
  TaskScope scope(bench->env.reactor);
  std::string said[3];
  int wrong_there = 0;
  int wrong_back = 0;
  scope.Spawn(SendNumbers(pair.dialed.get(), "a", kMessages, &said[0]));
  scope.Spawn(SendNumbers(pair.dialed.get(), "b", kMessages, &said[1]));
  scope.Spawn(SendNumbers(pair.accepted.get(), "a", kMessages, &said[2]));
  scope.Spawn(ReceiveNumbers(pair.accepted.get(), 2 * kMessages, &wrong_there));
  scope.Spawn(ReceiveNumbers(pair.dialed.get(), kMessages, &wrong_back));
  co_await scope.Join();
  for (const std::string& one : said) story->push_back(one);
  story->push_back(std::to_string(wrong_there) + " " + std::to_string(wrong_back));
  co_await CloseBoth(&pair);
}

TEST_CASE("MessageStream: each sender's messages arrive in order, both ways at once") {
  InEveryStreamWorld(&KeepsOrder, {"OK", "OK", "OK", "0 0"});
}

inline Task<void> LargeMessages(StreamBench* bench, Story* story) {
  StreamPair pair = co_await Connected(bench);
  story->push_back(Say(co_await pair.dialed->Send(std::string(kControlMessageBytesMax + 1, 'x'))));
  std::string large(kControlMessageBytesMax, 'x');
  for (size_t i = 0; i < large.size(); i += 4096) large[i] = static_cast<char>(i >> 12);
  // Three do not fit into what may lie unsent: the last one waits for the first to leave.
  TaskScope scope(bench->env.reactor);
  std::string said;
  struct Sender {
    static Task<void> Run(MessageStream* stream, std::string message, std::string* said) {
      absl::Status status;
      for (int i = 0; i < 3 && status.ok(); ++i) status = co_await stream->Send(message);
      *said = Say(status);
    }
  };
  scope.Spawn(Sender::Run(pair.dialed.get(), large, &said));
  for (int i = 0; i < 3; ++i) {
    absl::StatusOr<std::string> got = co_await pair.accepted->Receive();
    story->push_back(!got.ok() ? Say(got) : *got == large ? "whole" : "garbled");
  }
  co_await scope.Join();
  story->push_back(said);
  co_await CloseBoth(&pair);
}

TEST_CASE("MessageStream: the largest message arrives whole, a larger one is not sent") {
  InEveryStreamWorld(&LargeMessages, {"INVALID_ARGUMENT", "whole", "whole", "whole", "OK"});
}

inline Task<void> PushesBack(StreamBench* bench, Story* story) {
  StreamPair pair = co_await Connected(bench);
  TaskScope scope(bench->env.reactor);
  std::string said = "still sending";
  size_t sent = 0;
  scope.Spawn(SendUntilRefused(pair.dialed.get(), &said, &sent));
  // Until nothing moves any more.
  size_t before = 1;
  for (int quiet = 0; quiet < 5;) {
    quiet = sent == before ? quiet + 1 : 0;
    before = sent;
    co_await Sleep(bench->env.reactor, milliseconds(50));
  }
  // What lies unsent, what the receiving side reads ahead, and the kernels' buffers.
  const bool bounded = sent >= kControlSendBytesMax - 100'000 && sent <= 4 * kControlSendBytesMax;
  story->push_back(bounded ? "stands" : "sent " + std::to_string(sent));
  story->push_back(said);
  // The other way is free all the while.
  story->push_back(Say(co_await pair.accepted->Send("free")));
  story->push_back(Say(co_await pair.dialed->Receive()));
  size_t received = 0;
  while (received < before) {
    absl::StatusOr<std::string> message = co_await pair.accepted->Receive();
    if (!message.ok()) break;
    received += message->size();
  }
  story->push_back(received >= before ? "all there" : "lost");
  pair.dialed->Shutdown();
  co_await scope.Join();
  story->push_back(said);
  co_await CloseBoth(&pair);
}

TEST_CASE("MessageStream: a receiver that does not read stops the sender, and loses nothing") {
  InEveryStreamWorld(&PushesBack,
                     {"stands", "still sending", "OK", "'free'", "all there", "CANCELLED"});
}

inline Task<void> ShutdownEnds(StreamBench* bench, Story* story) {
  for (const bool dialer_side : {true, false}) {
    StreamPair pair = co_await Connected(bench);
    MessageStream& ours = dialer_side ? *pair.dialed : *pair.accepted;
    MessageStream& theirs = dialer_side ? *pair.accepted : *pair.dialed;
    TaskScope scope(bench->env.reactor);
    std::string received;
    std::string sent;
    std::string peer_received;
    size_t bytes = 0;
    scope.Spawn(ReceiveAndSay(&ours, &received));
    scope.Spawn(SendUntilRefused(&ours, &sent, &bytes));
    co_await Sleep(bench->env.reactor, milliseconds(100));
    story->push_back(received + sent);
    ours.Shutdown();
    ours.Shutdown();
    co_await scope.Join();
    story->push_back(received + " " + sent);
    story->push_back(Say(co_await ours.Receive()) + " " + Say(co_await ours.Send("more")));
    absl::StatusOr<std::string> peer = "";
    while (peer.ok()) peer = co_await theirs.Receive();
    story->push_back(Say(peer));
    co_await CloseBoth(&pair);
  }
}

TEST_CASE("MessageStream: Shutdown ends what is pending, and the peer's stream breaks") {
  const Story side = {"", "CANCELLED CANCELLED", "CANCELLED CANCELLED", "UNAVAILABLE"};
  Story both = side;
  both.insert(both.end(), side.begin(), side.end());
  InEveryStreamWorld(&ShutdownEnds, both);
}

inline Task<void> Breaks(StreamBench* bench, Story* story) {
  StreamPair pair = co_await Connected(bench);
  TaskScope scope(bench->env.reactor);
  std::string dialed;
  std::string accepted;
  scope.Spawn(ReceiveAndSay(pair.dialed.get(), &dialed));
  scope.Spawn(ReceiveAndSay(pair.accepted.get(), &accepted));
  co_await Sleep(bench->env.reactor, milliseconds(20));
  story->push_back(dialed + accepted);
  const Instant cut = bench->env.reactor.Now();
  bench->relay->Cut();
  co_await scope.Join();
  const Duration took = bench->env.reactor.Now() - cut;
  story->push_back(dialed + " " + accepted);
  story->push_back(took < milliseconds(200) ? "at once" : std::to_string(took.count()) + " ns");
  story->push_back(Say(co_await pair.dialed->Send("x")));
  story->push_back(Say(co_await pair.accepted->Send("x")));
  co_await CloseBoth(&pair);
}

TEST_CASE("MessageStream: a broken connection is seen at once, on both sides") {
  InEveryStreamWorld(&Breaks,
                     {"", "UNAVAILABLE UNAVAILABLE", "at once", "UNAVAILABLE", "UNAVAILABLE"});
}

inline Task<void> IsSilent(StreamBench* bench, Story* story) {
  StreamPair pair = co_await Connected(bench);
  TaskScope scope(bench->env.reactor);
  std::string dialed;
  std::string accepted;
  bench->relay->Freeze();
  scope.Spawn(ReceiveAndSay(pair.dialed.get(), &dialed));
  scope.Spawn(ReceiveAndSay(pair.accepted.get(), &accepted));
  story->push_back(Say(co_await pair.dialed->Send("slow")));
  co_await Sleep(bench->env.reactor, kBenchHelloMax + milliseconds(200));
  story->push_back(dialed + accepted);
  bench->relay->Thaw();
  (void)co_await bench->Until([&accepted] { return !accepted.empty(); });
  story->push_back(accepted);
  pair.dialed->Shutdown();
  co_await scope.Join();
  co_await CloseBoth(&pair);
}

TEST_CASE("MessageStream: silence breaks nothing") {
  InEveryStreamWorld(&IsSilent, {"OK", "", "'slow'"});
}

inline Task<void> Refuses(StreamBench* bench, Story* story) {
  bench->refusal = "node 1 is registered already";
  story->push_back(Say(co_await bench->Dial()));
  bench->refusal.clear();
  StreamHello hello = StreamBench::Hello();
  hello.cluster_id = "cluster-9";
  story->push_back(Say(co_await bench->Dial(hello)));
  hello = StreamBench::Hello();
  hello.to = BrokerId(3);
  story->push_back(Say(co_await bench->Dial(hello)));
  hello = StreamBench::Hello();
  hello.kind = StreamKind::kRaft;
  story->push_back(Say(co_await bench->Dial(hello)));
  hello = StreamBench::Hello();
  hello.cluster_id = std::string(kStreamClusterIdBytesMax + 1, 'c');
  story->push_back(Say(co_await bench->Dial(hello)));
  bench->answers_as = BrokerId(4);
  story->push_back(Say(co_await bench->Dial()));
  bench->answers_as = BrokerId(2);
  // The acceptor may have welcomed a stream whose dialer did not like the welcome.
  while (!bench->accepted.empty()) co_await (co_await bench->Accepted())->Close();
  hello = StreamBench::Hello();
  hello.to = std::nullopt;
  hello.from_directory = std::nullopt;
  auto anybody = co_await bench->Dial(hello);
  story->push_back(Say(anybody));
  if (!anybody.ok()) co_return;
  story->push_back((*anybody)->welcome().from == BrokerId(2) ? "node 2" : "somebody");
  co_await (*anybody)->Close();
}

TEST_CASE("MessageStream: a hello is refused with a sentence, and another node is not talked to") {
  InEveryStreamWorld(
      &Refuses,
      {"FAILED_PRECONDITION: node 1 is registered already",
       "FAILED_PRECONDITION: node 1 is of cluster cluster-9, this is node 2 of cluster "
       "cluster-1",
       "FAILED_PRECONDITION: node 1 means node 3, this is node 2",
       "FAILED_PRECONDITION: this node has no door for streams of kind 1", "INVALID_ARGUMENT",
       "FAILED_PRECONDITION: node 2 was dialed, node 4 answers", "OK", "node 2"});
}

inline Task<void> DialFails(StreamBench* bench, Story* story) {
  Env& env = bench->env;
  // Nobody listens.
  auto gone = co_await env.network.Listen({.host = bench->world.host(), .port = 0}, {});
  MR_CHECK(gone.ok());
  const SocketAddress address = (*gone)->local();
  (*gone)->Shutdown();
  co_await (*gone)->Close();
  story->push_back(Say(co_await bench->dialer->Dial(address, StreamBench::Hello(), bench->Soon())));
  // Somebody listens and says nothing.
  bench->relay->Freeze();
  const Instant began = env.reactor.Now();
  story->push_back(Say(co_await bench->dialer->Dial(bench->relay->address(), StreamBench::Hello(),
                                                    began + milliseconds(100))));
  const Duration took = env.reactor.Now() - began;
  story->push_back(took >= milliseconds(99) && took < milliseconds(600)
                       ? "in time"
                       : std::to_string(took.count()) + " ns");
  bench->relay->Thaw();
  co_await Sleep(env.reactor, milliseconds(20));
  while (!bench->accepted.empty()) co_await (co_await bench->Accepted())->Close();
  // The next one works.
  StreamPair pair = co_await Connected(bench);
  co_await CloseBoth(&pair);
}

TEST_CASE("StreamDialer: refused is unavailable, silence lasts until the deadline") {
  InEveryStreamWorld(&DialFails, {"UNAVAILABLE", "DEADLINE_EXCEEDED", "in time"});
}

inline std::vector<std::string> HostileBeginnings() {
  const std::string framed = "\xffMRSTRM\x01";
  const std::string http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  return {
      std::string(),
      std::string(1, '\0'),
      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
      std::string(100'000, '\xff'),
      framed,
      framed + std::string("\x7f\xff\xff\xff\x01", 5),        // 2 GiB of hello.
      framed + std::string("\x00\x00\x00\x02\x01xx", 7),      // Too short a hello.
      framed + std::string("\x00\x00\x00\x00\x04", 5),        // A message before the hello.
      framed + std::string("\x00\x00\x00\x05\x03later", 10),  // A refusal by the dialer.
      http2,
      http2 + std::string("\xff\xff\xff\x00\x00\x00\x00\x00\x00", 9),  // 16 MiB of DATA.
      http2 + std::string("\x00\x00\x00\x04\x00\x00\x00\x00\x00", 9) + std::string(5000, '\x7f'),
  };
}

inline Task<void> BeHostile(StreamBench* bench, std::string bytes, Story* story) {
  std::unique_ptr<Connection> raw = co_await bench->Raw();
  const Instant began = bench->env.reactor.Now();
  if (!bytes.empty()) (void)co_await raw->Send(Chain(Slice::Copy(bytes)));
  absl::StatusOr<Slice> answer = Slice::OfStatic("?");
  while (answer.ok() && !answer->empty()) answer = co_await raw->ReceiveSome(64 << 10);
  const Duration took = bench->env.reactor.Now() - began;
  if (took > 2 * kBenchHelloMax + seconds(1)) {
    story->push_back("held for " + std::to_string(took.count()) + " ns");
  }
  raw->Shutdown();
  co_await raw->Close();
}

inline Task<void> SurvivesHostileDialers(StreamBench* bench, Story* story) {
  TaskScope scope(bench->env.reactor);
  for (const std::string& bytes : HostileBeginnings()) scope.Spawn(BeHostile(bench, bytes, story));
  co_await scope.Join();
  story->push_back(std::to_string(bench->hellos) + " hellos");
  StreamPair pair = co_await Connected(bench);
  story->push_back(Say(co_await pair.dialed->Send("still here")));
  story->push_back(Say(co_await pair.accepted->Receive()));
  co_await CloseBoth(&pair);
}

TEST_CASE("StreamAcceptor: hostile first bytes end their connection and nothing else") {
  InEveryStreamWorld(&SurvivesHostileDialers, {"0 hellos", "OK", "'still here'"});
}

inline Task<void> LeavesEarly(StreamBench* bench, Story* story) {
  for (const std::string& bytes : {std::string(), std::string("\xffMR"), std::string("PRI * HT")}) {
    std::unique_ptr<Connection> raw = co_await bench->Raw();
    (void)co_await bench->Until([bench] { return bench->serving == 1; });
    if (!bytes.empty()) (void)co_await raw->Send(Chain(Slice::Copy(bytes)));
    const Instant left = bench->env.reactor.Now();
    raw->Shutdown();
    co_await raw->Close();
    (void)co_await bench->Until([bench] { return bench->serving == 0; });
    const Duration kept = bench->env.reactor.Now() - left;
    story->push_back(kept < kBenchHelloMax ? "gone" : std::to_string(kept.count()) + " ns");
  }
}

TEST_CASE("StreamAcceptor: who leaves before the hello is not waited for") {
  InEveryStreamWorld(&LeavesEarly, {"gone", "gone", "gone"});
}

inline Task<void> Answer(StreamBench* bench, Listener* listener, std::string bytes) {
  auto connection = co_await listener->Accept();
  if (!connection.ok()) co_return;
  (void)co_await (*connection)->ReceiveSome(64 << 10);
  if (!bytes.empty()) (void)co_await (*connection)->Send(Chain(Slice::Copy(bytes)));
  co_await Sleep(bench->env.reactor, milliseconds(20));
  (*connection)->Shutdown();
  co_await (*connection)->Close();
}

inline Task<void> SurvivesHostileAcceptors(StreamBench* bench, Story* story) {
  auto listener = co_await bench->env.network.Listen({.host = bench->world.host(), .port = 0}, {});
  MR_CHECK(listener.ok());
  for (const std::string& bytes : HostileBeginnings()) {
    TaskScope scope(bench->env.reactor);
    scope.Spawn(Answer(bench, listener->get(), bytes));
    auto dialed =
        co_await bench->dialer->Dial((*listener)->local(), StreamBench::Hello(), bench->Soon());
    if (!absl::IsUnavailable(dialed.status())) story->push_back(Say(dialed));
    co_await scope.Join();
  }
  (*listener)->Shutdown();
  co_await (*listener)->Close();
  // A welcome by another node than the one that is meant was refused above (Refuses).
}

TEST_CASE("StreamDialer: an acceptor that answers garbage is unavailable") {
  InEveryStreamWorld(&SurvivesHostileAcceptors, {});
}

inline Task<void> SurvivesGarbage(StreamBench* bench, Story* story) {
  for (const std::string& bytes : HostileBeginnings()) {
    if (bytes.size() < 9) continue;  // May be the beginning of anything.
    if (bytes.starts_with("PRI") && bytes.size() < 30) continue;
    for (const bool towards_acceptor : {true, false}) {
      StreamPair pair = co_await Connected(bench);
      MessageStream& sender = towards_acceptor ? *pair.dialed : *pair.accepted;
      MessageStream& receiver = towards_acceptor ? *pair.accepted : *pair.dialed;
      // What the transports say to each other on their own is over.
      co_await Sleep(bench->env.reactor, milliseconds(5));
      bench->relay->Garble(bytes);
      (void)co_await sender.Send("lost");
      absl::StatusOr<std::string> got = co_await receiver.Receive();
      if (!absl::IsUnavailable(got.status())) story->push_back(Say(got));
      co_await CloseBoth(&pair);
    }
  }
}

TEST_CASE("MessageStream: bytes that are no message break the stream") {
  InEveryStreamWorld(&SurvivesGarbage, {});
}

inline Task<void> Stops(StreamBench* bench, Story* story) {
  StreamPair pair = co_await Connected(bench);
  std::unique_ptr<Connection> silent = co_await bench->Raw();
  (void)co_await bench->Until([bench] { return bench->serving == 2; });
  TaskScope scope(bench->env.reactor);
  struct User {
    static Task<void> CloseWhenBroken(MessageStream* stream, std::string* said) {
      *said = Say(co_await stream->Receive());
      co_await stream->Close();
    }
  };
  std::string said;
  scope.Spawn(User::CloseWhenBroken(pair.accepted.get(), &said));
  co_await bench->acceptor->Stop();
  co_await scope.Join();
  story->push_back(said);
  story->push_back(Say(co_await pair.dialed->Receive()));
  story->push_back((co_await bench->Until([bench] { return bench->serving == 0; })) ? "none"
                                                                                    : "some");
  co_await pair.dialed->Close();
  silent->Shutdown();
  co_await silent->Close();
}

TEST_CASE("StreamAcceptor: Stop ends every stream and every connection") {
  InEveryStreamWorld(&Stops, {"CANCELLED", "UNAVAILABLE", "none"});
}

inline Task<void> ManyAtOnce(StreamBench* bench, Story* story) {
  constexpr int kStreams = 20;
  std::vector<StreamPair> pairs;
  for (int i = 0; i < kStreams; ++i) pairs.push_back(co_await Connected(bench));
  int right = 0;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kStreams; ++i) (void)co_await pairs[i].dialed->Send(std::to_string(i));
    for (int i = 0; i < kStreams; ++i) {
      right += Say(co_await pairs[i].accepted->Receive()) == "'" + std::to_string(i) + "'";
    }
  }
  story->push_back(std::to_string(right));
  for (StreamPair& pair : pairs) co_await CloseBoth(&pair);
}

TEST_CASE("MessageStream: many streams at once keep apart") {
  InEveryStreamWorld(&ManyAtOnce, {"60"});
}

}  // namespace stream_contract
}  // namespace millrace
