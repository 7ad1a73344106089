// DirectoryGrades: which log directories of the brokers are full and which are slow, as their
// heartbeats say. A replica in a full directory takes no appends: it should lead nothing, and be
// waited for by nobody, while others can do without it (full_directories.h). One in a slow directory
// should lead nothing, while another can (slow_directories.h).
//
//   room         --its broker says that it is full-->                     full
//   full         --its broker says so no longer-->                        resting
//   resting      --full again-->                                          full
//   resting      --so for `rest`-->                                       room
//   steady       --its broker says that it is slow-->                     slow
//   slow         --its broker says so no longer-->                        steady
//
// One that rests counts as full: a disk with a few bytes to spare is full again in a moment, and
// leaderships would come and go with it. Of slow ones the broker itself waits with good news
// (storage/write_pace.h): it sees every write.
//
// It is evidence, no metadata: a new active controller begins with none, and hears all of it again
// within one heartbeat interval. Until it has heard of a broker it does not take it to have room, or
// to be steady.
//
// What follows from it for a broker's partitions is found by looking at all of them, and the broker
// beats every second: once there was nothing to do, nothing is looked at again before the metadata
// or a grade has changed (Settle).
//
// Pure. Bound: one entry per log directory that is full, one per slow one, one per broker that was
// heard, one per broker that is settled.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "common/ids.h"
#include "common/time.h"
#include "controller/image/metadata_image.h"

namespace millrace {

class DirectoryGrades {
 public:
  // `rest`. Longer: a disk that fills up again and again moves leaderships less often, and one that
  // got room waits longer for its own.
  explicit DirectoryGrades(Duration rest = seconds(30)) : rest_(rest) {}

  struct Place {
    BrokerId broker;
    DirectoryId directory;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  struct Change {
    std::vector<Place> full;    // They had room.
    std::vector<Place> room;    // They were full, and have rested.
    std::vector<Place> slow;    // They were steady.
    std::vector<Place> steady;  // They were slow.
  };
  // A heartbeat of `broker`: all that are full there now, and all that are slow. What has changed,
  // anywhere.
  Change Hear(BrokerId broker, std::span<const DirectoryId> full, std::span<const DirectoryId> slow,
              Instant now);
  // It is not registered any more.
  void Forget(BrokerId broker);
  // Another controller is the active one, or this one begins.
  void Clear();

  // Whether the directory in which `broker` has its replica is full, or rests. Of a replica whose
  // directory is not known: whether all of the broker's are that may have it.
  bool IsFull(const MetadataImage& image, const PartitionImage& partition, BrokerId broker) const;
  // Likewise.
  bool IsSlow(const MetadataImage& image, const PartitionImage& partition, BrokerId broker) const;
  // It is not full, and the broker has been heard.
  bool HasRoom(const MetadataImage& image, const PartitionImage& partition, BrokerId broker) const {
    return heard_.contains(broker) && !IsFull(image, partition, broker);
  }
  // Neither full nor slow, and heard.
  bool IsGood(const MetadataImage& image, const PartitionImage& partition, BrokerId broker) const {
    return HasRoom(image, partition, broker) && !IsSlow(image, partition, broker);
  }
  // Whether any directory of `broker` is full, or rests.
  bool AnyFull(BrokerId broker) const;
  bool AnySlow(BrokerId broker) const;

  // With the metadata of `index` nothing is to be done about the directories of `broker`.
  void Settle(BrokerId broker, RaftIndex index) { settled_.insert_or_assign(broker, index); }
  // Whether that still holds: with metadata of that index, and grades as they are.
  bool IsSettled(BrokerId broker, std::optional<RaftIndex> index) const {
    const auto found = settled_.find(broker);
    return found != settled_.end() && found->second == index;
  }

 private:
  void HearSlow(BrokerId broker, std::span<const DirectoryId> slow, Change* change);

  const Duration rest_;
  std::map<Place, std::optional<Instant>> full_;  // Since when it rests.
  std::set<Place> slow_;
  std::set<BrokerId> heard_;
  std::map<BrokerId, RaftIndex> settled_;  // With these grades.
};

}  // namespace millrace
