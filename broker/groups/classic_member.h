// A member of a classic group, and the timers of all of them.
//
// Shard: any; pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/groups/join_requests.h"
#include "common/time.h"
#include "common/uuid.h"

namespace millrace {

// When a member is given up, if ever.
struct MemberTimer {
  uint64_t order;               // Of the group's members and pending ones each has another.
  std::optional<Instant> at{};  // Set by MemberTimers alone.
};

// The timers of a group's members, the next one first. Setting one that is set moves it, and needs
// no memory: this is what each heartbeat does.
class MemberTimers {
 public:
  void Set(MemberTimer& timer, const std::string& member_id, Instant at) {
    if (timer.at == at) return;
    if (!timer.at.has_value()) {
      due_.emplace(std::pair(at, timer.order), member_id);
    } else {
      auto node = due_.extract(std::pair(*timer.at, timer.order));
      node.key().first = at;
      due_.insert(std::move(node));
    }
    timer.at = at;
  }
  void Clear(MemberTimer& timer) {
    if (!timer.at.has_value()) return;
    due_.erase(std::pair(*timer.at, timer.order));
    timer.at.reset();
  }
  std::optional<Instant> next() const {
    if (due_.empty()) return std::nullopt;
    return due_.begin()->first.first;
  }
  // Whose time is up first. REQUIRES: next().
  const std::string& first() const { return due_.begin()->second; }

 private:
  std::map<std::pair<Instant, uint64_t>, std::string> due_;
};

struct ClassicMember {
  std::string id;
  std::optional<std::string> instance_id;
  std::string client_id;
  std::string client_host;
  Duration session_timeout;
  Duration rebalance_timeout;
  std::vector<MemberProtocol> protocols;  // No name twice.
  std::string assignment = {};
  MemberTimer timer;  // Its order is that in which members came.
  // It never got an answer to a Join: it has no session yet.
  bool is_new = false;
  // It waits, even where nobody listens any more (ClassicGroup::Forget()).
  bool awaits_join = false;
  bool awaits_sync = false;
  // The tickets of those who listen.
  std::optional<Ticket> join = {};
  std::optional<Ticket> sync = {};
  // Got its answer to Join, and has not sent its Sync.
  bool owes_sync = false;

  // What it says about itself for `protocol`; empty where it does not know that.
  std::string_view MetadataFor(std::string_view protocol) const;
  // In memory, about.
  size_t bytes() const;
};

// The id of a new member: clients look for the prefix (rule 7.5). Short enough for every string of
// Kafka's protocol, whatever the client calls itself.
std::string NewMemberId(std::string_view prefix, const Uuid& drawn);

// Only the first protocol of each name.
void RemoveRepeated(std::vector<MemberProtocol>& protocols);

}  // namespace millrace
