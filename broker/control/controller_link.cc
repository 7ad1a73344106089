#include "broker/control/controller_link.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/error_kind.h"
#include "common/status_macros.h"

namespace millrace {
namespace {

// A redirect is followed at once so often in a row; then it is a circle, and the pause applies.
constexpr int kRedirectsMax = 3;

absl::Status NoController() {
  return MakeError(ErrorKind::kNotController, absl::StatusCode::kDeadlineExceeded,
                   "no active controller has answered");
}

}  // namespace

ControllerLink::ControllerLink(Env& env, LinkedBroker& broker, StreamDialer& dialer,
                               ControllerLinkOptions options)
    : options_(std::move(options)),
      env_(env),
      broker_(broker),
      dialer_(dialer),
      scope_(env.reactor),
      changed_(env.reactor),
      beat_(env.reactor),
      sent_(env.reactor) {}

ControllerLink::~ControllerLink() { MR_CHECK(pending_.empty()); }

Task<void> ControllerLink::Stop() {
  if (stream_ != nullptr) stream_->Shutdown();
  changed_.Pulse();
  co_await scope_.Stop();
}

// --- Finding the controller.

ControllerLink::Target ControllerLink::NextTarget() {
  if (redirect_.has_value()) {
    Target target{*std::exchange(redirect_, std::nullopt)};
    target.self = target.place.id == options_.self;
    return target;
  }
  if (std::optional<BrokerId> known = broker_.KnownController(); known.has_value()) {
    if (*known == options_.self) return {{known, {}}, /*self=*/true};
    for (const ControllerPlace& candidate : options_.candidates) {
      if (candidate.id == known) return {candidate};
    }
  }
  if (options_.candidates.empty()) return {{options_.self, {}}, /*self=*/true};
  return {options_.candidates[next_candidate_++ % options_.candidates.size()]};
}

Task<void> ControllerLink::Run() {
  Duration pause = options_.backoff_min;
  int redirects = 0;
  while (!scope_.stopping()) {
    const uint64_t before = generation_;
    absl::Status ended = co_await OneSession(NextTarget());
    if (scope_.stopping()) co_return;
    if (generation_ != before) {  // It was a session.
      env_.logger.Info("the session with the controller has ended: {}",
                       std::string(ended.message()));
      pause = options_.backoff_min;
      redirects = 0;
    }
    if (redirect_.has_value() && redirects < kRedirectsMax) {
      ++redirects;
      continue;
    }
    redirects = 0;
    // Everyone who lost the same controller comes back at another time.
    const auto jitter = static_cast<uint64_t>(pause.count() / 2 + 1);
    const Duration wait = pause / 2 + Duration(static_cast<int64_t>(env_.random.Below(jitter)));
    beat_due_ = false;
    (void)co_await beat_.Wait(env_.reactor.Now() + wait, scope_.token());
    pause = std::min(pause * 2, options_.backoff_max);
  }
}

Task<absl::StatusOr<std::unique_ptr<MessageStream>>> ControllerLink::Dial(Target target) {
  StreamHello hello{.kind = StreamKind::kBroker,
                    .cluster_id = options_.cluster_id,
                    .from = options_.self,
                    .from_directory = options_.directory,
                    .to = target.place.id};
  if (target.self) {
    std::unique_ptr<MessageStream> stream = broker_.DialSelf(std::move(hello));
    if (stream == nullptr) co_return absl::UnavailableError("this node's controller is not active");
    co_return stream;
  }
  co_return co_await dialer_.Dial(target.place.address, std::move(hello),
                                  env_.reactor.Now() + options_.dial_max);
}

Task<absl::Status> ControllerLink::OneSession(Target target) {
  absl::StatusOr<std::unique_ptr<MessageStream>> dialed = co_await Dial(target);
  if (!dialed.ok()) {
    // What this broker is told to its face is worth a line; that nobody is there is not.
    if (absl::IsFailedPrecondition(dialed.status())) {
      env_.logger.Warning("controller {}: {}", target.place.address.ToString(),
                          std::string(dialed.status().message()));
    }
    co_return dialed.status();
  }
  std::unique_ptr<MessageStream> stream = *std::move(dialed);
  absl::Status ended = absl::CancelledError("stopping");
  if (!scope_.stopping()) {
    stream_ = stream.get();
    last_heard_ = env_.reactor.Now();
    controller_ = stream->welcome().from;
    TaskScope session(env_.reactor);
    session.Spawn(Watch(stream.get(), session.token()));
    ended = co_await stream->Send(session::Encode(session::ToController(broker_.Registration())));
    if (ended.ok()) ended = co_await ReceiveAll(stream.get());
    stream_ = nullptr;
    EndSession();
    stream->Shutdown();
    co_await session.Stop();
    while (sending_ > 0) co_await sent_.Wait();
  }
  stream->Shutdown();
  co_await stream->Close();
  co_return ended;
}

void ControllerLink::EndSession() {
  if (std::exchange(linked_, false)) broker_.OnController(last_heard_);
  controller_ = std::nullopt;
  beats_.clear();
  pieces_.clear();
  for (auto& [peer, testimony] : testimony_) testimony.carried_by = std::nullopt;
  for (auto& [id, pending] : pending_) pending->ended.Set();
  pending_.clear();
  changed_.Pulse();
}

Task<absl::Status> ControllerLink::ReceiveAll(MessageStream* stream) {
  for (;;) {
    absl::StatusOr<std::string> bytes = co_await stream->Receive();
    if (!bytes.ok()) co_return bytes.status();
    last_heard_ = env_.reactor.Now();
    absl::StatusOr<session::ToBroker> message = session::DecodeToBroker(*bytes);
    if (!message.ok()) co_return message.status();
    MR_CO_RETURN_IF_ERROR(Take(*std::move(message)));
  }
}

// Heartbeats, and the end of a session whose controller is silent. One task for both: who is
// registered sends at least every heartbeat_interval, and every one is answered.
Task<void> ControllerLink::Watch(MessageStream* stream, CancellationToken token) {
  while (!token.cancelled()) {
    if (!beat_due_ || !linked_) {
      (void)co_await beat_.Wait(env_.reactor.Now() + options_.heartbeat_interval, token);
      if (token.cancelled()) co_return;
    }
    if (env_.reactor.Now() - last_heard_ > options_.silence_max) {
      env_.logger.Warning("controller {} is silent", stream->welcome().from);
      stream->Shutdown();
      co_return;
    }
    if (!linked_) continue;
    beat_due_ = false;
    session::Heartbeat heartbeat = NextHeartbeat();
    if (!(co_await stream->Send(session::Encode(session::ToController(std::move(heartbeat)))))
             .ok()) {
      co_return;  // The receiver notices.
    }
  }
}

session::Heartbeat ControllerLink::NextHeartbeat() {
  session::Heartbeat heartbeat;
  heartbeat.epoch = *epoch_;
  heartbeat.sequence = ++sequence_;
  beats_.emplace(sequence_, env_.reactor.Now());
  heartbeat.applied = broker_.Applied();
  heartbeat.wants_fence = !serves_;
  heartbeat.wants_shutdown = wants_shutdown_;
  heartbeat.offline_directories = offline_;
  heartbeat.full_directories = full_;
  heartbeat.slow_directories = slow_;
  for (auto& [peer, testimony] : testimony_) {
    (testimony.lost ? heartbeat.lost_peers : heartbeat.found_peers).push_back(peer);
    if (!testimony.carried_by.has_value()) testimony.carried_by = heartbeat.sequence;
  }
  return heartbeat;
}

// --- What the controller says.

absl::Status ControllerLink::Take(session::ToBroker message) {
  return std::visit([this](auto& alternative) { return On(std::move(alternative)); }, message);
}

absl::Status ControllerLink::On(const session::Redirect& message) {
  redirect_ = std::nullopt;
  if (message.leader.has_value() && *message.leader != options_.self) {
    for (const BrokerEndpoint& endpoint : message.endpoints) {
      if (!redirect_.has_value() || endpoint.listener == options_.controller_listener) {
        redirect_ = ControllerPlace{message.leader, {endpoint.host, endpoint.port}};
      }
    }
  }
  return absl::UnavailableError("another controller is the active one");
}

absl::Status ControllerLink::On(const session::Refused& message) {
  env_.logger.Error("the controller refuses to register broker {}: {}", options_.self, message.why);
  if (message.for_good) refusal_ = absl::FailedPreconditionError(message.why);
  return absl::FailedPreconditionError(message.why);
}

absl::Status ControllerLink::On(const session::Registered& message) {
  if (epoch_ != message.epoch) {
    env_.logger.Info("broker {} registered with epoch {}", options_.self, message.epoch);
  }
  epoch_ = message.epoch;
  linked_ = true;
  broker_.OnController(std::nullopt);
  ++generation_;
  beat_due_ = true;
  beat_.Pulse();
  changed_.Pulse();
  return absl::OkStatus();
}

absl::Status ControllerLink::On(const session::HeartbeatReply& message) {
  if (message.fenced != fenced_) {
    env_.logger.Info("broker {} is {}", options_.self, message.fenced ? "fenced" : "unfenced");
  }
  fenced_ = message.fenced;
  may_shut_down_ = message.may_shut_down;
  if (const auto beat = beats_.find(message.sequence); beat != beats_.end()) {
    if (!message.fenced) broker_.OnHeartbeat(beat->second);
    beats_.erase(beats_.begin(), std::next(beat));
  }
  std::erase_if(testimony_, [&message](const auto& told) {
    const std::optional<uint64_t>& carried_by = told.second.carried_by;
    return carried_by.has_value() && *carried_by <= message.sequence;
  });
  changed_.Pulse();
  return absl::OkStatus();
}

absl::Status ControllerLink::On(const session::Entries& message) {
  return broker_.OnEntries(message);
}

absl::Status ControllerLink::On(session::SnapshotPiece message) {
  if (message.first) pieces_.clear();
  pieces_.push_back(std::move(message.piece));
  if (!message.last) return absl::OkStatus();
  return broker_.OnSnapshot(message.index, std::exchange(pieces_, {}));
}

absl::Status ControllerLink::On(session::Response message) {
  auto found = pending_.find(message.id);
  if (found == pending_.end()) return absl::OkStatus();  // Nobody waits for it any more.
  Pending* pending = found->second;
  pending_.erase(found);
  pending->response = std::move(message);
  pending->ended.Set();
  changed_.Pulse();  // Who waits for room.
  return absl::OkStatus();
}

// --- What the controller is told.

void ControllerLink::Poke() {
  beat_due_ = true;
  beat_.Pulse();
}

void ControllerLink::Serve() {
  serves_ = true;
  Poke();
}

void ControllerLink::WantShutdown() {
  wants_shutdown_ = true;
  Poke();
}

void ControllerLink::LostPeer(BrokerId peer) {
  lost_peers_.insert(peer);
  testimony_[peer] = {.lost = true};
  Poke();
}

void ControllerLink::FoundPeer(BrokerId peer) {
  if (lost_peers_.erase(peer) == 0) return;
  testimony_[peer] = {.lost = false};
  Poke();
}

void ControllerLink::SetOfflineDirectories(std::vector<DirectoryId> offline) {
  offline_ = std::move(offline);
  Poke();
}

void ControllerLink::SetMarkedDirectories(std::vector<DirectoryId> full,
                                          std::vector<DirectoryId> slow) {
  if (full == full_ && slow == slow_) return;
  full_ = std::move(full);
  slow_ = std::move(slow);
  Poke();
}

// --- Questions.

Task<std::optional<session::Response>> ControllerLink::AskOnce(session::Request request,
                                                               Instant deadline) {
  Pending pending(env_.reactor);
  const uint64_t id = request.id;
  pending_.emplace(id, &pending);
  // A stream that breaks meanwhile ends `pending`: what Send() says then is no news.
  ++sending_;
  (void)co_await stream_->Send(session::Encode(session::ToController(std::move(request))));
  --sending_;
  sent_.Pulse();
  (void)co_await pending.ended.Wait(deadline, scope_.token());
  // Its own: an answer or the session's end has taken it out.
  pending_.erase(id);
  co_return std::move(pending.response);
}

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<session::Response>> ControllerLink::Ask(const session::Request& request,
                                                            Asking asking, Instant deadline) {
  if (request.body.size() > session::kForwardedBytesMax) {
    co_return absl::InvalidArgumentError(fmt::format(
        "a request of {} bytes (API key {}) is not sent to the controller; at most {} are",
        request.body.size(), request.api_key, session::kForwardedBytesMax));
  }
  for (;;) {
    if (scope_.stopping()) co_return absl::CancelledError("the broker is stopping");
    if (env_.reactor.Now() >= deadline) co_return NoController();
    if (!linked_ || pending_.size() >= options_.asks_max) {
      (void)co_await changed_.Wait(deadline, scope_.token());
      continue;
    }
    const uint64_t session = generation_;
    session::Request once = request;
    once.id = next_request_++;
    // Who has asked waits for what the controller has to say: it keeps to times of its own.
    const Instant answered = std::max(deadline, env_.reactor.Now() + options_.answer_max);
    std::optional<session::Response> response = co_await AskOnce(std::move(once), answered);
    if (!response.has_value()) {
      if (asking == Asking::kRepeatedly) continue;
      if (scope_.stopping()) co_return absl::CancelledError("the broker is stopping");
      co_return absl::UnavailableError(
          "the controller went away before it answered: the request may have had its effect");
    }
    if (response->result != session::Result::kNotController) co_return *std::move(response);
    // The session ends soon, or the controller has too many questions of this broker under way. One
    // that is not left is not asked without a pause.
    const Instant patience = env_.reactor.Now() + options_.backoff_max;
    while (linked_ && generation_ == session && env_.reactor.Now() < std::min(deadline, patience) &&
           !scope_.stopping()) {
      (void)co_await changed_.Wait(std::min(deadline, patience), scope_.token());
    }
  }
}

}  // namespace millrace
