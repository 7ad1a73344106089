#include "cli/client/kafka_client.h"

#include <algorithm>

#include "common/check.h"
#include "common/runtime/event.h"

namespace millrace {
namespace {

using kafka::KafkaError;

std::optional<BrokerId> LeaderOf(int32_t wire) {
  return wire < 0 ? std::nullopt : std::optional(BrokerId(wire));
}

TopicView MakeView(const kafka::MetadataResponse::MetadataResponseTopic& topic) {
  TopicView view{topic.name.value_or(""), topic.topic_id, {}};
  for (const auto& partition : topic.partitions) {
    view.partitions.push_back(
        {PartitionId(partition.partition_index), LeaderOf(partition.leader_id),
         partition.leader_epoch < 0 ? std::nullopt
                                    : std::optional(LeaderEpoch(partition.leader_epoch))});
  }
  std::ranges::sort(view.partitions, {}, &TopicView::Partition::id);
  return view;
}

bool CountsFromZero(const TopicView& view) {
  for (size_t i = 0; i < view.partitions.size(); ++i) {
    if (view.partitions[i].id != PartitionId(static_cast<int32_t>(i))) return false;
  }
  return true;
}

}  // namespace

absl::Status KafkaFailure(int16_t code, const std::optional<std::string>& message) {
  std::optional<kafka::KafkaErrorInfo> info = kafka::FindKafkaError(code);
  if (!info.has_value()) return absl::UnknownError(fmt::format("error code {}", code));
  const bool has_message = message.has_value() && !message->empty();
  std::string text =
      fmt::format("{}: {}", info->name, has_message ? std::string_view(*message) : info->meaning);
  switch (info->error) {
    case KafkaError::kTopicAlreadyExists:
      return absl::AlreadyExistsError(text);
    case KafkaError::kUnknownTopicOrPartition:
      return absl::NotFoundError(text);
    default:
      return info->retriable ? absl::UnavailableError(text) : absl::FailedPreconditionError(text);
  }
}

bool IsRetriable(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

KafkaClient::KafkaClient(Env& env, KafkaClientOptions options)
    : env_(env), options_(std::move(options)), gate_(env.reactor) {
  for (const SocketAddress& address : options_.bootstrap) {
    bootstrap_.push_back(std::make_unique<Peer>(env_.reactor));
    bootstrap_.back()->address = address;
  }
}

KafkaClient::~KafkaClient() { MR_CHECK(gate_.closed()); }

Task<absl::StatusOr<KafkaConnection*>> KafkaClient::Connected(Peer* peer, std::string who,
                                                              Instant deadline) {
  while (peer->connecting) co_await peer->connected.Wait();
  if (stop_.cancelled()) co_return absl::CancelledError("the client is stopping");
  if (peer->connection != nullptr && peer->connection->usable()) co_return peer->connection.get();
  peer->connecting = true;
  if (peer->connection != nullptr) {
    co_await peer->connection->Close();
    peer->connection.reset();
  }
  absl::Status connected = absl::CancelledError("the client is stopping");
  if (!stop_.cancelled()) {
    peer->connection = std::make_unique<KafkaConnection>(env_, options_.identity);
    const Instant until = std::min(deadline, env_.reactor.Now() + options_.connect_timeout);
    connected = co_await peer->connection->Connect(peer->address, until);
  }
  peer->connecting = false;
  peer->connected.Pulse();
  if (stop_.cancelled()) co_return absl::CancelledError("the client is stopping");
  if (!connected.ok()) {
    const std::string address = peer->address.ToString();
    std::string why(connected.message());
    if (const std::string repeated = fmt::format("connect to {}: ", address);
        why.starts_with(repeated)) {
      why.erase(0, repeated.size());
    }
    co_return absl::UnavailableError(fmt::format("cannot reach {}{}: {}", who, address, why));
  }
  reached_ = true;
  co_return peer->connection.get();
}

KafkaConnection* KafkaClient::UsableConnection() {
  for (auto& [id, peer] : brokers_) {
    if (peer.connection != nullptr && !peer.connecting && peer.connection->usable()) {
      return peer.connection.get();
    }
  }
  for (std::unique_ptr<Peer>& peer : bootstrap_) {
    if (peer->connection != nullptr && !peer->connecting && peer->connection->usable()) {
      return peer->connection.get();
    }
  }
  return nullptr;
}

Task<absl::StatusOr<KafkaConnection*>> KafkaClient::AnyBroker(Instant deadline) {
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return absl::CancelledError("the client is stopping");
  if (KafkaConnection* usable = UsableConnection(); usable != nullptr) co_return usable;
  absl::Status failed = absl::InvalidArgumentError("no bootstrap server was named");
  for (std::unique_ptr<Peer>& peer : bootstrap_) {
    absl::StatusOr<KafkaConnection*> connection = co_await Connected(peer.get(), "", deadline);
    if (connection.ok() || absl::IsCancelled(connection.status())) co_return connection;
    failed = connection.status();
  }
  std::vector<int32_t> ids;  // The map may grow while we wait.
  for (const auto& [id, peer] : brokers_) ids.push_back(id);
  for (int32_t id : ids) {
    absl::StatusOr<KafkaConnection*> connection = co_await Broker(BrokerId(id), deadline);
    if (connection.ok() || absl::IsCancelled(connection.status())) co_return connection;
  }
  co_return failed;
}

Task<absl::StatusOr<KafkaConnection*>> KafkaClient::Broker(BrokerId broker, Instant deadline) {
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return absl::CancelledError("the client is stopping");
  auto found = brokers_.find(broker.value());
  if (found == brokers_.end()) {
    co_return absl::UnavailableError(
        fmt::format("broker {} is not among the brokers of the cluster now", broker));
  }
  // The advertised name is the usual culprit, so the message names it.
  co_return co_await Connected(&found->second,
                               fmt::format("broker {}, which is advertised as ", broker), deadline);
}

void KafkaClient::LearnBroker(BrokerId broker, SocketAddress address) {
  Peer& peer = brokers_.try_emplace(broker.value(), env_.reactor).first->second;
  if (peer.address == address) return;
  peer.address = std::move(address);
  // It has moved: the next use connects anew.
  if (peer.connection != nullptr && !peer.connecting) peer.connection->Shutdown();
}

std::optional<SocketAddress> KafkaClient::AddressOf(BrokerId broker) const {
  auto found = brokers_.find(broker.value());
  return found == brokers_.end() ? std::nullopt : std::optional(found->second.address);
}

void KafkaClient::Learn(const kafka::MetadataResponse& metadata) {
  for (const auto& broker : metadata.brokers) {
    LearnBroker(BrokerId(broker.node_id), {broker.host, static_cast<uint16_t>(broker.port)});
  }
}

Task<absl::StatusOr<kafka::MetadataResponse>> KafkaClient::Metadata(
    std::optional<std::vector<std::string>> topics, bool create, Instant deadline) {
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return absl::CancelledError("the client is stopping");
  kafka::MetadataRequest request;
  request.allow_auto_topic_creation = create;
  request.topics.reset();
  if (topics.has_value()) {
    request.topics.emplace();
    for (std::string& name : *topics) request.topics->push_back({Uuid(0, 0), std::move(name)});
  }
  MR_CO_ASSIGN_OR_RETURN(kafka::MetadataResponse response,
                         co_await CallAny<kafka::MetadataResponse>(std::move(request), deadline));
  Learn(response);
  co_return response;
}

Task<absl::StatusOr<TopicView>> KafkaClient::Topic(std::string name, bool create,
                                                   Instant deadline) {
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return absl::CancelledError("the client is stopping");
  for (;;) {
    MR_CO_ASSIGN_OR_RETURN(kafka::MetadataResponse response,
                           co_await Metadata(std::vector<std::string>{name}, create, deadline));
    absl::Status failed = absl::UnavailableError(fmt::format("{}: no answer about it", name));
    if (!response.topics.empty()) {
      const auto& topic = response.topics.front();
      if (topic.error_code == 0) {
        TopicView view = MakeView(topic);
        if (!CountsFromZero(view)) {
          co_return absl::DataLossError(fmt::format("{}: the broker left partitions out", name));
        }
        if (std::ranges::any_of(view.partitions, [](const auto& partition) {
              return partition.leader.has_value();
            })) {
          co_return view;
        }
        failed = absl::UnavailableError(fmt::format("{}: no partition has a leader", name));
      } else {
        absl::Status refused = KafkaFailure(topic.error_code);
        // A topic that is being created is unknown for a moment.
        const bool pending = absl::IsNotFound(refused) && create;
        failed = absl::Status(pending ? absl::StatusCode::kUnavailable : refused.code(),
                              fmt::format("{}: {}", name, std::string(refused.message())));
      }
    }
    MR_CO_RETURN_IF_ERROR(co_await Backoff(failed, deadline));
  }
}

Task<absl::Status> KafkaClient::Backoff(absl::Status failed, Instant deadline) {
  if (stop_.cancelled()) co_return absl::CancelledError("the client is stopping");
  if (!IsRetriable(failed) || !reached_) co_return failed;
  const Instant again = env_.reactor.Now() + options_.retry_backoff;
  if (again >= deadline) {
    co_return absl::DeadlineExceededError(
        fmt::format("gave up at the time-out: {}", std::string(failed.message())));
  }
  co_await Sleep(env_.reactor, again, stop_.token());
  if (stop_.cancelled()) co_return absl::CancelledError("the client is stopping");
  co_return absl::OkStatus();
}

void KafkaClient::Shutdown() {
  stop_.Cancel();
  for (auto& [id, peer] : brokers_) {
    if (peer.connection != nullptr) peer.connection->Shutdown();
  }
  for (std::unique_ptr<Peer>& peer : bootstrap_) {
    if (peer->connection != nullptr) peer->connection->Shutdown();
  }
}

Task<void> KafkaClient::Stop() {
  Shutdown();
  co_await gate_.Close();
  for (auto& [id, peer] : brokers_) {
    if (peer.connection != nullptr) co_await peer.connection->Close();
    peer.connection.reset();
  }
  for (std::unique_ptr<Peer>& peer : bootstrap_) {
    if (peer->connection != nullptr) co_await peer->connection->Close();
    peer->connection.reset();
  }
}

}  // namespace millrace
