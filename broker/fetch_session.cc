#include "broker/fetch_session.h"

#include <algorithm>
#include <utility>

namespace millrace {

void FetchSession::Put(FetchTarget target) {
  auto found = by_key_.find(target.key);
  if (found != by_key_.end()) {
    found->second->target = std::move(target);
    return;
  }
  order_.push_back(Entry{target});
  by_key_.emplace(target.key, std::prev(order_.end()));
}

void FetchSession::Forget(const FetchKey& key) {
  auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  order_.erase(found->second);
  by_key_.erase(found);
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

bool FetchSessionCache::MakeRoom(size_t partitions, Instant now) {
  if (partitions > options_.partitions_max) return false;
  while (sessions_.size() >= options_.slots_max ||
         partitions_ + partitions > options_.partitions_max) {
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
  partitions_ += session->size();
  sessions_.emplace(id, session);
  return session;
}

bool FetchSessionCache::Resized(const FetchSession& session, size_t size_before) {
  partitions_ = partitions_ - size_before + session.size();
  if (partitions_ <= options_.partitions_max || session.size() <= size_before) return true;
  Close(session.id());
  return false;
}

void FetchSessionCache::Close(int32_t id) {
  auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  partitions_ -= found->second->size();
  sessions_.erase(found);
}

}  // namespace millrace
