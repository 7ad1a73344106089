#include "broker/control/controller_requests.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>

#include "broker/api/api_table.h"
#include "broker/api/refuse_whole.h"
#include "broker/server/byte_hold.h"
#include "controller/session/session_message.h"

namespace millrace {
namespace {

ForwardedRequest Pack(const ApiRequest& request) {
  ForwardedRequest packed;
  packed.api_key = request.api_key;
  packed.version = request.version;
  packed.correlation_id = request.correlation_id;
  packed.client_id = request.client_id;
  packed.body = std::string(request.body.view());
  packed.listener_kind = request.connection->kind;
  packed.listener = request.connection->listener;
  packed.principal = request.connection->principal;
  packed.local = request.connection->local;
  packed.peer = request.connection->peer;
  return packed;
}

ApiRequest Unpack(Reactor& reactor, ForwardedRequest packed) {
  ApiRequest request;
  request.api_key = packed.api_key;
  request.version = packed.version;
  request.correlation_id = packed.correlation_id;
  request.client_id = std::move(packed.client_id);
  request.body = Slice::Copy(packed.body);
  request.received = reactor.Now();
  request.connection = std::make_shared<ConnectionContext>();
  request.connection->kind = packed.listener_kind;
  request.connection->listener = std::move(packed.listener);
  request.connection->principal = std::move(packed.principal);
  request.connection->local = std::move(packed.local);
  request.connection->peer = std::move(packed.peer);
  // Nobody waits behind it here: the order of the client's connection is kept where that is.
  request.order = std::make_shared<RequestOrder>(reactor);
  request.order->ReachFront();
  return request;
}

}  // namespace

Task<ForwardedReply> AnswerForwarded(AdminContext* admin, ForwardedRequest packed) {
  const ApiEntry* api = FindServedApi(packed.api_key, packed.listener_kind);
  ForwardedReply reply;
  if (api == nullptr || api->by != AnsweredBy::kActiveController ||
      packed.version < api->min_version || packed.version > api->max_version) {
    reply.action = ApiReply::Action::kClose;
    reply.reason = fmt::format("API key {} v{} is not answered by this controller", packed.api_key,
                               packed.version);
    co_return reply;
  }
  ApiReply answer =
      co_await api->admin_handler(admin, Unpack(admin->env.reactor, std::move(packed)));
  reply.action = answer.action;
  reply.frame = std::string(answer.body.Flatten().view());
  reply.reason = std::move(answer.reason);
  reply.index = admin->active().image()->index();
  co_return reply;
}

Task<ApiReply> AskController(Shards* shards, ShardId here, ControllerRequests* requests,
                             MemoryLine* copies, ApiRequest request) {
  const size_t bytes = request.body.size();
  if (bytes > session::kForwardedBytesMax) {
    co_return RefuseWhole(
        request, kafka::KafkaError::kInvalidRequest,
        fmt::format("a request of {} bytes (API key {}) is not sent to the controller; at most {} "
                    "are",
                    bytes, request.api_key, session::kForwardedBytesMax));
  }
  ForwardedRequest packed = Pack(request);
  std::optional<ByteHold> hold;
  if (copies->TryAcquire(bytes)) {
    hold.emplace(*copies, bytes);
    request.body = Slice();  // Else what it is charged stands for the copy.
  }
  ForwardedReply reply = co_await shards->Call<ForwardedReply>(
      here, ShardId(0), [requests, packed = std::move(packed)]() mutable {
        return requests->Answer(std::move(packed));
      });
  ApiReply answer;
  answer.action = reply.action;
  if (!reply.frame.empty()) answer.body = Chain(Slice::Copy(reply.frame));
  answer.reason = std::move(reply.reason);
  co_return answer;
}

}  // namespace millrace
