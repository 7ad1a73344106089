#include "storage/cold_chunks.h"

#include <utility>

namespace millrace {

Slice ColdChunks::Find(const ColdPlace& place) const {
  for (const auto& [kept, bytes] : chunks_) {
    if (kept.log_number != place.log_number || kept.cuts != place.cuts ||
        kept.segment_base != place.segment_base) {
      continue;
    }
    if (place.position >= kept.position && place.position < kept.position + bytes.size()) {
      return bytes.From(static_cast<size_t>(place.position - kept.position));
    }
  }
  return Slice();
}

void ColdChunks::Keep(const ColdPlace& place, Slice bytes) {
  if (bytes.size() > bytes_max_) return;
  while (!chunks_.empty() &&
         (chunks_.size() >= kColdChunksMax || bytes_ + bytes.size() > bytes_max_)) {
    bytes_ -= chunks_.front().bytes.size();
    chunks_.pop_front();
  }
  bytes_ += bytes.size();
  chunks_.push_back({place, std::move(bytes)});
}

void ColdChunks::Clear() {
  chunks_.clear();
  bytes_ = 0;
}

}  // namespace millrace
