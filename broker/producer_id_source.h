// ProducerIdSource: producer ids for InitProducerId, from blocks of 1000 that the controller gives.
//
// Shard:    one. Ids are unique over the cluster and across restarts; what is left of a block at a
// stop is never used. Errors:   those of ControllerAccess::AllocateProducerIds(). Source: KIP-730;
// rule 1.51.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>

#include "broker/controller_access.h"
#include "common/env.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"

namespace millrace {

class ProducerIdSource {
 public:
  ProducerIdSource(Env& env, ControllerAccess& controller)
      : controller_(controller), refilled_(env.reactor) {}
  Task<absl::StatusOr<ProducerId>> Next();

 private:
  ControllerAccess& controller_;
  int64_t next_ = 0;
  int64_t end_ = 0;
  bool refilling_ = false;  // Others wait for the one request.
  Event refilled_;
};

}  // namespace millrace
