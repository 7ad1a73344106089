// StreamBench: both sides of MessageStreams in one world, and what a test needs to be nasty to
// them. The one contract suite (stream_contract_suite.h) stands on it.
//
// The dialer reaches the acceptor through a relay that can cut, freeze and garble.
//
// Shard: one, the thread of the test.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/runtime/contract_world.h"
#include "common/runtime/event.h"
#include "common/runtime/task_scope.h"
#include "controller/transport/message_stream.h"
#include "controller/transport/stream_hello.h"

namespace millrace {

// What connects to `target`, byte by byte.
class StreamRelay {
 public:
  StreamRelay(Env& env, SocketAddress target)
      : env_(env), target_(std::move(target)), scope_(env.reactor), thawed_(env.reactor) {
    thawed_.Set();
  }

  Task<void> Listen(std::string host) {
    auto listener = co_await env_.network.Listen({.host = std::move(host), .port = 0}, {});
    MR_CHECK(listener.ok());
    listener_ = *std::move(listener);
    scope_.Spawn(AcceptLoop());
  }
  SocketAddress address() const { return listener_->local(); }

  // Every connection ends, as when a process dies.
  void Cut() {
    for (Pair& pair : pairs_) {
      pair.near->Shutdown();
      pair.far->Shutdown();
    }
  }
  // Nothing is moved any more, and nothing breaks.
  void Freeze() { thawed_.Reset(); }
  void Thaw() { thawed_.Set(); }
  // These bytes go to the side that dialed, or that accepted, instead of what comes next.
  void Garble(std::string bytes) { garbage_ = std::move(bytes); }
  // Told what passes, and whether the side that dialed has sent it.
  void Tap(std::function<void(bool dialed, std::string_view)> tap) { tap_ = std::move(tap); }

  Task<void> Stop() {
    thawed_.Set();
    listener_->Shutdown();
    Cut();
    co_await scope_.Stop();
    co_await listener_->Close();
  }

 private:
  struct Pair {
    std::unique_ptr<Connection> near;
    std::unique_ptr<Connection> far;
    int pumps = 2;
  };

  Task<void> AcceptLoop() {
    for (;;) {
      auto near = co_await listener_->Accept();
      if (!near.ok()) co_return;
      auto far = co_await env_.network.Connect(target_, env_.reactor.Now() + seconds(20));
      if (!far.ok() || scope_.stopping()) {
        (*near)->Shutdown();
        co_await (*near)->Close();
        if (far.ok()) co_await (*far)->Close();
        continue;
      }
      const auto pair = pairs_.insert(pairs_.end(), Pair{*std::move(near), *std::move(far)});
      scope_.Spawn(Pump(pair, pair->near.get(), pair->far.get()));
      scope_.Spawn(Pump(pair, pair->far.get(), pair->near.get()));
    }
  }

  Task<void> Pump(std::list<Pair>::iterator pair, Connection* from, Connection* to) {
    for (;;) {
      absl::StatusOr<Slice> some = co_await from->ReceiveSome(64 << 10);
      if (!some.ok() || some->empty()) break;
      co_await thawed_.Wait();
      if (tap_) tap_(from == pair->near.get(), some->view());
      Chain out(*std::move(some));
      if (!garbage_.empty()) out = Chain(Slice::Copy(std::exchange(garbage_, std::string())));
      if (!(co_await to->Send(std::move(out))).ok()) break;
    }
    to->Shutdown();
    from->Shutdown();
    if (--pair->pumps > 0) co_return;
    co_await pair->near->Close();
    co_await pair->far->Close();
    pairs_.erase(pair);
  }

  Env& env_;
  const SocketAddress target_;
  std::unique_ptr<Listener> listener_;
  std::list<Pair> pairs_;
  TaskScope scope_;
  Event thawed_;
  std::string garbage_;
  std::function<void(bool dialed, std::string_view)> tap_;
};

// What a kind of streams brings.
struct StreamMakers {
  std::unique_ptr<StreamDialer> dialer;
  std::unique_ptr<StreamAcceptor>
      acceptor;  // Gives up on a silent connection after kBenchHelloMax.
};
inline constexpr Duration kBenchHelloMax = seconds(2);

struct StreamBench {
  static constexpr const char* kCluster = "cluster-1";

  StreamBench(ContractWorld& contract_world, StreamMakers made)
      : world(contract_world),
        env(contract_world.env()),
        dialer(std::move(made.dialer)),
        acceptor(std::move(made.acceptor)),
        scope(env.reactor),
        changed(env.reactor) {
    acceptor->OnStream(
        StreamKind::kBroker,
        [this](const StreamHello& hello) -> absl::StatusOr<StreamWelcome> {
          ++hellos;
          absl::Status meant = CheckHello(hello, kCluster, BrokerId(2));
          if (!meant.ok()) return meant;
          if (!refusal.empty()) return absl::AlreadyExistsError(refusal);
          return StreamWelcome{.from = answers_as,
                               .from_directory = DirectoryId(7, 8),
                               .protocol = 1,
                               .features = 5};
        },
        [this](std::unique_ptr<MessageStream> stream) {
          accepted.push_back(std::move(stream));
          changed.Pulse();
        });
  }

  Task<void> Start() {
    auto made = co_await env.network.Listen({.host = world.host(), .port = 0}, {});
    MR_CHECK(made.ok());
    listener = *std::move(made);
    scope.Spawn(AcceptLoop());
    relay = std::make_unique<StreamRelay>(env, listener->local());
    co_await relay->Listen(world.host());
  }
  Task<void> Stop() {
    while (!accepted.empty()) {
      std::unique_ptr<MessageStream> stream = std::move(accepted.front());
      accepted.pop_front();
      co_await stream->Close();
    }
    listener->Shutdown();
    co_await relay->Stop();
    co_await acceptor->Stop();
    co_await scope.Join();
    co_await listener->Close();
  }

  Task<void> AcceptLoop() {
    for (;;) {
      auto connection = co_await listener->Accept();
      if (!connection.ok()) co_return;
      scope.Spawn(ServeOne(*std::move(connection)));
    }
  }
  Task<void> ServeOne(std::unique_ptr<Connection> connection) {
    ++serving;
    co_await acceptor->Serve(std::move(connection), Slice());
    --serving;
    changed.Pulse();
  }

  static StreamHello Hello() {
    return {.kind = StreamKind::kBroker,
            .cluster_id = kCluster,
            .from = BrokerId(1),
            .from_directory = DirectoryId(3, 4),
            .to = BrokerId(2),
            .protocol = 1,
            .features = 9};
  }
  Instant Soon() const { return env.reactor.Now() + seconds(20); }
  Task<absl::StatusOr<std::unique_ptr<MessageStream>>> Dial(StreamHello hello = Hello()) {
    co_return co_await dialer->Dial(relay->address(), std::move(hello), Soon());
  }
  Task<std::unique_ptr<MessageStream>> Accepted() {
    while (accepted.empty()) co_await changed.Wait();
    std::unique_ptr<MessageStream> stream = std::move(accepted.front());
    accepted.pop_front();
    co_return stream;
  }
  // A connection to the acceptor without a dialer.
  Task<std::unique_ptr<Connection>> Raw() {
    auto made = co_await env.network.Connect(listener->local(), Soon());
    MR_CHECK(made.ok());
    co_return *std::move(made);
  }
  // Until `done` or twenty seconds have passed.
  Task<bool> Until(std::move_only_function<bool()> done) {
    const Instant deadline = Soon();
    while (!done()) {
      if (env.reactor.Now() >= deadline) co_return false;
      co_await Sleep(env.reactor, milliseconds(1));
    }
    co_return true;
  }

  ContractWorld& world;
  Env& env;
  std::unique_ptr<StreamDialer> dialer;
  std::unique_ptr<StreamAcceptor> acceptor;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<StreamRelay> relay;
  TaskScope scope;
  Event changed;
  std::deque<std::unique_ptr<MessageStream>> accepted;
  int hellos = 0;
  int serving = 0;
  std::string refusal;  // Not empty: why every hello is refused.
  BrokerId answers_as{2};
};

}  // namespace millrace
