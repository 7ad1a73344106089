// What a node's configuration and formatting mean for its quorum of controllers: pure functions.
//
// Shard:  any.
// Source: docs/architecture.md, The quorum; KIP-853 (voters that were formatted), Kafka's
//         controller.quorum.* keys.
#pragma once

#include <string>

#include "broker/node/node_format.h"
#include "common/config/broker_config.h"
#include "controller/quorum/raft_quorum_options.h"

namespace millrace {

// REQUIRES: the node is a controller. `host_name`: what an empty advertised host becomes.
RaftQuorumOptions QuorumSettings(const BrokerConfig& config, const NodeFormat& format,
                                 const std::string& host_name);

}  // namespace millrace
