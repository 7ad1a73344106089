// ControllerRequests: where the requests go that the active controller answers (api_table.h:
// AnsweredBy::kActiveController), whichever node and shard the client asked (KIP-590's idea).
//
//   Dispatcher, any shard ── AskController ──► ControllerRequests::Answer, shard 0 of this node
//     this node is the active controller:  AnswerForwarded(admin context, request)
//     another one is:                      the same there, over a session's stream
//   and the answer comes back when this node's shards have applied what it stands for.
//
// A ForwardedRequest holds no memory of a shard and no reference to the client's connection: it may
// cross threads and machines.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "broker/admin_context.h"
#include "broker/server/api_request.h"
#include "broker/server/memory_line.h"
#include "common/ids.h"
#include "common/network.h"
#include "common/runtime/shards.h"
#include "common/runtime/task.h"

namespace millrace {

// A request with what a handler may ask of its connection.
struct ForwardedRequest {
  int16_t api_key = 0;
  int16_t version = 0;
  int32_t correlation_id = 0;
  std::optional<std::string> client_id;
  std::string body;  // After the header.
  ListenerKind listener_kind = ListenerKind::kBroker;
  std::string listener;
  std::string principal;
  SocketAddress local;
  SocketAddress peer;
};

struct ForwardedReply {
  ApiReply::Action action = ApiReply::Action::kSend;
  std::string frame;   // As ApiReply::body: size, response header, body. Empty unless kSend.
  std::string reason;  // As ApiReply::reason.
  // The metadata that the answer stands for: who has applied it sees what the client was told.
  std::optional<RaftIndex> index;
};

class ControllerRequests {
 public:
  virtual ~ControllerRequests() = default;

  // Shard 0. The answer is ready for the client: this node has applied what it stands for. While
  // there is no active controller it waits, for as long as the request allows (request_timeout.h) and
  // half a minute at most; then the answer is REQUEST_TIMED_OUT.
  virtual Task<ForwardedReply> Answer(ForwardedRequest request) = 0;
};

// On shard 0 of the active controller's node: runs the API's handler. `admin` outlives the call.
// The request's key and version are checked here: another node, maybe of another release, sent it.
Task<ForwardedReply> AnswerForwarded(AdminContext* admin, ForwardedRequest request);

// From the dispatcher of any shard. `requests` is shard 0's; all outlive the call. What is larger than
// can be sent to another node is refused, wherever the controller is. `copies`: memory for requests
// that are asked; one that gets some keeps no receive buffer, however long there is no controller.
Task<ApiReply> AskController(Shards* shards, ShardId here, ControllerRequests* requests,
                             MemoryLine* copies, ApiRequest request);

}  // namespace millrace
