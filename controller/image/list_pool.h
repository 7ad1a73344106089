// ListPool: the lists that partitions were given lately, so that one that is given an equal list
// shares it: a hundred thousand partitions are placed in some hundred ways, and their in-sync
// replicas are most often all of them.
//
// An image has one, and a delta copies it when it meets the first list that is not in it. It is a
// cache: a list belongs into one of kSets places, and where it is new the oldest of the kWays there
// goes. A list that went is not shared by later partitions; nothing else depends on it.
//
// Shard:    any, once it is in an image.
// Memory:   16 KiB, and the lists.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "common/ids.h"
#include "common/shared_list.h"

namespace millrace {

class ListPool {
 public:
  // Longer ones are rare, and would be kept for nothing.
  static constexpr size_t kLengthMax = 16;

  // The list in here that equals this one; null when there is none.
  const SharedList<BrokerId>* Find(const SharedList<BrokerId>& list) const {
    return brokers_.Find(list);
  }
  const SharedList<DirectoryId>* Find(const SharedList<DirectoryId>& list) const {
    return directories_.Find(list);
  }
  // From now on it is found. REQUIRES: it was not.
  void Keep(const SharedList<BrokerId>& list) { brokers_.Keep(list); }
  void Keep(const SharedList<DirectoryId>& list) { directories_.Keep(list); }

 private:
  static constexpr int kSetBits = 8;
  static constexpr size_t kSets = size_t{1} << kSetBits;
  static constexpr size_t kWays = 4;

  template <typename T>
  class Table {
   public:
    const SharedList<T>* Find(const SharedList<T>& list) const {
      for (const SharedList<T>& each : sets_[SetOf(list)]) {
        if (each == list) return &each;
      }
      return nullptr;
    }
    void Keep(const SharedList<T>& list) {
      auto& set = sets_[SetOf(list)];
      for (size_t way = kWays - 1; way > 0; --way) set[way] = std::move(set[way - 1]);
      set[0] = list;
    }

   private:
    static size_t SetOf(const SharedList<T>& list) {
      uint64_t hash = 0;
      for (const T& id : list) hash = (hash ^ NumberOf(id)) * 0x9E3779B97F4A7C15ULL;
      return hash >> (64 - kSetBits);
    }
    static uint64_t NumberOf(BrokerId id) { return static_cast<uint64_t>(id.value()) + 1; }
    static uint64_t NumberOf(const DirectoryId& id) { return id.high() ^ id.low(); }
    std::array<std::array<SharedList<T>, kWays>, kSets> sets_;
  };

  Table<BrokerId> brokers_;
  Table<DirectoryId> directories_;
};

}  // namespace millrace
