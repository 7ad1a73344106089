// Dispatcher: from a frame to the API that answers it.
//
// Promises: an unknown key, a version that is not served, or a header that does not decode closes
// the connection; but
//           ApiVersions of an unknown version is answered with version 0 and UNSUPPORTED_VERSION,
//           so that any client can find out what is spoken here (KIP-511).
//           A replication stream's hello is answered by the ReplicationDoor.
// Shard:    the connection's. What the active controller answers goes to shard 0.
// Lifetime: everything lent outlives it.
#pragma once

#include "broker/admin_context.h"
#include "broker/broker.h"
#include "broker/control/controller_requests.h"
#include "broker/server/client_connection.h"
#include "broker/server/request_metrics.h"

namespace millrace {

struct ApiEntry;

class Dispatcher final : public RequestHandler {
 public:
  // `broker` is null on a node that is a controller alone, which has no broker listener.
  Dispatcher(AdminContext& admin, Broker* broker, Shards& shards, ControllerRequests& controller,
             RequestMetrics& metrics)
      : admin_(admin),
        broker_(broker),
        shards_(shards),
        controller_(controller),
        metrics_(metrics),
        copies_(admin.env.reactor, kCopiesMax) {}
  Task<ApiReply> Handle(Slice frame, std::shared_ptr<ConnectionContext> connection,
                        std::shared_ptr<RequestOrder> order, CancellationToken cancel,
                        CancellationToken drain) override;

 private:
  Task<ApiReply> Answer(const ApiEntry* api, ApiRequest request);

  // Of requests for the controller that wait for its answer: the largest one fits.
  static constexpr size_t kCopiesMax = size_t{8} << 20;

  AdminContext& admin_;
  Broker* const broker_;
  Shards& shards_;
  ControllerRequests& controller_;
  RequestMetrics& metrics_;
  MemoryLine copies_;
};

}  // namespace millrace
