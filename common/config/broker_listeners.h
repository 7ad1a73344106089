// The part of BuildBrokerConfig that is about who this node is and where it listens: process.roles,
// node.id, the listeners and the quorum. Complaints go to the table's report; what is returned is
// of use only if there were none.
#pragma once

#include "common/config/broker_config.h"

namespace millrace {

// Fills node_id, is_broker, is_controller, rack, listeners, voters and quorum_bootstrap.
void ReadIdentityAndListeners(SettingTable& settings, BrokerConfig& config);

}  // namespace millrace
