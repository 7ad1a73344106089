// SimFabric: the wires and kernels between the simulated nodes: who listens, which connections
// exist, which ways are cut.
//
// A connection is two one-way streams of segments. Segments of a stream arrive in order, each after
// a drawn latency and what the bandwidth takes; those of different connections overtake each other.
// A cut way holds segments back (the kernel sends them again); they arrive after the cut heals, or
// the connection breaks when that takes too long. Lost segments do not exist within a stream:
// losing means breaking (SimNetworkOptions::breaks, Break()).
//
// Deaths: a killed process's kernel resets its connections, and the peers learn it when the reset
// arrives. A machine without power says nothing: its peers wait until they give up, or until the
// machine is up again and answers their next segment with a reset (a half-open connection).
//
// Shard:    the world's.
// Lifetime: the world's.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/bytes/slice.h"
#include "common/network.h"
#include "common/runtime/event.h"
#include "common/runtime/sim/sim_network_options.h"
#include "common/runtime/sim/sim_random.h"

namespace millrace {

class SimNode;
class SimProcess;
class SimReactor;
class SimWorld;

// One side of a connection, as its kernel sees it. `link` is shared by both sides.
struct SimEnd {
  SimEnd(SimProcess& of, SimReactor& on, SocketAddress local_address, SocketAddress peer_address);

  struct Segment {
    enum class Kind { kData, kEnd, kReset };
    Kind kind;
    Slice data;
    Instant arrives;
    uint64_t number;
  };

  // The program has given it to another of its shards, and nobody waits.
  void MoveTo(SimReactor& on);

  // Constant after construction.
  SimProcess& process;
  const SocketAddress local;
  const SocketAddress peer;

  // State.
  SimReactor* reactor;
  std::deque<Segment> on_the_way;  // Towards this side.
  std::deque<Slice> received;
  size_t outstanding = 0;  // Bytes in the two above.
  bool end_arrived = false;
  bool shut_down = false;  // By its own program.
  bool closed = false;     // The program gave it up, or died.
  absl::Status broken;     // Not ok: reset, or given up.
  std::optional<Event> readable;
  std::optional<Event> writable;
};

struct SimLink {
  uint64_t id;
  std::unique_ptr<SimEnd> ends[2];
};

// A listening socket. The program's SimListener owns it.
struct SimPort {
  SimPort(SimProcess& of, SimReactor& on, SocketAddress address, size_t backlog);
  SimProcess& process;
  SimReactor& reactor;
  const SocketAddress local;
  const size_t backlog_max;
  std::deque<std::shared_ptr<SimLink>> backlog;  // Side 1 of each is to be accepted here.
  bool alone = true;                             // Nobody may join (PortSharing).
  bool shut_down = false;
  Event arrived;
};

class SimFabric {
 public:
  SimFabric(SimWorld& world, SimNetworkOptions options);
  SimFabric(const SimFabric&) = delete;
  SimFabric& operator=(const SimFabric&) = delete;
  ~SimFabric();

  // May be changed at any time.
  SimNetworkOptions& options() { return options_; }

  // --- What scenarios do to it.
  // Nothing of `from` arrives at `to` any more; the other way stays.
  void CutOneWay(const SimNode& from, const SimNode& to);
  void Cut(const SimNode& a, const SimNode& b);
  // Cuts `node` from all others, both ways.
  void Isolate(const SimNode& node);
  void Heal(const SimNode& a, const SimNode& b);
  void HealAll();
  bool IsCut(const SimNode& from, const SimNode& to) const;
  // Resets every connection between the two (both sides learn it after a latency).
  void Break(const SimNode& a, const SimNode& b);
  void BreakAll();
  size_t open_connections() const;

  // --- For SimNetwork and the nodes.
  SimRandom& dice() { return dice_; }
  // The node that has this host name: its own name, or a local one ("", localhost, 127.0.0.1, ::1).
  SimNode* Resolve(SimNode& from, const std::string& host);
  absl::StatusOr<std::unique_ptr<SimPort>> Listen(SimProcess& process, SimReactor& reactor,
                                                  SocketAddress address, ListenOptions options);
  void StopListening(SimPort& port);
  enum class Dial { kConnected, kRefused, kNoAnswer };
  // One attempt; `link` is set when it is kConnected: side 0 is the caller's.
  Dial TryConnect(SimProcess& process, SimReactor& reactor, SimNode& to, uint16_t port,
                  std::shared_ptr<SimLink>* link);
  Duration Latency(const SimNode& from, const SimNode& to);
  // Puts a segment on its way to side `to`.
  void Send(const std::shared_ptr<SimLink>& link, int to, SimEnd::Segment::Kind kind, Slice data);
  // The program gave up side `side`.
  void Close(const std::shared_ptr<SimLink>& link, int side);

  void ProcessDied(SimProcess& process, bool power_lost);
  void NodeIsUp(SimNode& node);
  void Clear();

 private:
  using Way = std::pair<uint32_t, uint32_t>;
  using PortKey = std::pair<uint32_t, uint16_t>;

  void Deliver(const std::shared_ptr<SimLink>& link, int to);
  void ScheduleDelivery(const std::shared_ptr<SimLink>& link, int to, Instant when);
  // Everything that waits on the links `concerned` says of may go on.
  void Retry(std::move_only_function<bool(const SimLink&)> concerned);
  void BreakSide(SimEnd& end, absl::Status why);
  void GiveUpLater(const std::shared_ptr<SimLink>& link, int to, uint64_t number);
  std::vector<std::shared_ptr<SimLink>> Links();
  uint16_t FreePort(uint32_t node);

  // Borrowed.
  SimWorld& world_;

  // State.
  SimNetworkOptions options_;
  SimRandom dice_;
  std::set<Way> cuts_;
  std::map<PortKey, std::vector<SimPort*>> ports_;
  std::map<uint64_t, std::weak_ptr<SimLink>> links_;  // By id.
  std::map<uint32_t, uint16_t> next_port_;            // By node.
  uint64_t next_link_ = 1;
  uint64_t next_segment_ = 1;
};

}  // namespace millrace
