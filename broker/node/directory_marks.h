// DirectoryMarks: on which shards of this node a log directory is something: full, or slow. It is so
// for the node while it is so on any.
//
// Shard: 0. A value.
#pragma once

#include <map>
#include <set>
#include <string>

#include "common/ids.h"

namespace millrace {

class DirectoryMarks {
 public:
  void Set(ShardId shard, const std::string& path, bool marked) {
    if (marked) {
      shards_[path].insert(shard);
    } else if (auto found = shards_.find(path); found != shards_.end()) {
      found->second.erase(shard);
      if (found->second.empty()) shards_.erase(found);
    }
  }
  bool Has(const std::string& path) const { return shards_.contains(path); }

 private:
  std::map<std::string, std::set<ShardId>> shards_;
};

}  // namespace millrace
