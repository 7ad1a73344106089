// ClusterView: which replicas may lead or be in sync, as a decision sees it: the image's brokers,
// with one about to join or to leave.
//
// Pure. Lifetime: `image` outlives it.
#pragma once

#include <optional>

#include "controller/image/metadata_image.h"

namespace millrace {

class ClusterView {
 public:
  explicit ClusterView(const MetadataImage& image) : image_(image) {}
  // Counts as serving though the image says it does not yet.
  ClusterView& WithJoining(BrokerId broker) {
    joining_ = broker;
    return *this;
  }
  // Counts as gone though the image says it serves.
  ClusterView& WithLeaving(BrokerId broker) {
    leaving_ = broker;
    return *this;
  }

  bool Serves(BrokerId broker) const {
    if (broker == leaving_) return false;
    const BrokerImage* image = image_.FindBroker(broker);
    return image != nullptr && (image->active() || broker == joining_);
  }
  // Serves, and the directory in which the replica lives is online.
  bool MayLead(const PartitionImage& partition, BrokerId broker) const {
    return Serves(broker) && IsOnline(*image_.FindBroker(broker), partition.DirectoryOf(broker));
  }

  // A directory that the broker has not said yet, or never will (it was there before directories
  // had ids), is taken to be online.
  static bool IsOnline(const BrokerImage& broker, const DirectoryId& directory) {
    if (directory == kUnassignedDirectory || directory == kMigratingDirectory) return true;
    const LogDirectoryImage* found = broker.FindDirectory(directory);
    return found != nullptr && found->online;
  }

 private:
  const MetadataImage& image_;
  std::optional<BrokerId> joining_;
  std::optional<BrokerId> leaving_;
};

}  // namespace millrace
