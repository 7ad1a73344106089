// KafkaClient: a cluster as a client sees it: connections to its brokers, where topics lie, and
// what to do when an answer is an error.
//
// The first connection fails at once if no bootstrap server can be reached: a person has most
// likely mistyped. Once a broker has answered, failures are retried until the deadline: a cluster
// is allowed to fail over.
//
// Shard:    one.
// Lifetime: `env` outlives it. Stop() must have ended before destruction.
// Errors:   kUnavailable: no broker can be reached (the message says which and why).
//           kDeadlineExceeded: the deadline came before success (the message says what stood in the
//           way). kNotFound, kInvalidArgument, kFailedPrecondition: what a broker refused for good,
//           as "NAME: sentence" (see KafkaFailure()). kCancelled: Shutdown().
// Bounds:   one connection per broker.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/client/kafka_connection.h"
#include "common/env.h"
#include "common/ids.h"
#include "common/runtime/cancellation.h"
#include "proto/kafka/kafka_error.h"
#include "proto/kafka/metadata_request.h"
#include "proto/kafka/metadata_response.h"

namespace millrace {

struct KafkaClientOptions {
  std::vector<SocketAddress> bootstrap;
  ClientIdentity identity;
  // For one try to connect. Higher: patience with slow networks; lower: sooner on to the next.
  Duration connect_timeout = seconds(5);
  // Between two tries. Lower: quicker after a failover, more requests during it.
  Duration retry_backoff = milliseconds(100);
};

// A failed item of an answer as a Status: "TOPIC_ALREADY_EXISTS: <message, or what the code
// means>". kUnavailable exactly if the same request may succeed later.
absl::Status KafkaFailure(int16_t code, const std::optional<std::string>& message = std::nullopt);

// Whether a call that failed with `status` is worth another try.
bool IsRetriable(const absl::Status& status);

// A topic as the last metadata described it.
struct TopicView {
  struct Partition {
    PartitionId id;
    std::optional<BrokerId> leader;
    std::optional<LeaderEpoch> leader_epoch;
  };
  std::string name;
  TopicId id{0, 0};                   // Zero from a broker that has no topic ids.
  std::vector<Partition> partitions;  // By id; they count from 0 without gaps.

  // Null if there is none.
  const Partition* Find(PartitionId partition) const {
    const auto index = static_cast<size_t>(partition.value());
    return partition.value() >= 0 && index < partitions.size() ? &partitions[index] : nullptr;
  }
};

class KafkaClient {
 public:
  KafkaClient(Env& env, KafkaClientOptions options);
  ~KafkaClient();

  Env& env() { return env_; }

  // A call that any broker can answer. Retries while brokers cannot be reached; what the answer
  // says is the caller's business.
  template <typename Response, typename Request>
  Task<absl::StatusOr<Response>> CallAny(Request request, Instant deadline) {
    Gate::Holder hold = gate_.TryEnter();
    if (!hold) co_return absl::CancelledError("the client is stopping");
    for (;;) {
      absl::StatusOr<KafkaConnection*> connection = co_await AnyBroker(deadline);
      absl::Status failed = connection.status();
      if (connection.ok()) {
        absl::StatusOr<Response> response =
            co_await (*connection)->Call<Response>(request, deadline);
        if (response.ok() || !IsRetriable(response.status())) co_return response;
        failed = response.status();
      }
      MR_CO_RETURN_IF_ERROR(co_await Backoff(failed, deadline));
    }
  }

  // One try at one broker.
  template <typename Response, typename Request>
  Task<absl::StatusOr<Response>> CallBroker(BrokerId broker, Request request, Instant deadline,
                                            int16_t version_max = Request::kMaxVersion) {
    MR_CO_ASSIGN_OR_RETURN(KafkaConnection * connection, co_await Broker(broker, deadline));
    co_return co_await connection->Call<Response>(std::move(request), deadline, version_max);
  }

  // A connection to some broker, made if there is none; to `broker`.
  Task<absl::StatusOr<KafkaConnection*>> AnyBroker(Instant deadline);
  Task<absl::StatusOr<KafkaConnection*>> Broker(BrokerId broker, Instant deadline);

  // Where a broker is, from an answer that is no metadata: FindCoordinator's.
  void LearnBroker(BrokerId broker, SocketAddress address);
  // Where it was last heard of; nothing if it never was.
  std::optional<SocketAddress> AddressOf(BrokerId broker) const;

  // Asks for metadata; without names: of all topics.
  Task<absl::StatusOr<kafka::MetadataResponse>> Metadata(
      std::optional<std::vector<std::string>> topics, bool create, Instant deadline);

  // The topic, from a fresh answer; retries until it is there and has a leader somewhere.
  // `create`: let the broker create it if it creates topics by itself.
  Task<absl::StatusOr<TopicView>> Topic(std::string name, bool create, Instant deadline);

  // Waits before another try after `failed`; gives `failed` back if that is not worth it, and
  // kDeadlineExceeded with its message if there is no time left.
  Task<absl::Status> Backoff(absl::Status failed, Instant deadline);

  // Every call ends soon with kCancelled. Idempotent.
  void Shutdown();
  bool shut_down() const { return stop_.cancelled(); }
  Task<void> Stop();

 private:
  // A broker or bootstrap server, once heard of; never erased, so that pointers to it stay.
  struct Peer {
    explicit Peer(Reactor& reactor) : connected(reactor) {}
    SocketAddress address;
    std::unique_ptr<KafkaConnection> connection;
    bool connecting = false;
    Event connected;  // Pulsed when `connecting` ends.
  };

  // A usable connection in `peer`. Its caller must use it before it suspends again.
  Task<absl::StatusOr<KafkaConnection*>> Connected(Peer* peer, std::string who, Instant deadline);
  KafkaConnection* UsableConnection();
  void Learn(const kafka::MetadataResponse& metadata);

  // Borrowed.
  Env& env_;

  // Constant after construction.
  const KafkaClientOptions options_;

  // State.
  CancellationSource stop_;
  bool reached_ = false;  // A broker has answered before.
  std::map<int32_t, Peer> brokers_;
  std::vector<std::unique_ptr<Peer>> bootstrap_;  // As in options_.bootstrap.
  Gate gate_;
};

}  // namespace millrace
