// KafkaClient: one connection to a broker, speaking Kafka's protocol with the generated codec;
// requests may be pipelined.
//
// Shard:    one.
// Lifetime: `env` outlives it. Stop() must have ended before destruction.
// Errors:   kUnavailable, kDeadlineExceeded (the connection is given up then: what was asked may
//           have happened), kCancelled, kDataLoss: the answer does not decode.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "common/bytes/slice.h"
#include "common/env.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "common/status_macros.h"
#include "proto/kafka/header.h"
#include "proto/kafka/reader.h"
#include "proto/kafka/response_header.h"

namespace millrace::simtest {

class KafkaClient {
 public:
  KafkaClient(Env& env, std::string client_id)
      : env_(env), client_id_(std::move(client_id)), scope_(env.reactor), send_turn_(env.reactor) {}

  Task<absl::Status> Connect(SocketAddress address, Duration patience);
  bool connected() const { return connection_ != nullptr && failure_.ok(); }

  // Sends in the order of the calls; answers come in that order too.
  template <typename Response, typename Request>
  Task<absl::StatusOr<Response>> Call(Request request, int16_t version, Duration patience) {
    kafka::RequestHeader header;
    header.correlation_id = next_correlation_++;
    header.client_id = client_id_;
    const int32_t correlation = header.correlation_id;
    absl::StatusOr<Chain> frame = kafka::EncodeRequest(request, version, std::move(header));
    MR_CO_RETURN_IF_ERROR(frame.status());
    MR_CO_ASSIGN_OR_RETURN(Slice answer,
                           co_await Exchange(*std::move(frame), correlation, patience));
    kafka::Reader in(std::move(answer));
    kafka::ResponseHeader response_header;
    response_header.Decode(
        in, kafka::ResponseHeaderVersion(*kafka::FindApi(Request::kApiKey), version));
    Response response;
    response.Decode(in, version);
    absl::Status decoded = in.Finish();
    if (!decoded.ok()) co_return absl::DataLossError(std::string(decoded.message()));
    if (response_header.correlation_id != correlation) {
      co_return absl::DataLossError("an answer to another request");
    }
    co_return response;
  }

  // Ends everything that waits, soon.
  void Shutdown();
  // Gives the connection up; Connect() may follow.
  Task<void> Disconnect();
  Task<void> Stop();

 private:
  class Patience;
  struct Waiting {
    explicit Waiting(Reactor& reactor) : answered(reactor) {}
    Slice answer;
    bool has_answer = false;
    Event answered;
  };

  Task<absl::StatusOr<Slice>> Exchange(Chain frame, int32_t correlation, Duration patience);
  Task<void> ReceiveLoop();
  void Fail(absl::Status status);

  Env& env_;
  const std::string client_id_;
  TaskScope scope_;
  std::unique_ptr<Connection> connection_;
  absl::Status failure_;
  int32_t next_correlation_ = 1;
  std::deque<Waiting*> waiting_;  // In the order of sending.
  // Whose turn it is to send: callers that wait must not be overtaken by later ones.
  uint64_t next_ticket_ = 0;
  uint64_t serving_ = 0;
  Event send_turn_;
};

}  // namespace millrace::simtest
