// ClusterView: which replicas may lead or be in sync, as a decision sees it: the image's brokers,
// with one about to join or to leave, and what is known of their log directories.
//
// Pure. Lifetime: `image` and the grades outlive it.
#pragma once

#include <optional>

#include "controller/directory_grades.h"
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

  // Who is known to lead badly is chosen last.
  ClusterView& WithGrades(const DirectoryGrades& grades) {
    grades_ = &grades;
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

  // It is not known that its directory is full or slow.
  bool MayLeadWell(const PartitionImage& partition, BrokerId broker) const {
    return MayLead(partition, broker) &&
           (grades_ == nullptr || !(grades_->IsFull(image_, partition, broker) ||
                                    grades_->IsSlow(image_, partition, broker)));
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
  const DirectoryGrades* grades_ = nullptr;  // May be null: nothing is known.
};

}  // namespace millrace
