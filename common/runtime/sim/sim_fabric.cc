#include "common/runtime/sim/sim_fabric.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/check.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_process.h"
#include "common/runtime/sim/sim_world.h"

namespace millrace {
namespace {

constexpr uint16_t kFirstEphemeralPort = 32768;

absl::Status Reset() { return absl::UnavailableError("connection reset by peer"); }

}  // namespace

SimEnd::SimEnd(SimProcess& of, SimReactor& on, SocketAddress local_address,
               SocketAddress peer_address)
    : process(of),
      local(std::move(local_address)),
      peer(std::move(peer_address)),
      reactor(&on),
      readable(on),
      writable(on) {}

void SimEnd::MoveTo(SimReactor& on) {
  reactor = &on;
  readable.emplace(on);
  writable.emplace(on);
}

SimPort::SimPort(SimProcess& of, SimReactor& on, SocketAddress address, size_t backlog_limit)
    : process(of),
      reactor(on),
      local(std::move(address)),
      backlog_max(backlog_limit),
      arrived(on) {}

SimFabric::SimFabric(SimWorld& world, SimNetworkOptions options)
    : world_(world), options_(options), dice_(SimRandom::Derived(world.seed(), "network")) {}

SimFabric::~SimFabric() = default;

void SimFabric::Clear() {
  ports_.clear();
  links_.clear();
}

void SimFabric::CutOneWay(const SimNode& from, const SimNode& to) {
  cuts_.insert({from.index(), to.index()});
  world_.trace().Record(world_.Now(), "network", "cut", {from.index(), to.index()});
}

void SimFabric::Cut(const SimNode& a, const SimNode& b) {
  CutOneWay(a, b);
  CutOneWay(b, a);
}

void SimFabric::Isolate(const SimNode& node) {
  for (uint32_t other = 0; other < world_.nodes(); ++other) {
    if (other != node.index()) Cut(node, world_.node(other));
  }
}

void SimFabric::Heal(const SimNode& a, const SimNode& b) {
  cuts_.erase({a.index(), b.index()});
  cuts_.erase({b.index(), a.index()});
  world_.trace().Record(world_.Now(), "network", "heal", {a.index(), b.index()});
  Retry([&](const SimLink&) { return true; });
}

void SimFabric::HealAll() {
  cuts_.clear();
  world_.trace().Record(world_.Now(), "network", "heal all", {});
  Retry([](const SimLink&) { return true; });
}

bool SimFabric::IsCut(const SimNode& from, const SimNode& to) const {
  return cuts_.contains({from.index(), to.index()});
}

std::vector<std::shared_ptr<SimLink>> SimFabric::Links() {
  std::vector<std::shared_ptr<SimLink>> links;
  for (auto at = links_.begin(); at != links_.end();) {
    if (std::shared_ptr<SimLink> link = at->second.lock()) {
      links.push_back(std::move(link));
      ++at;
    } else {
      at = links_.erase(at);
    }
  }
  return links;
}

size_t SimFabric::open_connections() const {
  size_t open = 0;
  for (const auto& [id, weak] : links_) {
    std::shared_ptr<SimLink> link = weak.lock();
    if (link != nullptr && !(link->ends[0]->closed && link->ends[1]->closed)) ++open;
  }
  return open;
}

void SimFabric::Retry(std::move_only_function<bool(const SimLink&)> concerned) {
  for (const std::shared_ptr<SimLink>& link : Links()) {
    if (!concerned(*link)) continue;
    for (int to : {0, 1}) {
      if (link->ends[to]->on_the_way.empty()) continue;
      SimNode& from = link->ends[1 - to]->process.node();
      // Sent again, and behind nothing: the held segments keep their order in the queue.
      ScheduleDelivery(link, to, world_.Now() + Latency(from, link->ends[to]->process.node()));
    }
  }
}

void SimFabric::Break(const SimNode& a, const SimNode& b) {
  for (const std::shared_ptr<SimLink>& link : Links()) {
    const uint32_t first = link->ends[0]->process.node().index();
    const uint32_t second = link->ends[1]->process.node().index();
    if (!(first == a.index() && second == b.index()) &&
        !(first == b.index() && second == a.index())) {
      continue;
    }
    for (auto& end : link->ends) BreakSide(*end, Reset());
  }
}

void SimFabric::BreakAll() {
  for (const std::shared_ptr<SimLink>& link : Links()) {
    for (auto& end : link->ends) BreakSide(*end, Reset());
  }
}

SimNode* SimFabric::Resolve(SimNode& from, const std::string& host) {
  if (host.empty() || host == "localhost" || host == "127.0.0.1" || host == "::1" ||
      host == "0.0.0.0" || host == "::") {
    return &from;
  }
  return world_.FindNode(host);
}

uint16_t SimFabric::FreePort(uint32_t node) {
  uint16_t& next = next_port_.try_emplace(node, kFirstEphemeralPort).first->second;
  for (;;) {
    const uint16_t port = next;
    next = next == 65535 ? kFirstEphemeralPort : static_cast<uint16_t>(next + 1);
    if (!ports_.contains({node, port})) return port;
  }
}

absl::StatusOr<std::unique_ptr<SimPort>> SimFabric::Listen(SimProcess& process, SimReactor& reactor,
                                                           SocketAddress address,
                                                           ListenOptions options) {
  SimNode& node = process.node();
  if (Resolve(node, address.host) != &node) {
    return absl::FailedPreconditionError(
        fmt::format("{} is not an address of {}", address.host, node.name()));
  }
  if (address.port == 0) address.port = FreePort(node.index());
  if (address.host.empty()) address.host = node.name();
  std::vector<SimPort*>& there = ports_[{node.index(), address.port}];
  const bool may_join = options.sharing == PortSharing::kJoin &&
                        std::ranges::none_of(there, [](SimPort* port) { return port->alone; });
  if (!there.empty() && !may_join) {
    return absl::FailedPreconditionError(
        fmt::format("port {} of {} is in use", address.port, node.name()));
  }
  auto port = std::make_unique<SimPort>(process, reactor, std::move(address),
                                        static_cast<size_t>(std::max(options.backlog, 1)));
  port->alone = options.sharing == PortSharing::kAlone;
  there.push_back(port.get());
  process.Trace("listen", {port->local.port});
  return port;
}

void SimFabric::StopListening(SimPort& port) {
  auto found = ports_.find({port.process.node().index(), port.local.port});
  if (found != ports_.end()) {
    std::erase(found->second, &port);
    if (found->second.empty()) ports_.erase(found);
  }
  for (const std::shared_ptr<SimLink>& link : std::exchange(port.backlog, {})) Close(link, 1);
}

Duration SimFabric::Latency(const SimNode& from, const SimNode& to) {
  if (from.index() == to.index()) return dice_.Between(Duration(1000), options_.local_latency_max);
  return dice_.Between(options_.latency_min, options_.latency_max);
}

SimFabric::Dial SimFabric::TryConnect(SimProcess& process, SimReactor& reactor, SimNode& to,
                                      uint16_t port, std::shared_ptr<SimLink>* link) {
  SimNode& from = process.node();
  if (!to.powered() || IsCut(from, to) || IsCut(to, from)) return Dial::kNoAnswer;
  auto found = ports_.find({to.index(), port});
  if (found == ports_.end()) return Dial::kRefused;
  // The kernel spreads connections over the sockets of a port by a hash; here by chance.
  SimPort& chosen = *found->second[dice_.Below(found->second.size())];
  if (chosen.backlog.size() >= chosen.backlog_max) return Dial::kNoAnswer;
  SocketAddress client{from.name(), FreePort(from.index())};
  SocketAddress server{to.name(), port};
  auto made = std::make_shared<SimLink>();
  made->id = next_link_++;
  made->ends[0] = std::make_unique<SimEnd>(process, reactor, client, server);
  made->ends[1] = std::make_unique<SimEnd>(chosen.process, chosen.reactor, server, client);
  links_.emplace(made->id, made);
  process.Trace("connect", {to.index(), port, made->id});
  chosen.backlog.push_back(made);
  chosen.arrived.Pulse();
  *link = std::move(made);
  return Dial::kConnected;
}

void SimFabric::Send(const std::shared_ptr<SimLink>& link, int to, SimEnd::Segment::Kind kind,
                     Slice data) {
  SimEnd& end = *link->ends[to];
  SimEnd& sender = *link->ends[1 - to];
  const auto nanoseconds = static_cast<int64_t>(static_cast<unsigned __int128>(data.size()) *
                                                1'000'000'000 / options_.bytes_per_second);
  Instant arrives = world_.Now() + Latency(sender.process.node(), end.process.node());
  // Not before the one ahead of it, and not faster than the wire.
  if (!end.on_the_way.empty()) arrives = std::max(arrives, end.on_the_way.back().arrives);
  arrives = arrives + Duration(nanoseconds);
  if (kind == SimEnd::Segment::Kind::kData && dice_.Chance(options_.breaks)) {
    BreakSide(end, Reset());
    BreakSide(sender, Reset());
    return;
  }
  sender.process.Trace("send", {link->id, static_cast<uint64_t>(to), data.size(),
                                static_cast<uint64_t>(arrives.nanoseconds())});
  end.outstanding += data.size();
  end.on_the_way.push_back({kind, std::move(data), arrives, next_segment_++});
  ScheduleDelivery(link, to, arrives);
  GiveUpLater(link, to, end.on_the_way.back().number);
}

void SimFabric::ScheduleDelivery(const std::shared_ptr<SimLink>& link, int to, Instant when) {
  world_.At(when, [this, link, to] { Deliver(link, to); });
}

void SimFabric::GiveUpLater(const std::shared_ptr<SimLink>& link, int to, uint64_t number) {
  world_.After(options_.give_up_after, [this, link, to, number] {
    SimEnd& end = *link->ends[to];
    if (end.on_the_way.empty() || end.on_the_way.front().number > number) return;
    // Only the sender knows; the other side stays half open until it says something.
    BreakSide(*link->ends[1 - to], absl::UnavailableError("connection timed out"));
    end.on_the_way.clear();
  });
}

void SimFabric::Deliver(const std::shared_ptr<SimLink>& link, int to) {
  SimEnd& end = *link->ends[to];
  SimEnd& sender = *link->ends[1 - to];
  SimNode& from = sender.process.node();
  SimNode& here = end.process.node();
  if (IsCut(from, here) || !here.powered()) return;  // Held: Retry() comes when that ends.
  while (!end.on_the_way.empty() && end.on_the_way.front().arrives <= world_.Now()) {
    SimEnd::Segment segment = std::move(end.on_the_way.front());
    end.on_the_way.pop_front();
    world_.trace().Record(world_.Now(), here.name(), "arrive",
                          {link->id, segment.data.size(), static_cast<uint64_t>(segment.kind)});
    if (segment.kind == SimEnd::Segment::Kind::kReset) {
      BreakSide(end, Reset());
    } else if (end.closed || !end.broken.ok()) {
      // Nobody there any more: the kernel answers with a reset.
      end.outstanding -= segment.data.size();
      if (sender.broken.ok() && !sender.closed) {
        Send(link, 1 - to, SimEnd::Segment::Kind::kReset, Slice());
      }
    } else if (segment.kind == SimEnd::Segment::Kind::kEnd) {
      end.end_arrived = true;
      end.readable->Pulse();
    } else {
      end.received.push_back(std::move(segment.data));
      end.readable->Pulse();
    }
  }
}

void SimFabric::BreakSide(SimEnd& end, absl::Status why) {
  if (!end.broken.ok()) return;
  end.broken = std::move(why);
  end.received.clear();
  end.on_the_way.clear();
  end.outstanding = 0;
  end.readable->Pulse();
  end.writable->Pulse();
}

void SimFabric::Close(const std::shared_ptr<SimLink>& link, int side) {
  SimEnd& end = *link->ends[side];
  if (end.closed) return;
  end.closed = true;
  SimEnd& other = *link->ends[1 - side];
  // Closed with bytes unread: the peer gets a reset, as from a real kernel.
  const bool unread = !end.received.empty();
  end.received.clear();
  if (!end.broken.ok() || other.closed) return;
  if (unread) {
    Send(link, 1 - side, SimEnd::Segment::Kind::kReset, Slice());
  } else if (!end.shut_down) {
    Send(link, 1 - side, SimEnd::Segment::Kind::kEnd, Slice());
  }
}

void SimFabric::ProcessDied(SimProcess& process, bool power_lost) {
  for (auto at = ports_.begin(); at != ports_.end();) {
    for (SimPort* port : at->second) {
      if (&port->process != &process) continue;
      port->shut_down = true;
      port->arrived.Pulse();
      for (const auto& link : std::exchange(port->backlog, {})) {
        if (!power_lost) Close(link, 1);
        link->ends[1]->closed = true;
      }
    }
    std::erase_if(at->second, [&](SimPort* port) { return &port->process == &process; });
    at = at->second.empty() ? ports_.erase(at) : std::next(at);
  }
  for (const std::shared_ptr<SimLink>& link : Links()) {
    for (int side : {0, 1}) {
      SimEnd& end = *link->ends[side];
      if (&end.process != &process || end.closed) continue;
      if (!power_lost && end.broken.ok() && !link->ends[1 - side]->closed) {
        // What the dead had sent is still delivered before the end or the reset.
        const bool reset = !end.received.empty() || dice_.Coin();
        Send(link, 1 - side, reset ? SimEnd::Segment::Kind::kReset : SimEnd::Segment::Kind::kEnd,
             Slice());
      }
      if (power_lost) link->ends[1 - side]->on_the_way.clear();
      end.closed = true;
      end.broken = absl::CancelledError("the simulated process has died");
      end.readable->Pulse();
      end.writable->Pulse();
    }
  }
}

void SimFabric::NodeIsUp(SimNode& node) {
  Retry([&](const SimLink& link) {
    return link.ends[0]->process.node().index() == node.index() ||
           link.ends[1]->process.node().index() == node.index();
  });
}

}  // namespace millrace
