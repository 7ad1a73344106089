// Fetch sessions (KIP-227): a client names its partitions once and then only what changes; answers
// hold only what has news. Pure: time is an argument, session ids are drawn by the caller.
//
//   request (id, epoch)      meaning
//   (0, -1)                  full fetch, no session
//   (0,  0)                  full fetch, a session is wanted
//   (id, 0)                  the same; the session `id` ends
//   (id, -1)                 full fetch, the session `id` ends
//   (id, n>0)                incremental; n must be the session's next epoch
//
// Shard:    the connection's; sessions do not move between shards (a client that reconnects
// elsewhere gets
//           FETCH_SESSION_ID_NOT_FOUND and begins anew).
// Bound:    `slots_max` sessions, and over all of them `partitions_max` partitions and
//           `name_bytes_max` of topics' names (each once in a session); beyond, answers are
//           sessionless, and a session that grows beyond is closed. A name that no topic can have
//           is in no session.
// Source:   rules 2.30-2.36 of Kafka's broker behaviour.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/fetch/shared_name.h"
#include "common/ids.h"
#include "common/time.h"

namespace millrace {

// One partition as a fetch names it: by topic id from version 13 on, by name before; the other half
// is empty.
struct FetchKey {
  std::optional<TopicId> topic_id;
  SharedName topic;
  int32_t partition;
  friend auto operator<=>(const FetchKey&, const FetchKey&) = default;
};

struct FetchTarget {
  FetchKey key;
  int64_t fetch_offset = 0;
  int32_t bytes_max = 0;
  std::optional<LeaderEpoch> current_leader_epoch;
  std::optional<LeaderEpoch> last_fetched_epoch;
};

// The epoch after `epoch`: 0 and -1 have other meanings, so after the largest comes 1.
constexpr int32_t NextFetchEpoch(int32_t epoch) { return epoch == INT32_MAX ? 1 : epoch + 1; }

// What an answer says of a partition, as far as the session must remember it to know what is news.
struct FetchNews {
  bool has_records = false;
  bool has_error = false;
  bool has_diverging_epoch = false;
  bool has_preferred_replica = false;
  int64_t high_watermark = -1;
  int64_t log_start_offset = -1;
};

class FetchSession {
 public:
  FetchSession(int32_t id, bool by_topic_id, Instant now)
      : id_(id), by_topic_id_(by_topic_id), used_(now) {}

  int32_t id() const { return id_; }
  size_t size() const { return by_key_.size(); }
  size_t name_bytes() const { return name_bytes_; }
  int32_t next_epoch() const { return next_epoch_; }
  bool by_topic_id() const { return by_topic_id_; }

  // Adds or updates `target`; a new one goes to the end.
  void Put(FetchTarget target);
  void Forget(const FetchKey& key);
  // In the order in which partitions are read.
  std::vector<FetchTarget> Targets() const;
  // Whether an incremental answer must hold the partition; remembers the news. A partition that
  // returned records moves to the end, so that one busy partition cannot starve the others
  // (rule 2.34).
  bool Report(const FetchKey& key, const FetchNews& news);

 private:
  friend class FetchSessionCache;
  struct Entry {
    FetchTarget target;
    int64_t high_watermark = -1;
    int64_t log_start_offset = -1;
  };
  // A key of the same topic, if there is one.
  const FetchKey* Sibling(const FetchKey& key) const;

  const int32_t id_;
  const bool by_topic_id_;
  Instant used_;
  int32_t next_epoch_ = 1;
  std::list<Entry> order_;
  std::map<FetchKey, std::list<Entry>::iterator> by_key_;
  size_t name_bytes_ = 0;  // Each topic's name once.
};

// What sessions take, as far as it is bounded.
struct FetchSessionSize {
  size_t partitions = 0;
  size_t name_bytes = 0;
};

struct FetchSessionOptions {
  size_t slots_max = 1000;  // max.incremental.fetch.session.cache.slots.
  // Each partition of a session takes about 200 bytes: 4 MB at most.
  size_t partitions_max = 20'000;
  size_t name_bytes_max = size_t{2} << 20;  // Of those that name topics (before version 13).
  // A session that was not used for so long gives way to a new one; a younger one does not
  // (rule 2.35).
  Duration eviction_age = seconds(120);
};

class FetchSessionCache {
 public:
  enum class Refusal { kNone, kNotFound, kWrongEpoch, kTopicIdMismatch };

  explicit FetchSessionCache(FetchSessionOptions options) : options_(options) {}

  // The session of an incremental request, its epoch checked and advanced. Null with the reason
  // otherwise.
  std::shared_ptr<FetchSession> Continue(int32_t id, int32_t epoch, bool by_topic_id, Instant now,
                                         Refusal* refusal);
  // A new session with these partitions, or null: the answer is sessionless then. `draw()` gives
  // random ids.
  template <typename Draw>
  std::shared_ptr<FetchSession> Create(const std::vector<FetchTarget>& targets, bool by_topic_id,
                                       Instant now, Draw draw) {
    if (!MakeRoom(SizeOf(targets), now)) return nullptr;
    int32_t id = 0;
    do {
      id = static_cast<int32_t>(draw() & 0x7fffffff);
    } while (id == 0 || sessions_.contains(id));
    return Insert(id, targets, by_topic_id, now);
  }
  void Close(int32_t id);
  // After an incremental request has changed the partitions of `session`. False: it has grown above
  // the bound of all sessions and is closed.
  bool Resized(const FetchSession& session, FetchSessionSize before);
  // How many partitions a session has; 0: there is none of that id.
  size_t PartitionsOf(int32_t id) const;

  size_t size() const { return sessions_.size(); }
  size_t partitions() const { return used_.partitions; }
  size_t name_bytes() const { return used_.name_bytes; }

 private:
  static FetchSessionSize SizeOf(const std::vector<FetchTarget>& targets);
  bool Fits(FetchSessionSize more) const;
  bool MakeRoom(FetchSessionSize wanted, Instant now);
  std::shared_ptr<FetchSession> Insert(int32_t id, const std::vector<FetchTarget>& targets,
                                       bool by_topic_id, Instant now);

  const FetchSessionOptions options_;
  std::map<int32_t, std::shared_ptr<FetchSession>> sessions_;
  FetchSessionSize used_;
};

}  // namespace millrace
