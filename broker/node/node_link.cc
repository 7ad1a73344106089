#include "broker/node/node_link.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "broker/api/refuse_whole.h"
#include "broker/api/request_timeout.h"
#include "broker/control/session_request.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "controller/image/metadata_record.h"
#include "proto/kafka/api.h"

namespace millrace {
namespace {

// A client's request waits so long for an active controller, whatever time it allows itself: as long
// as clients wait for an answer (request.timeout.ms).
constexpr Duration kControllerMax = seconds(30);
constexpr size_t kLookedIntoMax = size_t{64} << 10;
// And so long although it allows itself less: 0 means not to wait for what was asked to have its
// effect, and that is no reason not to ask. An election takes less.
constexpr Duration kControllerMin = seconds(1);
// An answer is held back so long for this node's shards to apply what it stands for.
constexpr Duration kAppliedMax = seconds(10);
// What a broker may ask again when it does not know what became of it.
bool IsRepeatable(int16_t api_key) {
  return api_key == static_cast<int16_t>(kafka::ApiKey::kAlterPartition) ||
         api_key == static_cast<int16_t>(kafka::ApiKey::kAssignReplicasToDirs) ||
         api_key == static_cast<int16_t>(kafka::ApiKey::kAllocateProducerIds);
}

ApiRequest AsAsked(const session::Request& question) {
  ApiRequest request;
  request.api_key = question.api_key;
  request.version = question.api_version;
  request.correlation_id = question.correlation_id;
  request.body = Slice::Copy(question.body);
  return request;
}

Duration PatienceOf(const session::Request& question) {
  // To look for the time in it costs a copy of it on this shard.
  if (question.body.size() > kLookedIntoMax) return kControllerMax;
  const std::optional<milliseconds> asked = TimeoutOf(AsAsked(question));
  if (!asked.has_value()) return kControllerMax;
  return std::clamp<Duration>(*asked, kControllerMin, kControllerMax);
}

// Without a controller to answer, as Kafka's brokers do.
ForwardedReply TimedOut(const session::Request& question, Duration waited) {
  ApiReply answer =
      RefuseWhole(AsAsked(question), kafka::KafkaError::kRequestTimedOut,
                  fmt::format("No active controller has answered within {} ms.",
                              std::chrono::duration_cast<milliseconds>(waited).count()));
  ForwardedReply reply;
  reply.action = answer.action;
  reply.frame = std::string(answer.body.Flatten().view());
  reply.reason = std::move(answer.reason);
  return reply;
}

// A broker that goes waits so long for its leaderships to have moved.
constexpr Duration kLeaveMax = seconds(5);

ControllerLinkOptions LinkOptions(const NodeLinkContext& context) {
  const BrokerConfig& config = context.config;
  ControllerLinkOptions options;
  options.self = config.node_id;
  options.cluster_id = context.cluster_id;
  if (!context.directory.is_zero()) options.directory = context.directory;
  for (const QuorumVoter& voter : config.voters) {
    if (voter.id == config.node_id) continue;
    options.candidates.push_back({voter.id, {voter.address.host, voter.address.port}});
  }
  if (config.voters.empty()) {
    for (const HostPort& server : config.quorum_bootstrap) {
      options.candidates.push_back({std::nullopt, {server.host, server.port}});
    }
  }
  options.controller_listener = config.listeners.controller_names.front();
  options.heartbeat_interval = config.heartbeat_interval;
  options.silence_max = std::max<Duration>(config.session_timeout, 2 * options.heartbeat_interval);
  return options;
}

// A dialer of a node that has nobody to dial.
class NobodyDialer final : public StreamDialer {
 public:
  Task<absl::StatusOr<std::unique_ptr<MessageStream>>> Dial(SocketAddress address, StreamHello,
                                                            Instant) override {
    co_return absl::UnavailableError(
        fmt::format("{}: this node knows no other", address.ToString()));
  }
};

NobodyDialer& Nobody() {
  static NobodyDialer nobody;  // Without state.
  return nobody;
}

}  // namespace

NodeLink::NodeLink(Env& env, NodeLinkContext context)
    : context_(std::move(context)),
      env_(env),
      link_(new ControllerLink(env, *this, context_.dialer != nullptr ? *context_.dialer : Nobody(),
                               LinkOptions(context_))),
      access_(*this, context_.config.node_id, [this] { return link_->epoch(); }),
      isr_(env, *this,
           {.self = context_.config.node_id, .epoch = [this] { return link_->epoch(); }}),
      directories_(env, *this,
                   {.self = context_.config.node_id, .epoch = [this] { return link_->epoch(); }}) {
  if (context_.local != nullptr) {
    context_.local->OnChange([this] { link_->Poke(); });
  }
  state().Follow(*this);
}

NodeLink::~NodeLink() {
  state().Unfollow(*this);
  if (context_.local != nullptr) context_.local->OnChange({});
}

void NodeLink::Attach(MetadataPublisher& publisher) {
  publisher_ = &publisher;
  publisher.OnApplied([this] { OnApplied(); });
}

void NodeLink::OnApplied() {
  link_->changed().Pulse();
  // Between heartbeats only what somebody waits for is news: this broker, to be unfenced, or one
  // that goes, for everybody to know who leads now.
  bool awaited = link_->fenced();
  for (const auto& [id, broker] : state().image()->brokers()) {
    awaited = awaited || (broker.in_controlled_shutdown && !broker.fenced);
  }
  if (awaited) link_->Poke();
}

void NodeLink::OnStreamLoss(BrokerId peer, std::optional<BrokerEpoch> epoch, StreamLoss how) {
  const BrokerImage* known = state().image()->FindBroker(peer);
  if (how == StreamLoss::kSilent || known == nullptr || known->fenced) return;
  if (epoch.has_value() && known->epoch != *epoch) return;
  link_->LostPeer(peer);
}

void NodeLink::OnStream(BrokerId peer, BrokerEpoch epoch) {
  const BrokerImage* known = state().image()->FindBroker(peer);
  if (known != nullptr && known->epoch == epoch) link_->FoundPeer(peer);
}

// --- Start and stop.

bool NodeLink::IsAlone() const { return context_.dialer == nullptr && context_.local != nullptr; }

bool NodeLink::HasRegistration() const {
  const BrokerImage* self = state().image()->FindBroker(context_.config.node_id);
  return link_->epoch().has_value() && self != nullptr && self->epoch == *link_->epoch();
}

bool NodeLink::IsServing() const {
  const BrokerImage* self = state().image()->FindBroker(context_.config.node_id);
  return self != nullptr && !self->fenced && Applied() >= state().image()->index();
}

void NodeLink::Interrupt() {
  interrupted_ = true;
  link_->changed().Pulse();
}

template <typename Done>
Task<bool> NodeLink::Until(Done done, Instant deadline) {
  while (!done()) {
    if (interrupted_ || env_.reactor.Now() >= deadline || !link_->refusal().ok()) co_return false;
    (void)co_await link_->changed().Wait(deadline);
  }
  co_return true;
}

Task<absl::Status> NodeLink::Begin(BrokerImage self, std::optional<BrokerEpoch> clean_epoch,
                                   uint64_t logs) {
  self_ = session::Register{.broker = std::move(self),
                            .previous_epoch = clean_epoch,
                            .wants_metadata = context_.local == nullptr,
                            .caught_up = IsAlone(),
                            .logs = logs};
  // Registered as caught up it is unfenced at once: a heartbeat must not ask for the contrary.
  if (IsAlone()) link_->Serve();
  link_->Start();
  isr_.Start();
  directories_.Start();
  const Instant deadline = env_.reactor.Now() + Duration(context_.config.registration_timeout);
  if (co_await Until([this] { return HasRegistration(); }, deadline)) co_return absl::OkStatus();
  MR_CO_RETURN_IF_ERROR(link_->refusal());
  if (interrupted_) co_return absl::CancelledError("stopped before it was registered");
  co_return absl::DeadlineExceededError(
      "no active controller has registered this broker within "
      "initial.broker.registration.timeout.ms: are a majority of the controllers up, and can they "
      "be reached?");
}

Task<void> NodeLink::Serve() {
  link_->Serve();
  const Instant deadline = env_.reactor.Now() + Duration(context_.config.registration_timeout);
  if (!co_await Until([this] { return IsServing(); }, deadline)) {
    env_.logger.Warning("broker {} is still fenced", context_.config.node_id);
  }
}

Task<void> NodeLink::Leave() {
  if (!link_->linked() || !HasRegistration() || state().image()->brokers().size() < 2) co_return;
  link_->WantShutdown();
  const Instant deadline = env_.reactor.Now() + kLeaveMax;
  while (!link_->may_shut_down() && env_.reactor.Now() < deadline) {
    (void)co_await link_->changed().Wait(deadline);
  }
  if (!link_->may_shut_down()) {
    env_.logger.Warning("broker {} stops without having handed over its leaderships",
                        context_.config.node_id);
  }
}

Task<void> NodeLink::Stop() {
  co_await isr_.Stop();
  co_await link_->Stop();
  co_await directories_.Stop();  // What it asks ends with the link.
}

// --- LinkedBroker.

session::Register NodeLink::Registration() const {
  session::Register message = *self_;
  if (message.wants_metadata) message.applied = state_.image()->index();
  return message;
}

std::optional<RaftIndex> NodeLink::Applied() const {
  return publisher_ == nullptr ? std::nullopt : publisher_->applied();
}

std::optional<BrokerId> NodeLink::KnownController() const {
  if (context_.local == nullptr) return std::nullopt;
  std::optional<BrokerId> leader = context_.local->leader();
  // Elected, but not yet active: others know no better.
  if (leader == context_.config.node_id && !context_.local->active()) return std::nullopt;
  return leader;
}

std::unique_ptr<MessageStream> NodeLink::DialSelf(StreamHello hello) {
  return context_.local == nullptr ? nullptr : context_.local->DialSelf(std::move(hello));
}

absl::Status NodeLink::OnEntries(const session::Entries& entries) {
  for (const session::Entries::Item& item : entries.items) {
    const std::optional<RaftIndex> have = state_.image()->index();
    if (have.has_value() && item.index <= *have) continue;
    absl::StatusOr<MetadataEntry> entry = DecodeEntry(item.entry);
    if (!entry.ok()) return entry.status();
    MR_RETURN_IF_ERROR(state_.OnCommitted(item.index, *entry));
  }
  return absl::OkStatus();
}

absl::Status NodeLink::OnSnapshot(RaftIndex index, std::vector<std::string> pieces) {
  const std::optional<RaftIndex> have = state_.image()->index();
  if (have.has_value() && index <= *have) return absl::OkStatus();
  return state_.OnSnapshot(index, pieces);
}

// --- ControllerRequests.

Task<ForwardedReply> NodeLink::Answer(ForwardedRequest request) {
  ForwardedReply reply;
  if (context_.local != nullptr && context_.local->active()) {
    reply = co_await AnswerForwarded(&context_.local->admin(), std::move(request));
  } else {
    const Asking asking = IsRepeatable(request.api_key) ? Asking::kRepeatedly : Asking::kOnce;
    const session::Request question = ToSession(std::move(request));
    const Duration patience = PatienceOf(question);
    const Instant deadline = env_.reactor.Now() + patience;
    absl::StatusOr<session::Response> response = co_await link_->Ask(question, asking, deadline);
    if (!response.ok()) {
      const bool stopping = absl::IsCancelled(response.status());
      if (!stopping && env_.reactor.Now() >= deadline) co_return TimedOut(question, patience);
      reply.action = ApiReply::Action::kClose;
      reply.reason = std::string(response.status().message());
      co_return reply;
    }
    reply = FromSession(*std::move(response));
  }
  if (reply.index.has_value() && publisher_ != nullptr) {
    co_await publisher_->Applied(*reply.index, env_.reactor.Now() + kAppliedMax);
  }
  co_return reply;
}

}  // namespace millrace
