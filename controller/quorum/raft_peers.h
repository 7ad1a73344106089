// RaftPeers: the streams between this replica of the metadata log and the others: who dials whom,
// what waits to be sent, snapshots in pieces, and the news that a stream broke.
//
//   one stream per pair: the higher id dials at once, the lower one only where that has not come
//   about within Options::grace; a replica that is no voter dials at once. Should both have dialed,
//   both streams live, and what is sent goes on the newer.
//   broken: the last stream with a peer ended by itself: RaftPeersUser::OnPeerLost(). A dial that
//   fails, a stream that was replaced, and our own Stop() are no such news. OnPeerBack(): there is
//   a stream with it, where there was none.
//
// Raft tolerates the loss of any message, so nothing is acknowledged or sent again here.
//
// Shard:    shard 0. The user is called from tasks of this object, never from within its calls.
// Lifetime: everything lent outlives it; Stop() must have finished before destruction.
// Errors:   none: a peer that cannot be reached is silent.
// Bound:    per peer Options::queue_*_max waiting (what comes beyond is dropped), one snapshot
//           under way in each direction; Options::peers_max peers (hellos beyond are refused).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/env.h"
#include "common/runtime/event.h"
#include "common/runtime/gate.h"
#include "common/runtime/task_scope.h"
#include "controller/quorum/raft_codec.h"
#include "controller/quorum/raft_store.h"
#include "controller/transport/message_stream.h"

namespace millrace {

struct RaftPeersOptions {
  milliseconds dial_timeout{2000};
  // Between two dials of one peer: from the smaller, doubling up to the larger, with jitter.
  // Smaller: found again sooner; larger: less noise while it is away.
  milliseconds backoff_min{20};
  milliseconds backoff_max{500};
  // How long the lower id of a pair waits for the other to dial.
  milliseconds grace{1000};
  size_t queue_messages_max = 1024;
  size_t queue_bytes_max = size_t{16} << 20;
  size_t snapshot_bytes_max = size_t{512} << 20;  // Received; beyond it is dropped.
  size_t peers_max = 64;
};

class RaftPeersUser {
 public:
  virtual ~RaftPeersUser() = default;
  virtual void OnMessage(raft::Message message) = 0;
  virtual void OnPeerLost(BrokerId peer) = 0;
  virtual void OnPeerBack(BrokerId peer) = 0;
  virtual void OnSnapshotSent(const raft::ReplicaKey& peer, bool sent) = 0;
  virtual void OnVotersHint(const raft::VoterSet& voters) = 0;
  virtual void OnJoinRequest(JoinRequest request) = 0;
  virtual void OnJoinAnswer(BrokerId peer, JoinAnswer answer) = 0;
  // A bootstrap server turned out to be this replica.
  virtual void OnContact(BrokerId peer) = 0;
};

class RaftPeers {
 public:
  RaftPeers(Env& env, StreamDialer& dialer, RaftStore& store, RaftPeersUser& user,
            const raft::ReplicaKey& self, std::string cluster_id, const RaftPeersOptions& options);
  ~RaftPeers();

  // Whom to dial, by id and address; who is not named is dialed no more. `eager`: without grace,
  // for a replica that is no voter.
  void SetAddresses(const std::map<BrokerId, std::vector<SocketAddress>>& addresses, bool eager);
  // Addresses of whoever may know the quorum; dialed as long as they are set.
  void SetBootstrap(const std::vector<SocketAddress>& addresses);

  void Send(raft::Message message);
  // What is no message of the core: a hint, a change of the voters that is asked for.
  void SendBeside(BrokerId peer, const RaftFrame& frame);

  // The door of kind kRaft: what to answer a hello, and the stream that was welcomed.
  absl::StatusOr<StreamWelcome> Check(const StreamHello& hello) const;
  void Accept(std::unique_ptr<MessageStream> stream);

  Task<void> Stop();

  // Streams that are up, for people.
  size_t connected() const;
  uint64_t dropped() const { return dropped_; }

 private:
  // One stream.
  struct Link {
    Link(Reactor& reactor, std::unique_ptr<MessageStream> stream, bool dialed)
        : stream(std::move(stream)), dialed(dialed), senders(reactor) {}
    std::unique_ptr<MessageStream> stream;
    const bool dialed;
    bool replaced = false;
    Gate senders;
    // The snapshot that is being received.
    std::optional<raft::Message> install;
    std::vector<std::string> pieces;
    size_t pieces_bytes = 0;
  };
  struct Peer {
    Peer(Reactor& reactor, BrokerId id) : id(id), changed(reactor) {}
    const BrokerId id;
    std::vector<SocketAddress> addresses;
    bool dialing = false;  // Its DialLoop runs.
    std::deque<std::string> queue;
    size_t queue_bytes = 0;
    std::vector<std::shared_ptr<Link>> links;  // The newest last.
    bool snapshot_under_way = false;
    Event changed;
  };

  Peer* FindOrAdd(BrokerId id);
  void Enqueue(Peer& peer, std::string bytes);
  StreamHello Hello(std::optional<BrokerId> to) const;
  Duration Jittered(Duration upto);

  Task<void> DialLoop(Peer* peer);
  Task<void> BootstrapLoop(SocketAddress address);
  Task<void> SendLoop(Peer* peer);
  Task<void> Serve(Peer* peer, std::unique_ptr<MessageStream> stream, bool dialed);
  Task<void> ReceiveAll(Peer* peer, std::shared_ptr<Link> link);
  // False: not a peer of ours; the stream is to end.
  bool Received(Peer& peer, Link& link, std::string_view bytes);
  bool ReceivedPiece(Link& link, SnapshotPiece piece);
  Task<void> SendSnapshot(Peer* peer, std::shared_ptr<Link> link, raft::Message message);
  Task<bool> SendPieces(std::shared_ptr<Link> link, raft::Message message);

  // Constant after construction.
  const raft::ReplicaKey self_;
  const std::string cluster_id_;
  const RaftPeersOptions options_;
  // Borrowed.
  Env& env_;
  StreamDialer& dialer_;
  RaftStore& store_;
  RaftPeersUser& user_;
  // State.
  std::map<BrokerId, std::unique_ptr<Peer>> peers_;
  std::vector<SocketAddress> bootstrap_;
  bool eager_ = false;
  uint64_t dropped_ = 0;
  TaskScope scope_;
  TaskScope late_;  // Lets go of streams that arrive while everything stops.
};

}  // namespace millrace
