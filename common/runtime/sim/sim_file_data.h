// SimFileData: the bytes of one simulated file twice: as the kernel shows them (the page cache) and
// as the medium has them.
//
// A write changes what is shown. For every 512-byte sector that differs from the medium it keeps
// what the medium may hold after a power loss: the last synced content and every later one, because
// the kernel writes back when it likes. A power loss picks one per sector, independently: writes
// are torn at sector borders and reordered. The size is picked the same way.
//
// Shard:  the world's. Pure state: no waiting, no clock; randomness is an argument.
// Units:  bytes; sectors of kSectorBytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "common/runtime/sim/sim_random.h"

namespace millrace {

inline constexpr size_t kSectorBytes = 512;

class SimFileData {
 public:
  uint64_t size() const { return size_; }
  // What the medium holds of the size; for tests.
  uint64_t synced_size() const { return synced_size_; }
  size_t unsynced_sectors() const { return unsynced_.size(); }
  // What it takes of the disk's capacity.
  uint64_t charged_bytes() const;

  // Fills `out` from `position`; bytes never written are zero. REQUIRES: the range lies within
  // size().
  void Read(uint64_t position, std::span<uint8_t> out) const;
  // Grows the file as needed.
  void Write(uint64_t position, std::span<const uint8_t> bytes);
  void Resize(uint64_t size);
  // Reserves up to `end`, without growing.
  void Reserve(uint64_t end);

  // fdatasync in two moments: what was shown at the first is on the medium after EndSync(), but for
  // what a failed sync forgot; what is written between them is promised nothing. Each begun sync
  // ends in exactly one of the two ways.
  struct SyncPoint {
    uint64_t write;
    uint64_t size;
  };
  SyncPoint BeginSync();
  void EndSync(SyncPoint point);
  void AbandonSync() { --syncs_in_flight_; }
  void Sync() { EndSync(BeginSync()); }
  // A write with RWF_DSYNC came to its end: the medium has [begin, end), and the size if it must.
  void SyncRange(uint64_t begin, uint64_t end);
  // fsync failed: the kernel marks the pages clean although the medium does not have them. They are
  // shown until a power loss, and no later Sync() writes them (the famous lie).
  void ForgetUnsynced();
  // Machine off: what is shown from now on is what the medium happened to get.
  void LosePower(SimRandom& dice);

  // Rot: flips one bit on the medium and in what is shown. REQUIRES: position < size().
  void FlipBit(uint64_t position, int bit);

 private:
  static constexpr size_t kPageBytes = 4096;
  using Sector = std::array<uint8_t, kSectorBytes>;
  using Page = std::array<uint8_t, kPageBytes>;
  struct Version {
    uint64_t write;  // The number of the write that made it.
    Sector content;
  };
  struct Unsynced {
    std::vector<Version> older;  // What the medium may still have, the synced content first.
    uint64_t write;              // Of what is shown.
  };
  // Between syncs only so many older contents are kept; which ones survive is chance anyway.
  static constexpr size_t kVersionsMax = 4;

  Sector Shown(uint64_t sector) const;
  void Show(uint64_t sector, const Sector& content);
  void Replace(uint64_t sector, const Sector& content);

  uint64_t size_ = 0;
  uint64_t synced_size_ = 0;
  uint64_t reserved_end_ = 0;
  uint64_t writes_ = 0;
  uint64_t range_synced_end_ = 0;  // Of durable writes, which a sync that began before must keep.
  uint64_t synced_write_ = 0;      // The point of the latest sync that ended.
  int syncs_in_flight_ = 0;
  std::map<uint64_t, std::unique_ptr<Page>> pages_;  // Absent: zeros.
  std::map<uint64_t, Unsynced> unsynced_;            // By sector.
  std::map<uint64_t, Sector> forgotten_;             // What the medium has, where a sync failed.
};

}  // namespace millrace
