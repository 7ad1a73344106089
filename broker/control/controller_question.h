// AskWithKafka: a question of this broker itself to the active controller, in Kafka's own messages:
// they go the way of a client's forwarded request (controller_requests.h).
//
// Shard:    shard 0.
// Lifetime: `requests` outlives the call.
// Errors:   kUnavailable with kNotController: there is no active controller, or it cannot say. It
//           may have had its effect. kDataLoss: the answer does not decode.
#pragma once

#include <absl/status/statusor.h>
#include <fmt/format.h>

#include <string>
#include <utility>

#include "broker/control/controller_requests.h"
#include "common/error_kind.h"
#include "proto/kafka/header.h"
#include "proto/kafka/reader.h"
#include "proto/kafka/response_header.h"
#include "proto/kafka/writer.h"

namespace millrace {

// Brokers speak for themselves, as on a controller's listener.
inline constexpr const char* kBrokerPrincipal = "User:ANONYMOUS";

template <typename Response, typename Request>
Task<absl::StatusOr<Response>> AskWithKafka(ControllerRequests* requests, Request question,
                                            int16_t version) {
  kafka::Writer out;
  question.Encode(out, version);
  absl::StatusOr<Chain> body = std::move(out).Finish();
  if (!body.ok()) co_return body.status();
  ForwardedRequest forwarded;
  forwarded.api_key = Request::kApiKey;
  forwarded.version = version;
  forwarded.body = std::string(body->Flatten().view());
  forwarded.listener_kind = ListenerKind::kController;
  forwarded.principal = kBrokerPrincipal;
  ForwardedReply reply = co_await requests->Answer(std::move(forwarded));
  if (reply.action != ApiReply::Action::kSend) {
    co_return MakeError(ErrorKind::kNotController, absl::StatusCode::kUnavailable,
                        std::move(reply.reason));
  }
  kafka::Reader in(Slice::Copy(reply.frame));
  (void)in.ReadInt32();  // The frame's size.
  kafka::ResponseHeader header;
  header.Decode(in, kafka::ResponseHeaderVersion(*kafka::FindApi(Request::kApiKey), version));
  Response response;
  response.Decode(in, version);
  absl::Status decoded = in.Finish();
  if (!decoded.ok()) {
    co_return absl::DataLossError(
        fmt::format("the controller's answer: {}", std::string(decoded.message())));
  }
  co_return response;
}

}  // namespace millrace
