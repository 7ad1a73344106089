#include "controller/directory_room.h"

#include <algorithm>

#include "controller/cluster_view.h"

namespace millrace {

DirectoryRoom::Change DirectoryRoom::Hear(BrokerId broker, std::span<const DirectoryId> full,
                                          Instant now) {
  Change change;
  heard_.insert(broker);
  for (auto& [place, rests_since] : full_) {
    if (place.broker != broker || rests_since.has_value()) continue;
    if (std::ranges::find(full, place.directory) == full.end()) rests_since = now;
  }
  for (const DirectoryId& id : full) {
    auto [found, fresh] = full_.try_emplace({broker, id});
    if (fresh) change.full.push_back(found->first);
    found->second.reset();
  }
  std::erase_if(full_, [&](const auto& entry) {
    const bool rested = entry.second.has_value() && now - *entry.second >= rest_;
    if (rested) change.room.push_back(entry.first);
    return rested;
  });
  return change;
}

void DirectoryRoom::Forget(BrokerId broker) {
  std::erase_if(full_, [broker](const auto& entry) { return entry.first.broker == broker; });
  heard_.erase(broker);
}

void DirectoryRoom::Clear() {
  full_.clear();
  heard_.clear();
}

bool DirectoryRoom::IsFull(const MetadataImage& image, const PartitionImage& partition,
                           BrokerId broker) const {
  const DirectoryId directory = partition.DirectoryOf(broker);
  if (directory != kUnassignedDirectory && directory != kMigratingDirectory) {
    return full_.contains({broker, directory});
  }
  const BrokerImage* registered = image.FindBroker(broker);
  if (registered == nullptr || !AnyFull(broker)) return false;
  return std::ranges::all_of(registered->log_directories, [&](const LogDirectoryImage& each) {
    return !each.online || full_.contains({broker, each.id});
  });
}

bool DirectoryRoom::AnyFull(BrokerId broker) const {
  return std::ranges::any_of(full_,
                             [broker](const auto& entry) { return entry.first.broker == broker; });
}

}  // namespace millrace
