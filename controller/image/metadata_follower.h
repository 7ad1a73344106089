// MetadataFollower: who is told what the cluster has decided.
//
// Called on shard 0 in the order of the log: after each committed entry, once for all that a
// snapshot changed. It runs within the caller's turn, so it only notes what is to be done.
#pragma once

#include <memory>

#include "controller/image/metadata_delta.h"
#include "controller/image/metadata_image.h"

namespace millrace {

class MetadataFollower {
 public:
  virtual ~MetadataFollower() = default;
  virtual void OnMetadata(std::shared_ptr<const MetadataImage> image,
                          const MetadataDelta& delta) = 0;
};

}  // namespace millrace
