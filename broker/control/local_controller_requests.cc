#include "broker/control/local_controller_requests.h"

#include <utility>

namespace millrace {

Task<ForwardedReply> LocalControllerRequests::Answer(ForwardedRequest request) {
  ForwardedReply reply = co_await AnswerForwarded(admin_, std::move(request));
  if (reply.index.has_value()) co_await publisher_->Applied(*reply.index);
  co_return reply;
}

}  // namespace millrace
