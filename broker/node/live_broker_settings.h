// LiveBrokerSettings: keys of the broker that hold from the moment they are changed at runtime, and that
// no topic falls back on: max.connections, max.connections.per.ip. (What topics fall back on reaches
// their partitions with the metadata: metadata_applier.h.)
//
// Shard:    shard 0.
// Lifetime: what is lent outlives it.
#pragma once

#include "broker/server/connection_admission.h"
#include "broker/topic_config_source.h"
#include "common/config/runtime_config.h"
#include "controller/image/metadata_delta.h"
#include "controller/image/metadata_follower.h"

namespace millrace {

class LiveBrokerSettings final : public MetadataFollower {
 public:
  LiveBrokerSettings(BrokerId self, const TopicConfigSource& configs, LocalAdmission& admission)
      : self_(self), configs_(configs), admission_(admission) {}

  // What holds at a start.
  void Apply(const MetadataImage& image) {
    const ServerConfigValues server = configs_.Server(image);
    admission_.SetLimits(EffectiveBrokerInteger("max.connections", server),
                         EffectiveBrokerInteger("max.connections.per.ip", server));
  }

  void OnMetadata(std::shared_ptr<const MetadataImage> image, const MetadataDelta& delta) override {
    if (delta.broker_defaults_changed() || delta.changed_broker_configs().contains(self_)) {
      Apply(*image);
    }
  }

 private:
  const BrokerId self_;
  const TopicConfigSource& configs_;
  LocalAdmission& admission_;
};

}  // namespace millrace
