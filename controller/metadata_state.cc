#include "controller/metadata_state.h"

#include <utility>

#include "common/status_macros.h"
#include "controller/image/image_snapshot.h"

namespace millrace {

void MetadataState::Publish(std::shared_ptr<const MetadataImage> image,
                            const MetadataDelta& delta) {
  image_ = std::move(image);
  for (MetadataFollower* follower : followers_) follower->OnMetadata(image_, delta);
}

absl::Status MetadataState::OnCommitted(RaftIndex index, const MetadataEntry& entry) {
  MetadataDelta delta(image_);
  for (const MetadataRecord& record : entry.records) MR_RETURN_IF_ERROR(delta.Apply(record));
  std::shared_ptr<const MetadataImage> next = delta.Build(index);
  Publish(std::move(next), delta);
  return absl::OkStatus();
}

absl::Status MetadataState::OnSnapshot(RaftIndex index, const std::vector<std::string>& chunks) {
  MR_ASSIGN_OR_RETURN(std::shared_ptr<const MetadataImage> next, ReadImageSnapshot(index, chunks));
  const MetadataDelta delta = MetadataDelta::Between(image_, *next);
  Publish(std::move(next), delta);
  return absl::OkStatus();
}

std::move_only_function<std::optional<std::string>()> MetadataState::TakeSnapshot() const {
  return [writer = ImageSnapshotWriter(image_, kSnapshotChunkBytes)]() mutable {
    return writer.Next();
  };
}

}  // namespace millrace
