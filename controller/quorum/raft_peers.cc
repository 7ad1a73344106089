#include "controller/quorum/raft_peers.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "common/check.h"
#include "common/status_macros.h"
#include "controller/transport/stream_hello.h"

namespace millrace {

RaftPeers::RaftPeers(Env& env, StreamDialer& dialer, RaftStore& store, RaftPeersUser& user,
                     const raft::ReplicaKey& self, std::string cluster_id,
                     const RaftPeersOptions& options)
    : self_(self),
      cluster_id_(std::move(cluster_id)),
      options_(options),
      env_(env),
      dialer_(dialer),
      store_(store),
      user_(user),
      scope_(env.reactor),
      late_(env.reactor) {}

RaftPeers::~RaftPeers() {
  for (const auto& [id, peer] : peers_) MR_CHECK(peer->links.empty());
}

RaftPeers::Peer* RaftPeers::FindOrAdd(BrokerId id) {
  const auto found = peers_.find(id);
  if (found != peers_.end()) return found->second.get();
  if (id == self_.id || peers_.size() >= options_.peers_max || scope_.stopping()) return nullptr;
  Peer* peer = peers_.emplace(id, std::make_unique<Peer>(env_.reactor, id)).first->second.get();
  scope_.Spawn(SendLoop(peer));
  return peer;
}

void RaftPeers::SetAddresses(const std::map<BrokerId, std::vector<SocketAddress>>& addresses,
                             bool eager) {
  eager_ = eager;
  for (const auto& [id, at] : addresses) FindOrAdd(id);
  for (const auto& [id, peer] : peers_) {
    const auto named = addresses.find(id);
    peer->addresses = named == addresses.end() ? std::vector<SocketAddress>() : named->second;
    if (!peer->dialing && !peer->addresses.empty() && !scope_.stopping()) {
      peer->dialing = true;
      scope_.Spawn(DialLoop(peer.get()));
    }
    peer->changed.Pulse();
  }
}

void RaftPeers::SetBootstrap(const std::vector<SocketAddress>& addresses) {
  for (const SocketAddress& address : addresses) {
    const bool known = std::ranges::find(bootstrap_, address) != bootstrap_.end();
    if (!known && !scope_.stopping()) scope_.Spawn(BootstrapLoop(address));
  }
  bootstrap_ = addresses;
}

StreamHello RaftPeers::Hello(std::optional<BrokerId> to) const {
  return {StreamKind::kRaft, cluster_id_, self_.id, self_.directory, to};
}

Duration RaftPeers::Jittered(Duration upto) {
  return upto / 2 + Duration(static_cast<int64_t>(
                        env_.random.Below(static_cast<uint64_t>(upto.count() / 2 + 1))));
}

// --- Dialing -------------------------------------------------------------------------------------

Task<void> RaftPeers::DialLoop(Peer* peer) {
  Duration backoff = options_.backoff_min;
  size_t turn = 0;
  bool waited = false;  // For the other side to dial.
  while (!scope_.stopping()) {
    if (!peer->links.empty() || peer->addresses.empty()) {
      waited = false;
      (void)co_await peer->changed.Wait(std::nullopt, scope_.token());
      continue;
    }
    if (!waited && !eager_ && peer->id > self_.id) {
      waited = true;
      (void)co_await Sleep(env_.reactor, options_.grace, scope_.token());
      continue;  // Whatever it was, look again.
    }
    waited = true;
    const SocketAddress address = peer->addresses[turn++ % peer->addresses.size()];
    auto stream =
        co_await dialer_.Dial(address, Hello(peer->id), env_.reactor.Now() + options_.dial_timeout);
    if (stream.ok()) {
      const Instant began = env_.reactor.Now();
      co_await Serve(peer, *std::move(stream), /*dialed=*/true);
      if (env_.reactor.Now() - began > options_.backoff_max) backoff = options_.backoff_min;
      waited = false;
    } else if (absl::IsFailedPrecondition(stream.status())) {
      env_.logger.Warning("quorum: controller {} at {} refused us: {}", peer->id,
                          address.ToString(), std::string(stream.status().message()));
      backoff = options_.backoff_max;
    }
    (void)co_await Sleep(env_.reactor, Jittered(backoff), scope_.token());
    backoff = std::min<Duration>(2 * backoff, options_.backoff_max);
  }
}

Task<void> RaftPeers::BootstrapLoop(SocketAddress address) {
  Duration backoff = options_.backoff_min;
  while (!scope_.stopping() && std::ranges::find(bootstrap_, address) != bootstrap_.end()) {
    auto stream = co_await dialer_.Dial(address, Hello(std::nullopt),
                                        env_.reactor.Now() + options_.dial_timeout);
    if (stream.ok()) {
      const BrokerId id = (*stream)->welcome().from;
      Peer* peer = FindOrAdd(id);
      if (peer != nullptr) {
        user_.OnContact(id);
        co_await Serve(peer, *std::move(stream), /*dialed=*/true);
      } else {
        co_await (*stream)->Close();
        if (id == self_.id) co_return;  // One of the bootstrap servers is this node.
      }
    }
    (void)co_await Sleep(env_.reactor, Jittered(backoff), scope_.token());
    backoff = std::min<Duration>(2 * backoff, options_.backoff_max);
  }
}

absl::StatusOr<StreamWelcome> RaftPeers::Check(const StreamHello& hello) const {
  if (scope_.stopping()) return absl::UnavailableError("the controller is stopping");
  // A controller of another cluster would lead this one into its own log.
  MR_RETURN_IF_ERROR(CheckHello(hello, cluster_id_, self_.id));
  if (hello.from == self_.id) {
    return absl::FailedPreconditionError(
        fmt::format("controller {} is here; another process claims its node.id", self_.id));
  }
  if (!peers_.contains(hello.from) && peers_.size() >= options_.peers_max) {
    return absl::ResourceExhaustedError("too many replicas of the metadata log");
  }
  return StreamWelcome{self_.id, self_.directory};
}

// Serve() takes over what it is given; this only gives it a task.
void RaftPeers::Accept(std::unique_ptr<MessageStream> stream) {
  Peer* peer = FindOrAdd(stream->hello().from);
  // A scope that stops would drop the task, and the stream with it, unclosed.
  TaskScope& scope = scope_.stopping() ? late_ : scope_;
  scope.Spawn(Serve(peer, std::move(stream), /*dialed=*/false));
}

// --- A stream's life -----------------------------------------------------------------------------

Task<void> RaftPeers::Serve(Peer* peer, std::unique_ptr<MessageStream> stream, bool dialed) {
  auto link = std::make_shared<Link>(env_.reactor, std::move(stream), dialed);
  if (peer == nullptr || scope_.stopping()) {
    link->stream->Shutdown();
    co_await link->senders.Close();
    co_await link->stream->Close();
    co_return;
  }
  // The same side dials again only when it has given the older one up.
  for (const std::shared_ptr<Link>& older : peer->links) {
    if (older->dialed != dialed) continue;
    older->replaced = true;
    older->stream->Shutdown();
  }
  const bool back = peer->links.empty();
  peer->links.push_back(link);
  peer->changed.Pulse();
  if (back) user_.OnPeerBack(peer->id);
  co_await ReceiveAll(peer, link);
  std::erase(peer->links, link);
  peer->changed.Pulse();
  const bool lost = peer->links.empty() && !link->replaced && !scope_.stopping();
  if (lost) user_.OnPeerLost(peer->id);
  link->stream->Shutdown();
  co_await link->senders.Close();
  co_await link->stream->Close();
}

namespace {

// Shuts a stream down when the scope that serves it stops.
class ShutdownOnCancel final : private CancellationCallback {
 public:
  ShutdownOnCancel(MessageStream& stream, CancellationToken token) : stream_(stream) {
    token.Register(*this);
  }

 private:
  void OnCancel() override { stream_.Shutdown(); }
  MessageStream& stream_;
};

}  // namespace

Task<void> RaftPeers::ReceiveAll(Peer* peer, std::shared_ptr<Link> link) {
  ShutdownOnCancel on_stop(*link->stream, scope_.token());
  for (;;) {
    absl::StatusOr<std::string> bytes = co_await link->stream->Receive();
    if (!bytes.ok() || scope_.stopping()) co_return;
    if (!Received(*peer, *link, *bytes)) co_return;
  }
}

bool RaftPeers::Received(Peer& peer, Link& link, std::string_view bytes) {
  absl::StatusOr<RaftFrame> frame = DecodeRaftFrame(bytes);
  if (!frame.ok()) {
    env_.logger.Warning("quorum: controller {} sent {}", peer.id,
                        std::string(frame.status().message()));
    return false;
  }
  if (auto* message = std::get_if<raft::Message>(&*frame)) {
    // Snapshots come in pieces; one that is said to be all in a message brings nothing with it.
    const bool hollow = std::holds_alternative<raft::InstallSnapshot>(message->body);
    if (message->from.id != peer.id || hollow) return false;
    user_.OnMessage(std::move(*message));
    return true;
  }
  if (auto* piece = std::get_if<SnapshotPiece>(&*frame)) {
    if (piece->install.has_value() && piece->install->from.id != peer.id) return false;
    return ReceivedPiece(link, std::move(*piece));
  }
  if (auto* request = std::get_if<JoinRequest>(&*frame)) {
    if (request->replica.id != peer.id) return false;
    user_.OnJoinRequest(std::move(*request));
  } else if (auto* answer = std::get_if<JoinAnswer>(&*frame)) {
    user_.OnJoinAnswer(peer.id, std::move(*answer));
  } else {
    user_.OnVotersHint(std::get<VotersHint>(*frame).voters);
  }
  return true;
}

bool RaftPeers::ReceivedPiece(Link& link, SnapshotPiece piece) {
  if (piece.install.has_value()) {
    link.install = std::move(piece.install);
    link.pieces.clear();
    link.pieces_bytes = 0;
    if (piece.count == 0) link.pieces.shrink_to_fit();
  }
  if (!link.install.has_value()) return true;  // The rest of one that was dropped.
  link.pieces_bytes += piece.data.size();
  const bool fits =
      piece.number == link.pieces.size() && link.pieces_bytes <= options_.snapshot_bytes_max;
  if (!fits) {
    link.install.reset();
    link.pieces.clear();
    return true;
  }
  if (piece.count > 0) link.pieces.push_back(std::move(piece.data));
  if (link.pieces.size() < piece.count) return true;
  raft::Message message = *std::move(link.install);
  link.install.reset();
  std::get<raft::InstallSnapshot>(message.body).snapshot.data =
      std::make_shared<const std::vector<std::string>>(std::exchange(link.pieces, {}));
  user_.OnMessage(std::move(message));
  return true;
}

// --- Sending -------------------------------------------------------------------------------------

void RaftPeers::Send(raft::Message message) {
  Peer* peer = FindOrAdd(message.to);
  if (peer == nullptr) return;
  if (std::holds_alternative<raft::InstallSnapshot>(message.body)) {
    const std::shared_ptr<Link> link = peer->links.empty() ? nullptr : peer->links.back();
    scope_.Spawn(SendSnapshot(peer, link, std::move(message)));
    return;
  }
  Enqueue(*peer, EncodeRaftFrame(std::move(message)));
}

void RaftPeers::SendBeside(BrokerId to, const RaftFrame& frame) {
  if (Peer* peer = FindOrAdd(to)) Enqueue(*peer, EncodeRaftFrame(frame));
}

void RaftPeers::Enqueue(Peer& peer, std::string bytes) {
  // To somebody who is away the newest messages are the only ones of use, but hardly: drop.
  const bool full =
      peer.queue.size() >= options_.queue_messages_max ||
      (!peer.queue.empty() && peer.queue_bytes + bytes.size() > options_.queue_bytes_max);
  if (full || bytes.size() > kControlMessageBytesMax) {
    ++dropped_;
    return;
  }
  if (peer.links.empty()) {
    // Old votes and heartbeats are worse than none: keep what was said last.
    constexpr size_t kKeptWhileAway = 4;
    while (peer.queue.size() >= kKeptWhileAway) {
      peer.queue_bytes -= peer.queue.front().size();
      peer.queue.pop_front();
      ++dropped_;
    }
  }
  peer.queue_bytes += bytes.size();
  peer.queue.push_back(std::move(bytes));
  if (!peer.links.empty()) peer.changed.Pulse();
}

Task<void> RaftPeers::SendLoop(Peer* peer) {
  while (!scope_.stopping()) {
    if (peer->links.empty() || peer->queue.empty()) {
      (void)co_await peer->changed.Wait(std::nullopt, scope_.token());
      continue;
    }
    const std::shared_ptr<Link> link = peer->links.back();
    Gate::Holder hold = link->senders.TryEnter();
    std::string bytes = std::move(peer->queue.front());
    peer->queue_bytes -= bytes.size();
    peer->queue.pop_front();
    const absl::Status sent = co_await link->stream->Send(std::move(bytes));
    if (sent.ok()) continue;
    ++dropped_;
    // What broke is found by the receiving side, which takes the link away; wait for that.
    link->stream->Shutdown();
    hold = Gate::Holder();
    if (std::ranges::find(peer->links, link) != peer->links.end() && !scope_.stopping()) {
      (void)co_await peer->changed.Wait(std::nullopt, scope_.token());
    }
  }
}

Task<void> RaftPeers::SendSnapshot(Peer* peer, std::shared_ptr<Link> link, raft::Message message) {
  const raft::ReplicaKey to{message.to, message.to_directory.value_or(DirectoryId(0, 0))};
  bool sent = false;
  if (link != nullptr && !peer->snapshot_under_way) {
    peer->snapshot_under_way = true;
    if (const Gate::Holder hold = link->senders.TryEnter()) {
      sent = co_await SendPieces(link, std::move(message));
    }
    peer->snapshot_under_way = false;
  }
  if (!scope_.stopping()) user_.OnSnapshotSent(to, sent);
}

Task<bool> RaftPeers::SendPieces(std::shared_ptr<Link> link, raft::Message message) {
  const StoredSnapshot snapshot = store_.snapshot();
  std::get<raft::InstallSnapshot>(message.body).snapshot.meta = snapshot.meta;
  const uint32_t frames = std::max(snapshot.pieces, uint32_t{1});
  for (uint32_t number = 0; number < frames; ++number) {
    SnapshotPiece piece{std::nullopt, number, snapshot.pieces, {}};
    if (number == 0) piece.install = message;
    if (snapshot.pieces > 0) {
      absl::StatusOr<std::string> data =
          co_await store_.ReadSnapshotPiece(snapshot.meta.index, number);
      if (!data.ok() || scope_.stopping()) co_return false;
      piece.data = *std::move(data);
    }
    const absl::Status sent = co_await link->stream->Send(EncodeRaftFrame(std::move(piece)));
    if (!sent.ok()) co_return false;
  }
  co_return true;
}

Task<void> RaftPeers::Stop() {
  bootstrap_.clear();
  co_await scope_.Stop();
  co_await late_.Join();
}

size_t RaftPeers::connected() const {
  size_t count = 0;
  for (const auto& [id, peer] : peers_) count += peer->links.empty() ? 0 : 1;
  return count;
}

}  // namespace millrace
