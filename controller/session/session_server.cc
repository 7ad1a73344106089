#include "controller/session/session_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/connection_refused.h"
#include "common/error_kind.h"
#include "common/status_macros.h"
#include "controller/image/image_snapshot.h"
#include "controller/transport/loopback_stream.h"

namespace millrace {

using session::ToBroker;
using session::ToController;

namespace {

// Whether asking again cannot help: the broker is not of this cluster, or not able to be.
bool IsForGood(const absl::Status& why) {
  const std::optional<ErrorKind> kind = KindOf(why);
  return kind == ErrorKind::kInconsistentClusterId || kind == ErrorKind::kInvalidRegistration ||
         kind == ErrorKind::kUnsupportedVersion;
}

// Of a stream or a connection.
template <typename Shut>
Task<void> ShutdownAt(Reactor* reactor, Shut* shut, Instant deadline, CancellationToken cancel) {
  if (co_await Sleep(*reactor, deadline, cancel) == WaitResult::kTimedOut) shut->Shutdown();
}

}  // namespace

SessionServer::SessionServer(Env& env, Controller& controller, MetadataFeed& feed,
                             ActiveController& active, SessionRequests& requests,
                             SessionServerOptions options)
    : options_(std::move(options)),
      env_(env),
      controller_(controller),
      feed_(feed),
      active_(active),
      requests_(requests),
      scope_(env.reactor),
      closing_(env.reactor),
      leadership_(env.reactor) {}

SessionServer::~SessionServer() { MR_CHECK(sessions_.empty()); }

Task<void> SessionServer::Stop() {
  for (const std::unique_ptr<Session>& session : sessions_) {
    session->ended_by_us = true;
    session->stream->Shutdown();
  }
  co_await scope_.Stop();
}

// --- Streams come and go.

void SessionServer::Accept(std::unique_ptr<MessageStream> stream) {
  if (scope_.stopping() || sessions_.size() >= options_.sessions_max) {
    closing_.Spawn(CloseNow(std::move(stream)));
    return;
  }
  sessions_.push_front(std::make_unique<Session>(env_.reactor, std::move(stream)));
  scope_.Spawn(Serve(sessions_.begin()));
}

Task<void> SessionServer::CloseNow(std::unique_ptr<MessageStream> stream) {
  stream->Shutdown();
  co_await stream->Close();
}

std::unique_ptr<MessageStream> SessionServer::DialSelf(StreamHello hello) {
  if (scope_.stopping() || !IsActive()) return nullptr;
  LoopbackStreams streams = MakeLoopbackStreams(
      env_.reactor, std::move(hello), {.from = options_.self, .from_directory = std::nullopt});
  Accept(std::move(streams.acceptor));
  return std::move(streams.dialer);
}

Task<void> SessionServer::Serve(Sessions::iterator place) {
  Session* session = place->get();
  absl::Status ended = co_await Run(session);
  session->stream->Shutdown();
  co_await session->scope.Stop();
  auto found = by_broker_.find(session->id());
  if (found != by_broker_.end() && found->second == session) {
    by_broker_.erase(found);
    if (!session->ended_by_us && IsActive()) {
      env_.logger.Info("the session of broker {} broke: {}", session->id(),
                       std::string(ended.message()));
      controller_.OnBrokerStreamBroke(session->id(), *session->epoch);
    }
  }
  co_await session->stream->Close();
  sessions_.erase(place);
}

Task<absl::Status> SessionServer::Run(Session* session) {
  absl::StatusOr<session::Register> registration = co_await AwaitRegister(session);
  if (!registration.ok()) co_return registration.status();
  const Instant patience = env_.reactor.Now() + options_.election_wait;
  while (!IsActive() && !active_.leader().has_value() && env_.reactor.Now() < patience &&
         !scope_.stopping()) {
    (void)co_await leadership_.Wait(patience, scope_.token());
  }
  if (!IsActive()) {
    co_await SendRedirect(session);
    co_return co_await ReceiveAll(session);
  }
  session->fed = registration->wants_metadata;
  const std::optional<RaftIndex> applied = registration->applied;
  MR_CO_RETURN_IF_ERROR(co_await RegisterBroker(session, *std::move(registration)));
  NotePosition(*session, applied.value_or(RaftIndex(0)));
  session->scope.Spawn(TakeHeartbeats(session));
  if (session->fed) session->scope.Spawn(Feed(session, applied));
  co_return co_await ReceiveAll(session);
}

Task<absl::StatusOr<session::Register>> SessionServer::AwaitRegister(Session* session) {
  TaskScope guard(env_.reactor);
  guard.Spawn(ShutdownAt(&env_.reactor, session->stream.get(),
                         env_.reactor.Now() + options_.register_max, guard.token()));
  absl::StatusOr<std::string> bytes = co_await session->stream->Receive();
  co_await guard.Stop();
  if (!bytes.ok()) co_return bytes.status();
  absl::StatusOr<ToController> message = session::DecodeToController(*bytes);
  if (!message.ok()) co_return message.status();
  session::Register* registration = std::get_if<session::Register>(&*message);
  if (registration == nullptr || registration->broker.id != session->id()) {
    co_return absl::InvalidArgumentError("a session that does not begin with its registration");
  }
  co_return std::move(*registration);
}

Task<absl::Status> SessionServer::RegisterBroker(Session* session, session::Register message) {
  const BrokerId id = session->id();
  BrokerImage& broker = message.broker;
  absl::StatusOr<RegisteredBroker> registered =
      co_await controller_.RegisterBroker({.id = id,
                                           .incarnation = broker.incarnation,
                                           .cluster_id = session->stream->hello().cluster_id,
                                           .endpoints = std::move(broker.endpoints),
                                           .rack = std::move(broker.rack),
                                           .log_directories = std::move(broker.log_directories),
                                           .features = std::move(broker.features),
                                           .clean_epoch = message.previous_epoch,
                                           .logs = message.logs,
                                           .caught_up = id == options_.self && message.caught_up,
                                           .peer = fmt::format("node {}", id)});
  if (!registered.ok()) {
    const absl::Status& why = registered.status();
    if (KindOf(why) == ErrorKind::kNotController) {
      co_await SendRedirect(session);
      co_return co_await ReceiveAll(session);
    } else {
      env_.logger.Warning("broker {} is not registered: {}", id, std::string(why.message()));
      co_await Send(
          session, session::Refused{.why = std::string(why.message()), .for_good = IsForGood(why)});
      session->ended_by_us = true;
      session->scope.Spawn(ShutdownAt(&env_.reactor, session->stream.get(),
                                      env_.reactor.Now() + options_.election_wait,
                                      session->scope.token()));
      (void)co_await ReceiveAll(session);
    }
    co_return why;
  }
  session->epoch = registered->epoch;
  if (Session*& current = by_broker_[id]; current != session) {
    if (current != nullptr) {
      current->ended_by_us = true;  // The broker came back before its old stream broke.
      current->stream->Shutdown();
    }
    current = session;
  }
  co_await Send(session, session::Registered{.epoch = registered->epoch,
                                             .term = active_.leading_term().value_or(RaftTerm(0))});
  co_return absl::OkStatus();
}

Task<void> SessionServer::Send(Session* session, ToBroker message) {
  // A stream that broke is the receiver's news.
  (void)co_await session->stream->Send(session::Encode(message));
}

Task<void> SessionServer::SendRedirect(Session* session) {
  session::Redirect redirect{.leader = active_.leader()};
  if (redirect.leader.has_value()) redirect.endpoints = active_.EndpointsOf(*redirect.leader);
  session->ended_by_us = true;
  co_await Send(session, std::move(redirect));
  // What was sent must leave before the stream is shut down: the broker hangs up, or this does.
  session->scope.Spawn(ShutdownAt(&env_.reactor, session->stream.get(),
                                  env_.reactor.Now() + options_.election_wait,
                                  session->scope.token()));
}

// --- Messages of a registered broker.

Task<absl::Status> SessionServer::ReceiveAll(Session* session) {
  for (;;) {
    absl::StatusOr<std::string> bytes = co_await session->stream->Receive();
    if (!bytes.ok()) co_return bytes.status();
    if (session->ended_by_us) continue;  // It has been told, and hangs up.
    absl::StatusOr<ToController> message = session::DecodeToController(*bytes);
    if (!message.ok()) co_return message.status();
    if (session::Heartbeat* heartbeat = std::get_if<session::Heartbeat>(&*message)) {
      session->heartbeat = std::move(*heartbeat);
      session->changed.Pulse();
    } else if (session::Request* request = std::get_if<session::Request>(&*message)) {
      if (session->requests >= options_.requests_max) {
        // In place: who sends on without taking the answers is not read until it takes them.
        co_await RefuseRequest(session, request->id);
        continue;
      }
      ++session->requests;
      session->scope.Spawn(AnswerRequest(session, std::move(*request)));
    } else {
      co_return absl::InvalidArgumentError("a second registration in one session");
    }
  }
}

Task<void> SessionServer::AnswerRequest(Session* session, session::Request request) {
  session::Response response;
  const uint64_t id = request.id;
  if (IsActive()) {
    response = co_await requests_.Answer(std::move(request));
  } else {
    response.result = session::Result::kNotController;
  }
  if (response.frame.size() > session::kForwardedBytesMax) {
    // The broker would wait for it in vain.
    response = {.result = session::Result::kClose,
                .why = fmt::format("the controller's answer has {} bytes, at most {} are sent",
                                   response.frame.size(), session::kForwardedBytesMax)};
    env_.logger.Warning("broker {}: {}", session->id(), response.why);
  }
  response.id = id;
  co_await Send(session, std::move(response));
  --session->requests;
}

Task<void> SessionServer::RefuseRequest(Session* session, uint64_t id) {
  co_await Send(session, session::Response{
                             .id = id,
                             .result = session::Result::kNotController,
                             .why = fmt::format("{} requests of broker {} are under way already",
                                                options_.requests_max, session->id())});
}

Task<void> SessionServer::TakeHeartbeats(Session* session) {
  while (!session->scope.stopping()) {
    if (!session->heartbeat.has_value()) {
      (void)co_await session->changed.Wait(std::nullopt, session->scope.token());
      continue;
    }
    session::Heartbeat message = *std::exchange(session->heartbeat, std::nullopt);
    for (BrokerId peer : message.lost_peers) {
      controller_.OnEvidence({EvidenceKind::kReplicationLost, peer, session->id()});
    }
    for (BrokerId peer : message.found_peers) {
      controller_.OnEvidence({EvidenceKind::kReplicationBack, peer, session->id()});
    }
    absl::StatusOr<BrokerHeartbeatReply> reply = co_await controller_.Heartbeat(
        {.id = session->id(),
         .epoch = message.epoch,
         .metadata_index = message.applied.value_or(RaftIndex(0)),
         .wants_fence = message.wants_fence,
         .wants_shutdown = message.wants_shutdown,
         .offline_directories = std::move(message.offline_directories),
         .full_directories = std::move(message.full_directories),
         .slow_directories = std::move(message.slow_directories)});
    if (!reply.ok()) {
      // Not registered (any more), or not the active controller: the broker begins anew.
      session->ended_by_us = true;
      session->stream->Shutdown();
      co_return;
    }
    NotePosition(*session, message.applied.value_or(RaftIndex(0)));
    co_await Send(session, session::HeartbeatReply{.sequence = message.sequence,
                                                   .fenced = reply->fenced,
                                                   .may_shut_down = reply->should_shut_down});
  }
}

void SessionServer::NotePosition(const Session& session, RaftIndex applied) {
  if (!session.fed || !IsActive()) return;
  fed_.Heard(session.id(), session.stream->hello().from_directory, applied,
             feed_.last().value_or(RaftIndex(0)), env_.reactor.Now(), env_.clock.Now());
}

// --- The feed.

Task<std::optional<RaftIndex>> SessionServer::SendImage(Session* session) {
  const std::shared_ptr<const MetadataImage> image = controller_.image();
  if (!image->index().has_value()) co_return std::nullopt;
  ImageSnapshotWriter writer(image, kSnapshotChunkBytes);
  bool first = true;
  std::optional<std::string> chunk = writer.Next();
  while (!session->scope.stopping()) {
    std::optional<std::string> next;
    if (chunk.has_value()) next = writer.Next();
    session::SnapshotPiece piece{.index = *image->index(),
                                 .first = first,
                                 .last = !next.has_value(),
                                 .piece = std::move(chunk).value_or("")};
    const bool last = piece.last;
    co_await Send(session, std::move(piece));
    if (last) break;
    first = false;
    chunk = std::move(next);
    co_await Yield(env_.reactor);
  }
  co_return image->index();
}

Task<void> SessionServer::Feed(Session* session, std::optional<RaftIndex> applied) {
  MetadataFeed::Reader reader(feed_);
  while (!session->scope.stopping()) {
    std::optional<session::Entries> entries;
    if (applied.has_value()) entries = reader.After(*applied);
    if (!entries.has_value()) {
      std::optional<RaftIndex> index = co_await SendImage(session);
      if (index.has_value()) {
        applied = index;
        continue;
      }
      entries.emplace();
    }
    if (entries->items.empty()) {
      (void)co_await feed_.changed().Wait(std::nullopt, session->scope.token());
      continue;
    }
    applied = entries->items.back().index;
    co_await Send(session, *std::move(entries));
  }
}

// --- Who is active, and who lives.

void SessionServer::OnLeadership() {
  leadership_.Pulse();
  fed_.Clear();
  if (IsActive()) return;
  for (auto& [id, session] : by_broker_) {
    if (!session->ended_by_us) session->scope.Spawn(SendRedirect(session));
  }
}

void SessionServer::Probe(BrokerId id) {
  const BrokerImage* broker = controller_.image()->FindBroker(id);
  if (broker == nullptr || scope_.stopping() || probed_.contains(id)) return;
  const BrokerEndpoint* endpoint = broker->FindEndpoint(options_.probed_listener);
  if (endpoint == nullptr && !broker->endpoints.empty()) endpoint = &broker->endpoints.front();
  if (endpoint == nullptr) return;
  probed_.insert(id);
  scope_.Spawn(Dial(id, {endpoint->host, endpoint->port}));
}

void SessionServer::Tell(BrokerId id, EvidenceKind answer) {
  if (!scope_.stopping()) controller_.OnEvidence({answer, id});
}

Task<bool> SessionServer::Holds(Connection* connection) {
  const Instant until = env_.reactor.Now() + options_.probe_hold;
  TaskScope guard(env_.reactor);
  guard.Spawn(ShutdownAt(&env_.reactor, connection, until, guard.token()));
  const absl::StatusOr<Slice> some = co_await connection->ReceiveSome(1);
  const bool held = env_.reactor.Now() >= until || (some.ok() && !some->empty());
  co_await guard.Stop();
  co_return held;
}

Task<void> SessionServer::Dial(BrokerId id, SocketAddress address) {
  absl::StatusOr<std::unique_ptr<Connection>> connection =
      co_await env_.network.Connect(address, env_.reactor.Now() + options_.probe_max);
  if (!connection.ok()) {
    const bool refused = WasRefused(connection.status());
    env_.logger.Info("broker {} does not answer at {}: {}", id, address.ToString(),
                     std::string(connection.status().message()));
    probed_.erase(id);
    Tell(id, refused ? EvidenceKind::kDialRefused : EvidenceKind::kDialUnreachable);
    co_return;
  }
  // It counts for an answer at once, lest somebody is fenced meanwhile who lives.
  Tell(id, EvidenceKind::kDialAnswered);
  const bool held = co_await Holds(connection->get());
  probed_.erase(id);
  if (!held) {
    env_.logger.Info("broker {} accepts at {} and hangs up: no answer", id, address.ToString());
    Tell(id, EvidenceKind::kDialUnreachable);
  }
  (*connection)->Shutdown();
  co_await (*connection)->Close();
}

}  // namespace millrace
