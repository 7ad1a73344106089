// ImagePeers: what the latest metadata image of a shard says about other brokers, for its
// replication streams.
//
// Shard:    one, the applier's.
// Lifetime: `applier` outlives it.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "broker/metadata_applier.h"
#include "replication/replication_options.h"

namespace millrace {

class ImagePeers final : public ReplicationPeers {
 public:
  ImagePeers(const MetadataApplier& applier, std::string inter_broker_listener)
      : applier_(applier), listener_(std::move(inter_broker_listener)) {}

  std::optional<BrokerEpoch> EpochOf(BrokerId broker) const override {
    const BrokerImage* image = applier_.image()->FindBroker(broker);
    if (image == nullptr) return std::nullopt;
    return image->epoch;
  }
  std::optional<SocketAddress> AddressOf(BrokerId broker) const override {
    const BrokerImage* image = applier_.image()->FindBroker(broker);
    const BrokerEndpoint* endpoint = image == nullptr ? nullptr : image->FindEndpoint(listener_);
    if (endpoint == nullptr) return std::nullopt;
    return SocketAddress{endpoint->host, endpoint->port};
  }

 private:
  const MetadataApplier& applier_;
  const std::string listener_;
};

}  // namespace millrace
