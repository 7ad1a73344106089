// ConnectionQuota: how many connections there may be, in all and from one address.
//
// Whoever operates the node gets in over the total: from the machine itself (a shell there, or in the
// container) kOperatorMax more are admitted, so that a flood from elsewhere can be looked at, and the
// limit changed. A tool takes one for each way it knows to the node.
//
// Shard:    shard 0, for the whole node (connection_admission.h).
// Bound:    `total_max` + kOperatorMax entries; an address without connections takes no memory.
// Source:   max.connections, max.connections.per.ip, max.connections.per.ip.overrides. Kafka closes
// what is over a
//           per-address limit at once; over the total limit it stops accepting, we close too,
//           because a client that is closed tries another broker and one that hangs does not.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

struct ConnectionQuotaOptions {
  int64_t total_max = 2147483647;        // Higher: more clients, 16 KiB of memory each at most.
  int64_t per_address_max = 2147483647;  // Lower: one host can take less of the total.
  std::map<std::string, int64_t> per_address_overrides;
};

// Where a connection comes from.
struct ConnectionOrigin {
  std::string address;
  bool own_machine = false;
};

class ConnectionQuota {
 public:
  static constexpr int64_t kOperatorMax = 4;
  enum class Verdict { kAdmitted, kTooManyInTotal, kTooManyFromAddress };

  explicit ConnectionQuota(ConnectionQuotaOptions options) : options_(std::move(options)) {}

  Verdict TryAdmit(const ConnectionOrigin& origin) {
    const std::string& address = origin.address;
    if (total_ >= options_.total_max + (origin.own_machine ? kOperatorMax : 0)) {
      return Verdict::kTooManyInTotal;
    }
    auto override = options_.per_address_overrides.find(address);
    int64_t limit = override == options_.per_address_overrides.end() ? options_.per_address_max
                                                                     : override->second;
    auto found = by_address_.find(address);
    int64_t open = found == by_address_.end() ? 0 : found->second;
    if (open >= limit) return Verdict::kTooManyFromAddress;
    by_address_[address] = open + 1;
    ++total_;
    return Verdict::kAdmitted;
  }

  void SetLimits(int64_t total_max, int64_t per_address_max) {
    options_.total_max = total_max;
    options_.per_address_max = per_address_max;
  }

  void Leave(const std::string& address) {
    --total_;
    auto found = by_address_.find(address);
    if (--found->second == 0) by_address_.erase(found);
  }

  int64_t total() const { return total_; }

 private:
  ConnectionQuotaOptions options_;
  int64_t total_ = 0;
  std::map<std::string, int64_t> by_address_;
};

// Whether `peer` is this machine, seen by a connection to its address `local`: the kernel lets one to
// an own address come from that very address.
inline bool IsOwnMachine(std::string_view peer, std::string_view local) {
  constexpr std::string_view kMapped = "::ffff:";
  if (peer == local) return true;
  if (peer.starts_with(kMapped)) peer.remove_prefix(kMapped.size());
  return peer.starts_with("127.") || peer == "::1";
}

}  // namespace millrace
