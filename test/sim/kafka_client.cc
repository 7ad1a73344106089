#include "test/sim/kafka_client.h"

#include <algorithm>

#include "common/bytes/endian.h"

namespace millrace::simtest {
namespace {

// No answer of ours is larger; more means that the stream is out of step.
constexpr uint32_t kAnswerBytesMax = 64 << 20;

}  // namespace

Task<absl::Status> KafkaClient::Connect(SocketAddress address, Duration patience) {
  MR_CHECK(connection_ == nullptr);
  MR_CO_ASSIGN_OR_RETURN(connection_, co_await env_.network.Connect(std::move(address),
                                                                    env_.reactor.Now() + patience));
  failure_ = absl::OkStatus();
  scope_.Spawn(ReceiveLoop());
  co_return absl::OkStatus();
}

void KafkaClient::Fail(absl::Status status) {
  if (!failure_.ok()) return;
  failure_ = std::move(status);
  connection_->Shutdown();
  for (Waiting* waiting : waiting_) waiting->answered.Set();
}

Task<void> KafkaClient::ReceiveLoop() {
  for (;;) {
    absl::StatusOr<MutableBuffer> size =
        co_await connection_->ReceiveExactly(MutableBuffer(4), 0, 4);
    if (!size.ok()) {
      Fail(size.status());
      co_return;
    }
    const uint32_t length = LoadBig<uint32_t>(size->data());
    if (length > kAnswerBytesMax) {
      Fail(absl::DataLossError("the answer's size makes no sense"));
      co_return;
    }
    absl::StatusOr<MutableBuffer> body =
        co_await connection_->ReceiveExactly(MutableBuffer(length), 0, length);
    if (!body.ok()) {
      Fail(body.status());
      co_return;
    }
    if (waiting_.empty()) {
      Fail(absl::DataLossError("an answer that nobody asked for"));
      co_return;
    }
    Waiting* first = waiting_.front();
    waiting_.pop_front();
    first->answer = std::move(*body).Freeze(length);
    first->has_answer = true;
    first->answered.Set();
  }
}

// Gives the connection up when it fires: a client that waits for ever would never try elsewhere.
class KafkaClient::Patience final : private Timer {
 public:
  Patience(KafkaClient& client, Instant until) : client_(client) {
    client_.env_.reactor.Arm(*this, until);
  }
  ~Patience() { client_.env_.reactor.Disarm(*this); }

 private:
  void Fire() override { client_.Fail(absl::DeadlineExceededError("no answer")); }
  KafkaClient& client_;
};

Task<absl::StatusOr<Slice>> KafkaClient::Exchange(Chain frame, int32_t, Duration patience) {
  if (connection_ == nullptr) co_return absl::UnavailableError("not connected");
  const uint64_t ticket = next_ticket_++;
  while (serving_ != ticket) co_await send_turn_.Wait();
  // Sending can stall for ever, too: into a machine that lost power with our window full.
  Patience deadline(*this, env_.reactor.Now() + patience);
  absl::Status sent = failure_;
  Waiting waiting(env_.reactor);
  if (sent.ok()) {
    waiting_.push_back(&waiting);
    sent = co_await connection_->Send(std::move(frame));
  }
  ++serving_;
  send_turn_.Pulse();
  if (!sent.ok()) Fail(sent);
  if (!waiting.has_answer && failure_.ok()) {
    co_await waiting.answered.Wait();  // Fail() sets it, also when patience ends.
  }
  if (waiting.has_answer) co_return std::move(waiting.answer);
  std::erase(waiting_, &waiting);
  co_return failure_;
}

void KafkaClient::Shutdown() {
  if (connection_ != nullptr) Fail(absl::CancelledError("the client stops"));
}

Task<void> KafkaClient::Disconnect() {
  if (connection_ == nullptr) co_return;
  Fail(absl::CancelledError("the client disconnects"));
  co_await scope_.Join();
  while (serving_ != next_ticket_ || !waiting_.empty()) co_await Yield(env_.reactor);
  co_await connection_->Close();
  connection_.reset();
}

Task<void> KafkaClient::Stop() {
  co_await Disconnect();
  co_await scope_.Stop();
}

}  // namespace millrace::simtest
