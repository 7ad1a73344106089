#include "controller/session/metadata_feed.h"

#include <utility>

#include "common/check.h"

namespace millrace {
namespace {

// Of one message: small enough that heartbeats and answers get in between.
constexpr size_t kEntriesBytes = size_t{256} << 10;
constexpr size_t kItemOverhead = 32;

}  // namespace

void MetadataFeed::Add(RaftIndex index, std::string encoded) {
  if (wanted()) {
    if (items_.empty()) start_ = last_;
    bytes_ += encoded.size() + kItemOverhead;
    items_.push_back({index, std::move(encoded)});
    while (bytes_ > bytes_max_) {
      bytes_ -= items_.front().entry.size() + kItemOverhead;
      start_ = items_.front().index;
      items_.pop_front();
    }
  }
  last_ = index;
  changed_.Pulse();
}

void MetadataFeed::Reset(RaftIndex index) {
  items_.clear();
  bytes_ = 0;
  last_ = index;
  changed_.Pulse();
}

MetadataFeed::Reader::~Reader() {
  MR_CHECK(feed_.readers_ > 0);
  if (--feed_.readers_ > 0) return;
  feed_.items_.clear();
  feed_.bytes_ = 0;
}

std::optional<session::Entries> MetadataFeed::Reader::After(RaftIndex index) const {
  session::Entries entries;
  if (!feed_.last_.has_value() || *feed_.last_ <= index) return entries;
  if (feed_.items_.empty() || !feed_.start_.has_value() || index < *feed_.start_) {
    return std::nullopt;
  }
  size_t bytes = 0;
  for (const session::Entries::Item& item : feed_.items_) {
    if (item.index <= index) continue;
    if (bytes > kEntriesBytes) break;
    bytes += item.entry.size();
    entries.items.push_back(item);
  }
  return entries;
}

}  // namespace millrace
