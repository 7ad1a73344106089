// MetadataSource: where the latest image that a shard may look at comes from: what was published to
// the shard of a broker, or what the controller has applied on a node that is no broker.
//
// Shard:    the one that asks.
#pragma once

#include <memory>

#include "controller/image/metadata_image.h"

namespace millrace {

class MetadataSource {
 public:
  virtual ~MetadataSource() = default;
  // Never null; empty before the first. Valid until this shard's next turn: keep a copy over a
  // co_await.
  virtual const std::shared_ptr<const MetadataImage>& image() const = 0;
};

}  // namespace millrace
