// A forwarded request and its reply, as they travel in a session (controller/session).
#pragma once

#include <utility>

#include "broker/control/controller_requests.h"
#include "controller/session/session_message.h"

namespace millrace {

session::Request ToSession(ForwardedRequest request);
ForwardedRequest FromSession(session::Request request);
session::Response ToSession(ForwardedReply reply);
ForwardedReply FromSession(session::Response response);

}  // namespace millrace
