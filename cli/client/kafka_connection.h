// KafkaConnection: one connection to a broker, with the API versions both sides speak. Requests may
// be pipelined; a broker answers them in order.
//
// Shard:    one.
// Lifetime: `env` outlives it. Close() must have ended before destruction (CHECKed); it waits for
//           every call.
// Errors:   kUnavailable: refused, reset or closed; kDeadlineExceeded: no answer in time, and the
//           connection is given up; in both cases what was asked may have happened.
//           kUnimplemented: the broker and we share no version of the API. kDataLoss: the answer
//           does not decode. kCancelled: Shutdown().
// Bounds:   one answer: kAnswerBytesMax.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/bytes/slice.h"
#include "common/env.h"
#include "common/runtime/event.h"
#include "common/runtime/gate.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "common/status_macros.h"
#include "proto/kafka/header.h"
#include "proto/kafka/reader.h"
#include "proto/kafka/response_header.h"

namespace millrace {

// What brokers see of us: the client id of every request, and the software in ApiVersions.
struct ClientIdentity {
  std::string client_id = "millrace";
  std::string software_version = "0";
};

class KafkaConnection {
 public:
  // Above the largest answer a Fetch of ours asks for.
  static constexpr uint32_t kAnswerBytesMax = 256 << 20;

  KafkaConnection(Env& env, ClientIdentity identity);
  ~KafkaConnection();

  // Connects and asks for the broker's versions. Called once.
  Task<absl::Status> Connect(SocketAddress address, Instant deadline);

  const SocketAddress& address() const { return address_; }
  // Whether a new request could be answered.
  bool usable() const { return connection_ != nullptr && failure_.ok(); }

  // The version to speak: the highest that both sides know, and no higher than `version_max`.
  template <typename Request>
  absl::StatusOr<int16_t> VersionOf(int16_t version_max = Request::kMaxVersion) const {
    return ChooseVersion(Request::kApiKey, Request::kMinVersion, version_max);
  }
  template <typename Request>
  bool Serves() const {
    return VersionOf<Request>().ok();
  }

  template <typename Response, typename Request>
  Task<absl::StatusOr<Response>> Call(Request request, Instant deadline,
                                      int16_t version_max = Request::kMaxVersion) {
    MR_CO_ASSIGN_OR_RETURN(int16_t version, VersionOf<Request>(version_max));
    MR_CO_ASSIGN_OR_RETURN(Slice answer, co_await Exchange(Frame(request, version), deadline));
    const kafka::ApiInfo& api = *kafka::FindApi(Request::kApiKey);
    kafka::Reader in(std::move(answer));
    kafka::ResponseHeader header;
    header.Decode(in, kafka::ResponseHeaderVersion(api, version));
    Response response;
    response.Decode(in, version);
    absl::Status decoded = in.Finish();
    if (!decoded.ok()) {
      co_return absl::DataLossError(fmt::format("the answer to {} version {} does not decode: {}",
                                                api.name, version, std::string(decoded.message())));
    }
    co_return response;
  }

  // For what is never answered: Produce with acks=0.
  template <typename Request>
  Task<absl::Status> Send(Request request) {
    MR_CO_ASSIGN_OR_RETURN(int16_t version, VersionOf<Request>());
    co_return co_await SendFrame(Frame(request, version), nullptr);
  }

  // Ends every call soon with kCancelled. Idempotent.
  void Shutdown();
  Task<void> Close();

 private:
  struct Versions {
    int16_t min;
    int16_t max;
  };
  // A request that has been sent; lives in the frame of Exchange().
  struct Waiting {
    Waiting(Reactor& reactor, int32_t correlation) : correlation(correlation), answered(reactor) {}
    const int32_t correlation;
    Slice answer;
    bool has_answer = false;
    Event answered;
  };
  struct OutgoingFrame {
    absl::StatusOr<Chain> bytes;
    int32_t correlation;
  };

  template <typename Request>
  OutgoingFrame Frame(const Request& request, int16_t version) {
    kafka::RequestHeader header;
    header.correlation_id = next_correlation_++;
    header.client_id = identity_.client_id;
    const int32_t correlation = header.correlation_id;
    return {kafka::EncodeRequest(request, version, std::move(header)), correlation};
  }

  absl::StatusOr<int16_t> ChooseVersion(int16_t api_key, int16_t min, int16_t max) const;
  Task<absl::Status> AskVersions(Instant deadline);
  Task<absl::StatusOr<Slice>> Exchange(OutgoingFrame frame, Instant deadline);
  // Sends in the order of the calls; `waiting`, if any, is in line for an answer from then on.
  Task<absl::Status> SendFrame(OutgoingFrame frame, Waiting* waiting);
  Task<void> ReceiveLoop();
  Task<absl::StatusOr<Slice>> ReceiveAnswer();
  void Fail(absl::Status status);

  // Constant after construction.
  const ClientIdentity identity_;

  // Owned.
  TaskScope scope_;
  std::unique_ptr<Connection> connection_;

  // Borrowed.
  Env& env_;

  // State.
  SocketAddress address_;
  std::map<int16_t, Versions> served_;
  absl::Status failure_;
  int32_t next_correlation_ = 1;
  std::deque<Waiting*> waiting_;  // In the order of sending.
  // Whose turn it is to send: a frame is not torn by another, and order is the order of the calls.
  uint64_t next_ticket_ = 0;
  uint64_t serving_ = 0;
  Event send_turn_;
  Gate gate_;
};

}  // namespace millrace
