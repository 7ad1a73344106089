// Dispatcher: from a frame to the API that answers it.
//
// Promises: an unknown key, a version that is not served, or a header that does not decode closes
// the connection; but
//           ApiVersions of an unknown version is answered with version 0 and UNSUPPORTED_VERSION,
//           so that any client can find out what is spoken here (KIP-511).
// Shard:    the connection's.
#pragma once

#include "broker/broker.h"
#include "broker/client_connection.h"

namespace millrace {

class Dispatcher final : public RequestHandler {
 public:
  explicit Dispatcher(Broker& broker) : broker_(broker) {}
  Task<ApiReply> Handle(Slice frame, std::shared_ptr<ConnectionContext> connection,
                        std::shared_ptr<RequestOrder> order, CancellationToken cancel,
                        CancellationToken drain) override;

 private:
  Broker& broker_;
};

}  // namespace millrace
