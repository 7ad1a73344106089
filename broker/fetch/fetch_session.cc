#include "broker/fetch/fetch_session.h"

#include <algorithm>
#include <utility>

namespace millrace {

const FetchKey* FetchSession::Sibling(const FetchKey& key) const {
  const auto found = by_key_.lower_bound({key.topic_id, key.topic, INT32_MIN});
  if (found == by_key_.end() || found->first.topic_id != key.topic_id ||
      found->first.topic != key.topic) {
    return nullptr;
  }
  return &found->first;
}

void FetchSession::Put(FetchTarget target) {
  auto found = by_key_.find(target.key);
  if (found != by_key_.end()) {
    target.key.topic = found->first.topic;  // Not the request's copy of it.
    found->second->target = std::move(target);
    return;
  }
  if (const FetchKey* sibling = Sibling(target.key); sibling != nullptr) {
    target.key.topic = sibling->topic;
  } else {
    name_bytes_ += target.key.topic.size();
  }
  order_.push_back(Entry{target});
  by_key_.emplace(target.key, std::prev(order_.end()));
}

void FetchSession::Forget(const FetchKey& key) {
  auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  order_.erase(found->second);
  by_key_.erase(found);
  if (Sibling(key) == nullptr) name_bytes_ -= key.topic.size();
}

std::vector<FetchTarget> FetchSession::Targets() const {
  std::vector<FetchTarget> targets;
  targets.reserve(by_key_.size());
  for (const Entry& entry : order_) targets.push_back(entry.target);
  return targets;
}

bool FetchSession::Report(const FetchKey& key, const FetchNews& news) {
  auto found = by_key_.find(key);
  if (found == by_key_.end()) return true;  // Forgotten while the request waited: say what we have.
  Entry& entry = *found->second;
  const bool report = news.has_records || news.has_error || news.has_diverging_epoch ||
                      news.has_preferred_replica || entry.high_watermark != news.high_watermark ||
                      entry.log_start_offset != news.log_start_offset;
  if (news.has_error) {
    // Told again every time, and whatever follows it is news.
    entry.high_watermark = -1;
    entry.log_start_offset = -1;
  } else {
    entry.high_watermark = news.high_watermark;
    entry.log_start_offset = news.log_start_offset;
  }
  if (news.has_records) order_.splice(order_.end(), order_, found->second);
  return report;
}

std::shared_ptr<FetchSession> FetchSessionCache::Continue(int32_t id, int32_t epoch,
                                                          bool by_topic_id, Instant now,
                                                          Refusal* refusal) {
  auto found = sessions_.find(id);
  if (found == sessions_.end()) {
    *refusal = Refusal::kNotFound;
    return nullptr;
  }
  FetchSession& session = *found->second;
  if (session.next_epoch_ != epoch) {
    *refusal = Refusal::kWrongEpoch;
    return nullptr;
  }
  if (session.by_topic_id_ != by_topic_id) {
    *refusal = Refusal::kTopicIdMismatch;
    return nullptr;
  }
  session.next_epoch_ = NextFetchEpoch(epoch);
  session.used_ = now;
  *refusal = Refusal::kNone;
  return found->second;
}

FetchSessionSize FetchSessionCache::SizeOf(const std::vector<FetchTarget>& targets) {
  FetchSessionSize size{targets.size(), 0};
  // Those of a topic mostly lie together; where they do not, its name counts more than once here.
  const SharedName* last = nullptr;
  for (const FetchTarget& target : targets) {
    if (last == nullptr || *last != target.key.topic) size.name_bytes += target.key.topic.size();
    last = &target.key.topic;
  }
  return size;
}

bool FetchSessionCache::Fits(FetchSessionSize more) const {
  return used_.partitions + more.partitions <= options_.partitions_max &&
         used_.name_bytes + more.name_bytes <= options_.name_bytes_max;
}

bool FetchSessionCache::MakeRoom(FetchSessionSize wanted, Instant now) {
  if (wanted.partitions > options_.partitions_max || wanted.name_bytes > options_.name_bytes_max) {
    return false;
  }
  while (sessions_.size() >= options_.slots_max || !Fits(wanted)) {
    // Only when full, and bounded by slots_max: the least recently used one.
    auto oldest = std::ranges::min_element(sessions_, {},
                                           [](const auto& entry) { return entry.second->used_; });
    if (oldest == sessions_.end() || now - oldest->second->used_ < options_.eviction_age)
      return false;
    Close(oldest->first);
  }
  return true;
}

std::shared_ptr<FetchSession> FetchSessionCache::Insert(int32_t id,
                                                        const std::vector<FetchTarget>& targets,
                                                        bool by_topic_id, Instant now) {
  auto session = std::make_shared<FetchSession>(id, by_topic_id, now);
  for (const FetchTarget& target : targets) session->Put(target);
  used_.partitions += session->size();
  used_.name_bytes += session->name_bytes();
  sessions_.emplace(id, session);
  return session;
}

bool FetchSessionCache::Resized(const FetchSession& session, FetchSessionSize before) {
  used_.partitions = used_.partitions - before.partitions + session.size();
  used_.name_bytes = used_.name_bytes - before.name_bytes + session.name_bytes();
  const bool grown = session.size() > before.partitions || session.name_bytes() > before.name_bytes;
  if (!grown || Fits({})) return true;
  Close(session.id());
  return false;
}

size_t FetchSessionCache::PartitionsOf(int32_t id) const {
  auto found = sessions_.find(id);
  return found == sessions_.end() ? 0 : found->second->size();
}

void FetchSessionCache::Close(int32_t id) {
  auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  used_.partitions -= found->second->size();
  used_.name_bytes -= found->second->name_bytes();
  sessions_.erase(found);
}

}  // namespace millrace
