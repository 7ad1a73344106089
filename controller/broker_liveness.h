// BrokerLiveness: which brokers the active controller takes for dead, by evidence where there is
// some and by silence where there is none.
//
//   silent     no heartbeat for session_timeout                                   -> fenced
//   suspect    the session's stream broke; or a new controller hears from others that a broker
//              that has not yet come to it is gone. Then it is dialed, again and again, and
//                dialing is refused                                               -> fenced
//                another broker lost it too, and nobody answers                   -> fenced
//                this node's Raft connection to it broke too, nobody answers for
//                alone_grace                                                      -> fenced
//                it answers, or comes back                                        -> not fenced
//
// Other brokers tell when their replication streams to or from it broke; that is what an
// independent observer is. A Raft connection goes the way the session's stream went and proves
// less. A controller that lost several streams at once is probably itself cut off, or stopping:
// then its own connections prove nothing, and what counts is a refused dial or the word of a broker
// that still speaks to it. Nothing is decided before `grace` has passed since the first suspicion,
// so that losses that belong together are seen together.
//
// A new active controller gives every broker a whole session_timeout to come. A tick that comes
// much too late (the process was stopped) gives everyone the time it was late.
//
// The broker of this process, once registered here, is never taken for dead: it dies with us.
//
// Pure: no I/O, no clock. What is to be done comes out of TakeActions().
// Source: docs/architecture.md, Control plane.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/time.h"
#include "controller/broker_registration.h"

namespace millrace {

struct LivenessOptions {
  // broker.session.timeout.ms. Shorter: a machine that falls silent is noticed earlier, and a busy
  // one is taken for dead earlier.
  Duration session_timeout = seconds(3);
  // How long a suspicion waits for what belongs to it.
  Duration grace = milliseconds(30);
  // The same when only this node's own connections speak: a network that resets all of them and
  // answers nobody is not a dead broker until this has passed. Well below a client's patience.
  Duration alone_grace = milliseconds(150);
  // How often a suspect is dialed.
  Duration probe_interval = milliseconds(50);
  // Evidence that is older than the suspicion by more than this belongs to something else.
  Duration evidence_age_max = seconds(2);
};

enum class EvidenceKind : uint8_t {
  kRaftPeerLost,     // This node's Raft connection to the node of that id broke.
  kRaftPeerBack,     // It is there again.
  kReplicationLost,  // `witness` says: a replication stream between us broke.
  kReplicationBack,  // `witness` says: it is there again.
  kDialRefused,      // Answer to a probe: nobody listens there.
  kDialAnswered,     // Answer to a probe: the connection was accepted.
  kDialUnreachable,  // Answer to a probe: neither; says nothing.
};

struct Evidence {
  EvidenceKind kind;
  BrokerId about;
  std::optional<BrokerId> witness{};  // For the replication kinds.
};

class BrokerLiveness {
 public:
  explicit BrokerLiveness(LivenessOptions options) : options_(options) {}

  struct Fence {
    BrokerId id;
    BrokerEpoch epoch;
    std::string reason;
  };
  struct Probe {
    BrokerId id;
  };
  struct Actions {
    std::vector<Fence> fence;
    std::vector<Probe> probe;
    bool empty() const { return fence.empty() && probe.empty(); }
  };

  struct Known {
    BrokerId id;
    BrokerEpoch epoch;
    bool fenced;
    bool local;  // In this process.
  };
  // This node became the active controller; these are registered.
  void Activate(const std::vector<Known>& brokers, Instant now);
  // It no longer is; nothing comes out any more.
  void Deactivate();

  // A registration was committed, or the registered incarnation came (back) with a new stream.
  void OnRegistered(BrokerId id, BrokerEpoch epoch, bool local, Instant now);
  void OnUnregistered(BrokerId id);
  void OnHeartbeat(BrokerId id, BrokerEpoch epoch, Instant now);
  // Its fencing or unfencing was committed.
  void OnFenced(BrokerId id, bool fenced);
  // What TakeActions() asked for could not be committed: it is asked for again a little later.
  void OnFencingFailed(BrokerId id, BrokerEpoch epoch, Instant now);
  // The stream of that incarnation broke.
  void OnStreamBroke(BrokerId id, BrokerEpoch epoch, Instant now);
  void OnEvidence(const Evidence& evidence, Instant now);
  void OnTick(Instant now);
  // When OnTick() is due.
  Instant next_tick() const;

  Actions TakeActions();

  SessionState session(BrokerId id, Instant now) const;
  // Whether that registration is still taken for dead: it may have come back since TakeActions().
  bool IsDead(BrokerId id, BrokerEpoch epoch) const;

 private:
  struct Broker {
    BrokerEpoch epoch;
    bool fenced;
    bool local;
    bool streaming;                      // Has a session here that has not broken.
    Instant heard;                       // The last sign of life.
    std::optional<Instant> suspected{};  // Since when.
    std::optional<Instant> raft_lost{};
    std::map<BrokerId, Instant> replication_lost{};  // By witness.
    std::optional<EvidenceKind> dialed{};            // The latest answer since the suspicion.
    std::optional<Instant> next_probe{};
    bool fencing = false;                  // Asked for; comes out once.
    std::optional<Instant> fence_after{};  // Not before, because it has failed.
  };

  Broker* Find(BrokerId id);
  void Suspect(Broker& broker, Instant now);
  void Clear(Broker& broker);
  void Judge(BrokerId id, Broker& broker, Instant now);
  // Why `broker` is dead, or nothing.
  std::optional<std::string> Verdict(BrokerId id, const Broker& broker, Instant now) const;
  // Several streams of this controller broke around `when`.
  bool LostManyAround(Instant when) const;

  const LivenessOptions options_;
  bool active_ = false;
  std::map<BrokerId, Broker> brokers_;
  std::vector<std::pair<Instant, BrokerId>> breaks_;  // Of streams, lately; oldest first.
  std::optional<Instant> last_tick_;
  Actions actions_;
};

}  // namespace millrace
