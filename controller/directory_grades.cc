#include "controller/directory_grades.h"

#include <algorithm>

namespace millrace {
namespace {

// Whether the replica lies in one of `places`, wherever it may lie.
template <typename Places>
bool LiesIn(const Places& places, const MetadataImage& image, const PartitionImage& partition,
            BrokerId broker) {
  if (places.empty()) return false;
  const DirectoryId directory = partition.DirectoryOf(broker);
  if (directory != kUnassignedDirectory && directory != kMigratingDirectory) {
    return places.contains({broker, directory});
  }
  const BrokerImage* registered = image.FindBroker(broker);
  if (registered == nullptr) return false;
  bool any = false;
  for (const LogDirectoryImage& each : registered->log_directories) {
    if (!each.online) continue;
    if (!places.contains({broker, each.id})) return false;
    any = true;
  }
  return any;
}

}  // namespace

DirectoryGrades::Change DirectoryGrades::Hear(BrokerId broker, std::span<const DirectoryId> full,
                                              std::span<const DirectoryId> slow, Instant now) {
  Change change;
  const bool first = heard_.insert(broker).second;
  HearSlow(broker, slow, &change);
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
  const bool same = !first && change.full.empty() && change.room.empty() && change.slow.empty() &&
                    change.steady.empty();
  if (!same) settled_.clear();  // Others may have waited for this one.
  return change;
}

void DirectoryGrades::HearSlow(BrokerId broker, std::span<const DirectoryId> slow, Change* change) {
  std::erase_if(slow_, [&](const Place& place) {
    if (place.broker != broker || std::ranges::find(slow, place.directory) != slow.end()) {
      return false;
    }
    change->steady.push_back(place);
    return true;
  });
  for (const DirectoryId& id : slow) {
    if (slow_.insert({broker, id}).second) change->slow.push_back({broker, id});
  }
}

void DirectoryGrades::Forget(BrokerId broker) {
  std::erase_if(full_, [broker](const auto& entry) { return entry.first.broker == broker; });
  std::erase_if(slow_, [broker](const Place& place) { return place.broker == broker; });
  heard_.erase(broker);
  settled_.clear();
}

void DirectoryGrades::Clear() {
  full_.clear();
  slow_.clear();
  heard_.clear();
  settled_.clear();
}

bool DirectoryGrades::IsFull(const MetadataImage& image, const PartitionImage& partition,
                             BrokerId broker) const {
  return LiesIn(full_, image, partition, broker);
}

bool DirectoryGrades::IsSlow(const MetadataImage& image, const PartitionImage& partition,
                             BrokerId broker) const {
  return LiesIn(slow_, image, partition, broker);
}

bool DirectoryGrades::AnyFull(BrokerId broker) const {
  return std::ranges::any_of(full_,
                             [broker](const auto& entry) { return entry.first.broker == broker; });
}

bool DirectoryGrades::AnySlow(BrokerId broker) const {
  return std::ranges::any_of(slow_,
                             [broker](const Place& place) { return place.broker == broker; });
}

}  // namespace millrace
