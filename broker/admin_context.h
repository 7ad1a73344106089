// AdminContext: what the APIs stand on that concern the cluster and no partition of this node: they
// are served by brokers and by nodes that are controllers alone. (Broker is what the others stand
// on.)
//
// An API that the active controller answers (api_table.h: AnsweredBy::kActiveController) runs on
// shard 0 of that controller's node, wherever the client asked, and finds `controller` there. What
// the client is told must not depend on the node that answers: ApiRequest::connection names the
// client's listener, principal and address as they were where it asked.
//
// Shard:    one per shard of a node.
// Lifetime: everything it refers to outlives it; it outlives every request.
#pragma once

#include <memory>
#include <string>

#include "broker/topic_config_source.h"
#include "common/check.h"
#include "common/env.h"
#include "common/ids.h"
#include "controller/controller.h"
#include "controller/image/metadata_source.h"

namespace millrace {

class RaftQuorum;

struct AdminOptions {
  BrokerId node_id{1};
  std::string cluster_id;  // As text: Kafka lets it be any.
  // The listener by which controllers dial each other.
  std::string controller_listener = "CONTROLLER";
};

struct AdminContext {
  // Constant after construction.
  AdminOptions options;
  // Borrowed.
  Env& env;
  const MetadataSource& metadata;  // This shard's.
  const TopicConfigSource& configs;
  // On shard 0 of a node with the controller role; else null.
  Controller* controller;
  RaftQuorum* raft;

  const std::shared_ptr<const MetadataImage>& image() const { return metadata.image(); }
  // For the APIs that the active controller answers.
  Controller& active() const {
    MR_CHECK(controller != nullptr);
    return *controller;
  }
  RaftQuorum& quorum() const {
    MR_CHECK(raft != nullptr);
    return *raft;
  }
};

}  // namespace millrace
