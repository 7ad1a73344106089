// Snapshots of a metadata image: the records that make it out of an empty one, encoded in chunks.
// Written beside a log that goes on (an image does not change), read back where the log that led
// to it is gone.
//
//   ImageSnapshotWriter writer(image, kSnapshotChunkBytes);
//   while (std::optional<std::string> chunk = writer.Next()) ...;
//   ReadImageSnapshot(*image->index(), chunks);  // The same image.
//
// A chunk is an entry as EncodeEntry() writes it (of term 0), so there is one codec and one way
// in which records become state.
//
// Pure. Each chunk costs O(its records).
#pragma once

#include <absl/status/statusor.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controller/image/metadata_image.h"
#include "controller/image/metadata_record.h"

namespace millrace {

// Small enough that encoding one does not hold up a shard, large enough that a snapshot is few.
inline constexpr size_t kSnapshotChunkBytes = size_t{128} << 10;

class ImageSnapshotWriter {
 public:
  // A chunk has at least one record, and more while they are about within `chunk_bytes_max`.
  ImageSnapshotWriter(std::shared_ptr<const MetadataImage> image, size_t chunk_bytes_max);

  // The next chunk; nothing after the last. An empty image has none.
  std::optional<std::string> Next();

 private:
  // Puts the next topic's records into waiting_; false when there is none.
  bool TakeTopic();

  const std::shared_ptr<const MetadataImage> image_;
  const size_t chunk_bytes_max_;
  std::deque<MetadataRecord> waiting_;
  std::optional<std::string> last_topic_;  // What is in waiting_, or was, ends with this one.
};

// kDataLoss: a chunk does not decode, or does not fit what came before it.
absl::StatusOr<std::shared_ptr<const MetadataImage>> ReadImageSnapshot(
    RaftIndex index, const std::vector<std::string>& chunks);

}  // namespace millrace
