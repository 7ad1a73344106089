// ForwardingController: ControllerAccess over ControllerRequests: what this broker asks of the
// active controller, wherever that is, in Kafka's messages.
//
// Shard:    shard 0. Calls of other shards come here too (remote_controller.h).
// Lifetime: `requests` outlives it and every call.
#pragma once

#include <functional>
#include <optional>

#include "broker/control/controller_requests.h"
#include "broker/controller_access.h"

namespace millrace {

class ForwardingController final : public ControllerAccess {
 public:
  // `epoch`: of this broker's registration now.
  ForwardingController(ControllerRequests& requests, BrokerId self,
                       std::function<std::optional<BrokerEpoch>()> epoch)
      : requests_(requests), self_(self), epoch_(std::move(epoch)) {}

  Task<absl::StatusOr<std::vector<CreateTopicReply>>> CreateTopics(
      std::vector<CreateTopicRequest> requests, bool validate_only) override;
  Task<absl::StatusOr<ProducerIdBlock>> AllocateProducerIds() override;

 private:
  ControllerRequests& requests_;
  const BrokerId self_;
  const std::function<std::optional<BrokerEpoch>()> epoch_;
};

}  // namespace millrace
