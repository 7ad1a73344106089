// FedBrokers: how far the brokers have got that are fed the metadata over their sessions, having no
// replica of its log: what DescribeQuorum tells of them as observers, beside the controllers that
// follow the log without a vote.
//
//   Heard() with what a broker says it has ──► told by List() until it was silent for kFedKept
//
// Pure. Shard: one; not thread-safe.
// Units:   indexes of the metadata log; `applied`: by every shard of the broker.
// Bound:   one entry per broker id: another incarnation takes the place of the one before.
// Source:  KIP-595, KIP-836: an observer has caught up when it has what the leader had when it was
//          heard before, and is forgotten after five minutes.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "common/ids.h"
#include "common/time.h"

namespace millrace {

inline constexpr Duration kFedKept = seconds(300);

struct FedBroker {
  BrokerId id;
  std::optional<DirectoryId> directory;  // Nothing: it did not say one.
  RaftIndex applied{0};
  Timestamp heard{0};
  std::optional<Timestamp> caught_up;  // When it last had everything. Nothing: never.
};

class FedBrokers {
 public:
  // `end`: what this controller has committed by now. `now` and `time` are the same moment.
  void Heard(BrokerId id, std::optional<DirectoryId> directory, RaftIndex applied, RaftIndex end,
             Instant now, Timestamp time);
  // In order of their ids.
  std::vector<FedBroker> List(Instant now);
  // Another controller is the active one.
  void Clear() { brokers_.clear(); }

 private:
  struct Known {
    FedBroker broker;
    Instant heard;
    RaftIndex end;  // When it was heard.
  };
  std::map<BrokerId, Known> brokers_;
};

}  // namespace millrace
