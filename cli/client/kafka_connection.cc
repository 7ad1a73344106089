#include "cli/client/kafka_connection.h"

#include "common/bytes/endian.h"
#include "common/check.h"
#include "proto/kafka/api_versions_request.h"
#include "proto/kafka/api_versions_response.h"
#include "proto/kafka/kafka_error.h"

namespace millrace {
namespace {

constexpr size_t kCorrelationBytes = 4;

// ApiVersions, answered in a version that the broker did know: the header is always version 0.
absl::StatusOr<kafka::ApiVersionsResponse> DecodeApiVersions(Slice answer, int16_t version) {
  kafka::Reader in(std::move(answer));
  kafka::ResponseHeader header;
  header.Decode(in, 0);
  kafka::ApiVersionsResponse response;
  response.Decode(in, version);
  absl::Status decoded = in.Finish();
  if (!decoded.ok()) {
    return absl::UnavailableError(
        "what listens there does not speak Kafka's protocol (or wants TLS, which this client does "
        "not speak yet)");
  }
  return response;
}

}  // namespace

KafkaConnection::KafkaConnection(Env& env, ClientIdentity identity)
    : identity_(std::move(identity)),
      scope_(env.reactor),
      env_(env),
      send_turn_(env.reactor),
      gate_(env.reactor) {}

KafkaConnection::~KafkaConnection() { MR_CHECK(connection_ == nullptr); }

Task<absl::Status> KafkaConnection::Connect(SocketAddress address, Instant deadline) {
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return absl::CancelledError("the client is stopping");
  MR_CHECK(connection_ == nullptr);
  address_ = address;
  absl::StatusOr<std::unique_ptr<Connection>> connection =
      co_await env_.network.Connect(std::move(address), deadline);
  if (!connection.ok()) co_return connection.status();
  connection_ = *std::move(connection);
  if (!failure_.ok()) {  // Shutdown() came while we were connecting.
    connection_->Shutdown();
    co_return failure_;
  }
  scope_.Spawn(ReceiveLoop());
  absl::Status asked = co_await AskVersions(deadline);
  if (!asked.ok()) Fail(asked);
  co_return asked;
}

Task<absl::Status> KafkaConnection::AskVersions(Instant deadline) {
  kafka::ApiVersionsRequest request;
  request.client_software_name = "millrace";
  request.client_software_version = identity_.software_version;
  // A broker that does not know our version says so in version 0, with the versions it does know
  // (KIP-511).
  int16_t version = kafka::ApiVersionsRequest::kMaxVersion;
  for (;;) {
    MR_CO_ASSIGN_OR_RETURN(Slice answer, co_await Exchange(Frame(request, version), deadline));
    if (answer.size() < kCorrelationBytes + 2) {
      co_return absl::UnavailableError("what listens there does not speak Kafka's protocol");
    }
    const int16_t error = LoadBig<int16_t>(answer.data() + kCorrelationBytes);
    const bool unknown = error == CodeOf(kafka::KafkaError::kUnsupportedVersion);
    MR_CO_ASSIGN_OR_RETURN(kafka::ApiVersionsResponse response,
                           DecodeApiVersions(std::move(answer), unknown ? int16_t{0} : version));
    served_.clear();
    for (const auto& api : response.api_keys) {
      served_[api.api_key] = {api.min_version, api.max_version};
    }
    if (error == 0) co_return absl::OkStatus();
    if (!unknown || version == 0) {
      co_return absl::UnavailableError(fmt::format("ApiVersions was refused with error {}", error));
    }
    absl::StatusOr<int16_t> known = VersionOf<kafka::ApiVersionsRequest>();
    version = known.ok() && *known < version ? *known : int16_t{0};
  }
}

absl::StatusOr<int16_t> KafkaConnection::ChooseVersion(int16_t api_key, int16_t min,
                                                       int16_t max) const {
  const char* name = kafka::FindApi(api_key)->name;
  auto found = served_.find(api_key);
  if (found == served_.end()) {
    return absl::UnimplementedError(
        fmt::format("the broker at {} does not serve {}", address_.ToString(), name));
  }
  const int16_t version = std::min(max, found->second.max);
  if (version < std::max(min, found->second.min)) {
    return absl::UnimplementedError(
        fmt::format("the broker at {} serves {} in versions {}-{}, this client speaks {}-{}",
                    address_.ToString(), name, found->second.min, found->second.max, min, max));
  }
  return version;
}

void KafkaConnection::Fail(absl::Status status) {
  if (!failure_.ok()) return;
  failure_ = std::move(status);
  if (connection_ != nullptr) connection_->Shutdown();
  for (Waiting* waiting : waiting_) waiting->answered.Set();
}

Task<absl::StatusOr<Slice>> KafkaConnection::ReceiveAnswer() {
  MR_CO_ASSIGN_OR_RETURN(
      MutableBuffer size,
      co_await connection_->ReceiveExactly(MutableBuffer(sizeof(uint32_t)), 0, sizeof(uint32_t)));
  const uint32_t length = LoadBig<uint32_t>(size.data());
  if (length < kCorrelationBytes || length > kAnswerBytesMax) {
    co_return absl::UnavailableError(
        fmt::format("what listens at {} does not speak Kafka's protocol (an answer of {} bytes)",
                    address_.ToString(), length));
  }
  MR_CO_ASSIGN_OR_RETURN(MutableBuffer body,
                         co_await connection_->ReceiveExactly(MutableBuffer(length), 0, length));
  co_return std::move(body).Freeze(length);
}

Task<void> KafkaConnection::ReceiveLoop() {
  for (;;) {
    absl::StatusOr<Slice> answer = co_await ReceiveAnswer();
    if (!answer.ok()) {
      Fail(answer.status());
      co_return;
    }
    const int32_t correlation = LoadBig<int32_t>(answer->data());
    if (waiting_.empty() || waiting_.front()->correlation != correlation) {
      Fail(absl::DataLossError(fmt::format("{} answered what was not asked (correlation id {})",
                                           address_.ToString(), correlation)));
      co_return;
    }
    Waiting* first = waiting_.front();
    waiting_.pop_front();
    first->answer = *std::move(answer);
    first->has_answer = true;
    first->answered.Set();
  }
}

Task<absl::Status> KafkaConnection::SendFrame(OutgoingFrame frame, Waiting* waiting) {
  MR_CO_RETURN_IF_ERROR(frame.bytes.status());
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return absl::CancelledError("the client is stopping");
  if (connection_ == nullptr) co_return absl::UnavailableError("not connected");
  const uint64_t ticket = next_ticket_++;
  while (serving_ != ticket) co_await send_turn_.Wait();
  absl::Status sent = failure_;
  if (sent.ok()) {
    if (waiting != nullptr) waiting_.push_back(waiting);
    sent = co_await connection_->Send(*std::move(frame.bytes));
    if (!sent.ok()) Fail(sent);
  }
  ++serving_;
  send_turn_.Pulse();
  co_return sent;
}

Task<absl::StatusOr<Slice>> KafkaConnection::Exchange(OutgoingFrame frame, Instant deadline) {
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return absl::CancelledError("the client is stopping");
  Waiting waiting(env_.reactor, frame.correlation);
  absl::Status sent = co_await SendFrame(std::move(frame), &waiting);
  if (sent.ok() && !waiting.has_answer && failure_.ok()) {
    if (co_await waiting.answered.Wait(deadline) == WaitResult::kTimedOut) {
      Fail(absl::DeadlineExceededError(fmt::format("no answer from {}", address_.ToString())));
    }
  }
  if (waiting.has_answer) co_return std::move(waiting.answer);
  std::erase(waiting_, &waiting);
  co_return sent.ok() ? failure_ : sent;
}

void KafkaConnection::Shutdown() { Fail(absl::CancelledError("the client is stopping")); }

Task<void> KafkaConnection::Close() {
  Shutdown();
  co_await gate_.Close();
  co_await scope_.Stop();
  if (connection_ != nullptr) {
    co_await connection_->Close();
    connection_.reset();
  }
}

}  // namespace millrace
