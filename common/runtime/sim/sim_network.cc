#include "common/runtime/sim/sim_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/check.h"
#include "common/connection_refused.h"
#include "common/runtime/sim/sim_fabric.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_process.h"
#include "common/runtime/sim/sim_world.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

constexpr Duration kSystemCallMax = microseconds(10);
constexpr Duration kSynRetry = milliseconds(200);

absl::Status Crashed() { return absl::CancelledError("the simulated process has died"); }
absl::Status ShutDown() { return absl::CancelledError("the connection was shut down"); }

// Counts a call in flight; destroying or closing under one is a bug.
class Pending {
 public:
  explicit Pending(int& count) : count_(count) { ++count_; }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;
  ~Pending() { --count_; }

 private:
  int& count_;
};

class SimDetached final : public DetachedConnection {
 public:
  SimDetached(SimFabric& fabric, std::shared_ptr<SimLink> link, int side)
      : fabric_(fabric), link_(std::move(link)), side_(side) {}
  ~SimDetached() override {
    if (link_ != nullptr && !link_->ends[side_]->process.dead()) fabric_.Close(link_, side_);
  }
  int side() const { return side_; }
  std::shared_ptr<SimLink> Take() { return std::move(link_); }

 private:
  SimFabric& fabric_;
  std::shared_ptr<SimLink> link_;
  const int side_;
};

class SimConnection final : public Connection {
 public:
  SimConnection(SimFabric& fabric, std::shared_ptr<SimLink> link, int side)
      : fabric_(fabric), link_(std::move(link)), side_(side) {}
  ~SimConnection() override {
    MR_CHECK(closed_);
    MR_CHECK(receiving_ == 0);
    MR_CHECK(sending_ == 0);
  }

  Task<absl::StatusOr<Slice>> ReceiveSome(size_t bytes_max) override;
  Task<absl::StatusOr<MutableBuffer>> ReceiveExactly(MutableBuffer into, size_t begin,
                                                     size_t end) override;
  Task<absl::Status> Send(Chain data) override;
  void Shutdown() override;
  Task<void> Close() override;
  std::unique_ptr<DetachedConnection> Detach() override;
  const SocketAddress& peer() const override { return end().peer; }
  const SocketAddress& local() const override { return end().local; }

 private:
  SimEnd& end() const { return *link_->ends[side_]; }
  SimEnd& other() const { return *link_->ends[1 - side_]; }
  SimDelay SystemCall() const {
    return {
        end().process, *end().reactor,
        end().process.dead() ? Duration(0) : fabric_.dice().Between(Duration(500), kSystemCallMax)};
  }
  // Why calls on this side fail; ok while they do not.
  absl::Status Health() const {
    if (end().process.dead()) return Crashed();
    if (end().shut_down || closed_) return ShutDown();
    return end().broken;
  }
  // Waits until something can be received; at the end of the stream ok with nothing there.
  Task<absl::Status> WaitReadable();
  // Takes up to `bytes_max` of what is there.
  Slice Take(size_t bytes_max);

  SimFabric& fabric_;
  const std::shared_ptr<SimLink> link_;
  const int side_;
  int receiving_ = 0;
  int sending_ = 0;
  bool closed_ = false;
};

Task<absl::Status> SimConnection::WaitReadable() {
  co_await SystemCall();
  for (;;) {
    MR_CO_RETURN_IF_ERROR(Health());
    if (!end().received.empty() || end().end_arrived) co_return absl::OkStatus();
    co_await end().readable->Wait();
  }
}

Slice SimConnection::Take(size_t bytes_max) {
  Slice& front = end().received.front();
  const size_t count = std::min(bytes_max, front.size());
  Slice taken = front.Sub(0, count);
  if (count == front.size()) {
    end().received.pop_front();
  } else {
    front = front.From(count);
  }
  end().outstanding -= count;
  other().writable->Pulse();
  return taken;
}

Task<absl::StatusOr<Slice>> SimConnection::ReceiveSome(size_t bytes_max) {
  MR_CHECK(bytes_max > 0);
  MR_CHECK(receiving_ == 0);
  Pending pending(receiving_);
  MR_CO_RETURN_IF_ERROR(co_await WaitReadable());
  if (end().received.empty()) co_return Slice();
  co_return Take(bytes_max);
}

Task<absl::StatusOr<MutableBuffer>> SimConnection::ReceiveExactly(MutableBuffer into, size_t begin,
                                                                  size_t end_position) {
  MR_CHECK(begin <= end_position);
  MR_CHECK(end_position <= into.size());
  MR_CHECK(receiving_ == 0);
  Pending pending(receiving_);
  while (begin < end_position) {
    MR_CO_RETURN_IF_ERROR(co_await WaitReadable());
    if (end().received.empty()) co_return absl::UnavailableError("the stream ended too early");
    const Slice taken = Take(end_position - begin);
    std::memcpy(into.data() + begin, taken.data(), taken.size());
    begin += taken.size();
  }
  co_return std::move(into);
}

Task<absl::Status> SimConnection::Send(Chain data) {
  MR_CHECK(sending_ == 0);
  Pending pending(sending_);
  co_await SystemCall();
  for (const Slice& slice : data.slices()) {
    size_t done = 0;
    while (done < slice.size()) {
      MR_CO_RETURN_IF_ERROR(Health());
      const SimNetworkOptions& options = fabric_.options();
      if (other().outstanding >= options.buffer_bytes) {
        co_await end().writable->Wait();
        continue;
      }
      const size_t room = options.buffer_bytes - other().outstanding;
      // Mostly full segments: many tiny ones only cost time, but a border may fall anywhere.
      size_t most = options.segment_bytes_max;
      if (fabric_.dice().Below(4) == 0) most = fabric_.dice().Between(1, most);
      const size_t count = std::min({slice.size() - done, room, most});
      fabric_.Send(link_, 1 - side_, SimEnd::Segment::Kind::kData,
                   Slice::Copy(slice.span().subspan(done, count)));
      done += count;
    }
  }
  co_return Health();
}

void SimConnection::Shutdown() {
  if (end().shut_down || closed_) return;
  if (Health().ok() && !other().closed) {
    fabric_.Send(link_, 1 - side_, SimEnd::Segment::Kind::kEnd, Slice());
  }
  end().shut_down = true;
  end().readable->Pulse();
  end().writable->Pulse();
}

Task<void> SimConnection::Close() {
  MR_CHECK(!closed_);
  MR_CHECK(receiving_ == 0);
  MR_CHECK(sending_ == 0);
  if (!end().process.dead()) fabric_.Close(link_, side_);
  closed_ = true;
  co_await SystemCall();
}

std::unique_ptr<DetachedConnection> SimConnection::Detach() {
  MR_CHECK(!closed_);
  MR_CHECK(!end().shut_down);
  MR_CHECK(receiving_ == 0);
  MR_CHECK(sending_ == 0);
  closed_ = true;
  return std::make_unique<SimDetached>(fabric_, link_, side_);
}

class SimListener final : public Listener {
 public:
  SimListener(SimFabric& fabric, std::unique_ptr<SimPort> port)
      : fabric_(fabric), port_(std::move(port)) {}
  ~SimListener() override {
    MR_CHECK(closed_);
    MR_CHECK(accepting_ == 0);
  }

  Task<absl::StatusOr<std::unique_ptr<Connection>>> Accept() override;
  void Shutdown() override {
    if (port_->shut_down) return;
    port_->shut_down = true;
    fabric_.StopListening(*port_);
    port_->arrived.Pulse();
  }
  Task<void> Close() override {
    MR_CHECK(!closed_);
    MR_CHECK(accepting_ == 0);
    Shutdown();
    closed_ = true;
    co_await SimDelay(port_->process, port_->reactor, Duration(0));
  }
  const SocketAddress& local() const override { return port_->local; }

 private:
  SimFabric& fabric_;
  const std::unique_ptr<SimPort> port_;
  int accepting_ = 0;
  bool closed_ = false;
};

Task<absl::StatusOr<std::unique_ptr<Connection>>> SimListener::Accept() {
  Pending pending(accepting_);
  co_await SimDelay(port_->process, port_->reactor, Duration(1000));
  for (;;) {
    if (port_->process.dead()) co_return Crashed();
    if (port_->shut_down) co_return absl::CancelledError("the listener was shut down");
    if (!port_->backlog.empty()) break;
    co_await port_->arrived.Wait();
  }
  std::shared_ptr<SimLink> link = std::move(port_->backlog.front());
  port_->backlog.pop_front();
  port_->process.Trace("accept", {link->id});
  co_return std::make_unique<SimConnection>(fabric_, std::move(link), 1);
}

}  // namespace

Task<absl::StatusOr<std::unique_ptr<Listener>>> SimNetwork::Listen(SocketAddress address,
                                                                   ListenOptions options) {
  if (!co_await SimDelay(process_, reactor_, dice_.Between(Duration(500), kSystemCallMax))) {
    co_return Crashed();
  }
  SimFabric& fabric = process_.world().network();
  MR_CO_ASSIGN_OR_RETURN(auto port,
                         fabric.Listen(process_, reactor_, std::move(address), std::move(options)));
  co_return std::make_unique<SimListener>(fabric, std::move(port));
}

Task<absl::StatusOr<std::unique_ptr<Connection>>> SimNetwork::Connect(SocketAddress address,
                                                                      Instant deadline) {
  SimFabric& fabric = process_.world().network();
  for (;;) {
    SimNode* to = fabric.Resolve(process_.node(), address.host);
    // A name nobody has fails after asking for it.
    const Duration trip =
        to == nullptr || process_.dead()
            ? Duration(0)
            : fabric.Latency(process_.node(), *to) + fabric.Latency(*to, process_.node());
    if (!co_await SimDelay(process_, reactor_, trip)) co_return Crashed();
    if (to == nullptr) {
      co_return absl::UnavailableError(fmt::format("no node is named {}", address.host));
    }
    std::shared_ptr<SimLink> link;
    switch (fabric.TryConnect(process_, reactor_, *to, address.port, &link)) {
      case SimFabric::Dial::kConnected:
        co_return std::make_unique<SimConnection>(fabric, std::move(link), 0);
      case SimFabric::Dial::kRefused:
        co_return ConnectionRefusedError(
            fmt::format("{}:{} refused the connection", address.host, address.port));
      case SimFabric::Dial::kNoAnswer:
        break;
    }
    const Duration left = deadline - process_.Now();
    if (left <= Duration(0)) {
      co_return absl::DeadlineExceededError(
          fmt::format("{}:{} did not answer", address.host, address.port));
    }
    if (!co_await SimDelay(process_, reactor_, std::min(left, kSynRetry))) co_return Crashed();
  }
}

std::unique_ptr<Connection> SimNetwork::Adopt(std::unique_ptr<DetachedConnection> connection) {
  auto& detached = static_cast<SimDetached&>(*connection);
  const int side = detached.side();
  std::shared_ptr<SimLink> link = detached.Take();
  MR_CHECK(&link->ends[side]->process == &process_);
  link->ends[side]->MoveTo(reactor_);
  return std::make_unique<SimConnection>(process_.world().network(), std::move(link), side);
}

}  // namespace millrace
