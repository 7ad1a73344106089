#include "controller/session/fed_brokers.h"

#include <algorithm>

namespace millrace {

void FedBrokers::Heard(BrokerId id, std::optional<DirectoryId> directory, RaftIndex applied,
                       RaftIndex end, Instant now, Timestamp time) {
  const auto before = brokers_.find(id);
  const bool same = before != brokers_.end() && before->second.broker.directory == directory;
  std::optional<Timestamp> caught_up = same ? before->second.broker.caught_up : std::nullopt;
  if (applied >= end) {
    caught_up = time;
  } else if (same && applied >= before->second.end) {
    // It is behind by what came since, and was not behind then.
    caught_up = std::max(caught_up.value_or(before->second.broker.heard),  //
                         before->second.broker.heard);
  }
  brokers_.insert_or_assign(
      id,
      Known{{id, directory, std::clamp(applied, RaftIndex(0), end), time, caught_up}, now, end});
}

std::vector<FedBroker> FedBrokers::List(Instant now) {
  std::erase_if(brokers_, [now](const auto& entry) { return now - entry.second.heard > kFedKept; });
  std::vector<FedBroker> list;
  for (const auto& [id, known] : brokers_) list.push_back(known.broker);
  return list;
}

}  // namespace millrace
