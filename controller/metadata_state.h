// MetadataState: what this node knows of the cluster: the image that the committed entries make, or
// that a snapshot gives, and who is told when it changes. The one place where records become state,
// on the active controller, on the others of the quorum, and on a node that only follows.
//
// Shard:    shard 0.
// Lifetime: followers outlive it, or are taken off.
// Errors:   kDataLoss: what was committed does not fit, or does not decode: the image stays as it
//           was, and nothing later may be applied.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controller/image/metadata_follower.h"
#include "controller/image/metadata_image.h"
#include "controller/image/metadata_source.h"
#include "controller/metadata_log.h"

namespace millrace {

class MetadataState final : public CommittedEntries, public MetadataSource {
 public:
  MetadataState() = default;
  MetadataState(const MetadataState&) = delete;
  MetadataState& operator=(const MetadataState&) = delete;

  // From now on; the current image is not announced.
  void Follow(MetadataFollower& follower) { followers_.push_back(&follower); }
  void Unfollow(MetadataFollower& follower) { std::erase(followers_, &follower); }

  const std::shared_ptr<const MetadataImage>& image() const override { return image_; }

  // CommittedEntries.
  absl::Status OnCommitted(RaftIndex index, const MetadataEntry& entry) override;
  absl::Status OnSnapshot(RaftIndex index, const std::vector<std::string>& chunks) override;
  std::move_only_function<std::optional<std::string>()> TakeSnapshot() const override;

 private:
  void Publish(std::shared_ptr<const MetadataImage> image, const MetadataDelta& delta);

  std::shared_ptr<const MetadataImage> image_ = std::make_shared<const MetadataImage>();
  std::vector<MetadataFollower*> followers_;
};

}  // namespace millrace
