// MetadataFeed: the committed entries of late, encoded, for the sessions of brokers that have no
// replica of the metadata log. Stands between the log and the state that is built from it.
//
// While no session reads, it keeps nothing but where it is. A reader that is further behind than
// what is kept (a new one, a slow one) gets the image instead, and goes on from there: so each
// broker is fed at its own pace and costs no memory here.
//
// Shard:    shard 0.
// Lifetime: `next` outlives it. No reader waits when it is destroyed.
// Bound:    `bytes_max` of encoded entries; the oldest go first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "common/runtime/event.h"
#include "controller/session/session_message.h"

namespace millrace {

class MetadataFeed {
 public:
  explicit MetadataFeed(Reactor& reactor, size_t bytes_max = size_t{4} << 20)
      : bytes_max_(bytes_max), changed_(reactor) {}

  // The log: `index` is committed and applied. Entries come in order; after a snapshot of the log,
  // Reset() first.
  void Add(RaftIndex index, std::string encoded);
  void Reset(RaftIndex index);
  bool wanted() const { return readers_ > 0; }

  // A session that reads, for as long as it lives.
  class Reader {
   public:
    explicit Reader(MetadataFeed& feed) : feed_(feed) { ++feed_.readers_; }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader();

    // The entries after `index`, some bytes of them; nothing: they are not kept, take the image.
    std::optional<session::Entries> After(RaftIndex index) const;

   private:
    MetadataFeed& feed_;
  };

  std::optional<RaftIndex> last() const { return last_; }
  // Pulses with each entry.
  Event& changed() { return changed_; }

 private:
  const size_t bytes_max_;
  int64_t readers_ = 0;
  std::optional<RaftIndex> last_;  // Of all, kept or not.
  // The newest ones, all that came after start_. (Indexes may have gaps: not every entry of the log
  // is one of the metadata.)
  std::deque<session::Entries::Item> items_;
  std::optional<RaftIndex> start_;
  size_t bytes_ = 0;
  Event changed_;
};

}  // namespace millrace
