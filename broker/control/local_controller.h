// LocalController: ControllerAccess on the controller's own shard.
//
// Shard:    shard 0. Calls of other shards come here too (remote_controller.h).
// Lifetime: `controller` and `publisher` outlive it and every call.
#pragma once

#include "broker/controller_access.h"
#include "broker/metadata_publisher.h"

namespace millrace {

class LocalController final : public ControllerAccess {
 public:
  LocalController(Controller& controller, BrokerId self) : controller_(controller), self_(self) {}
  // Before the first call. (The publisher's appliers belong to shards whose APIs are lent this.)
  void Attach(MetadataPublisher& publisher) { publisher_ = &publisher; }

  Task<absl::StatusOr<std::vector<CreateTopicReply>>> CreateTopics(
      std::vector<CreateTopicRequest> requests, bool validate_only) override;
  Task<absl::StatusOr<ProducerIdBlock>> AllocateProducerIds() override;

 private:
  // Until every shard has applied what is committed now.
  Task<void> Settled();

  Controller& controller_;
  const BrokerId self_;
  MetadataPublisher* publisher_ = nullptr;
};

}  // namespace millrace
