// ControllerAccess: what this broker asks of the controller itself, from any shard. (What clients ask
// goes by controller_requests.h.)
//
// When a call returns, what it decided has been applied by every shard of this node: a topic that
// was created can be produced to.
//
// Shard:    the caller's; the decision is made on shard 0 (local_controller.h,
// remote_controller.h).
//           An active controller on another node would be behind this interface too.
// Errors:   those of Controller.
#pragma once

#include <absl/status/statusor.h>

#include <vector>

#include "common/runtime/task.h"
#include "controller/controller.h"

namespace millrace {

class ControllerAccess {
 public:
  virtual ~ControllerAccess() = default;

  virtual Task<absl::StatusOr<std::vector<CreateTopicReply>>> CreateTopics(
      std::vector<CreateTopicRequest> requests, bool validate_only) = 0;
  virtual Task<absl::StatusOr<ProducerIdBlock>> AllocateProducerIds() = 0;
};

}  // namespace millrace
