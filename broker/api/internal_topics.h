// The topics that coordinators keep their state in: how they are made when they are first needed.
#pragma once

#include <string>

#include "broker/broker.h"
#include "common/runtime/task.h"

namespace millrace {

// Makes the topic as this broker's configuration says, unless it exists. What cannot be made stays
// absent: clients ask again. Returns when this node knows it.
// REQUIRES: IsInternalTopic(name).
Task<void> MakeInternalTopic(Broker* broker, std::string name);

}  // namespace millrace
