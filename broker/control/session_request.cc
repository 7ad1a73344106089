#include "broker/control/session_request.h"

namespace millrace {

session::Request ToSession(ForwardedRequest request) {
  return {.api_key = request.api_key,
          .api_version = request.version,
          .correlation_id = request.correlation_id,
          .client_id = std::move(request.client_id),
          .body = std::move(request.body),
          .principal = std::move(request.principal),
          .listener = std::move(request.listener),
          .controller_listener = request.listener_kind == ListenerKind::kController,
          .client = std::move(request.peer),
          .local = std::move(request.local)};
}

ForwardedRequest FromSession(session::Request request) {
  return {.api_key = request.api_key,
          .version = request.api_version,
          .correlation_id = request.correlation_id,
          .client_id = std::move(request.client_id),
          .body = std::move(request.body),
          .listener_kind =
              request.controller_listener ? ListenerKind::kController : ListenerKind::kBroker,
          .listener = std::move(request.listener),
          .principal = std::move(request.principal),
          .local = std::move(request.local),
          .peer = std::move(request.client)};
}

session::Response ToSession(ForwardedReply reply) {
  const bool answered = reply.action == ApiReply::Action::kSend;
  return {.result = answered ? session::Result::kAnswered : session::Result::kClose,
          .frame = std::move(reply.frame),
          .index = reply.index,
          .why = std::move(reply.reason)};
}

ForwardedReply FromSession(session::Response response) {
  ForwardedReply reply;
  reply.action = response.result == session::Result::kAnswered ? ApiReply::Action::kSend
                                                               : ApiReply::Action::kClose;
  reply.frame = std::move(response.frame);
  reply.reason = std::move(response.why);
  reply.index = response.index;
  return reply;
}

}  // namespace millrace
