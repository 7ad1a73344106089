// RemoteController: ControllerAccess for the shards on which the controller does not run: every
// call is made on shard 0.
//
// Shard:    the one it was made on.
// Lifetime: `shards` and `local` (of shard 0) outlive it and every call.
#pragma once

#include "broker/controller_access.h"
#include "common/runtime/shards.h"

namespace millrace {

class RemoteController final : public ControllerAccess {
 public:
  RemoteController(Shards& shards, ShardId here, ControllerAccess& local)
      : shards_(shards), here_(here), local_(local) {}

  Task<absl::StatusOr<std::vector<CreateTopicReply>>> CreateTopics(
      std::vector<CreateTopicRequest> requests, bool validate_only) override;
  Task<absl::StatusOr<ProducerIdBlock>> AllocateProducerIds() override;

 private:
  Shards& shards_;
  const ShardId here_;
  ControllerAccess& local_;
};

}  // namespace millrace
