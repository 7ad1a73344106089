#include "common/runtime/shards.h"

namespace millrace {

Shards::Shards(const std::vector<Reactor*>& reactors, size_t calls_max) : calls_max_(calls_max) {
  MR_CHECK(!reactors.empty());
  MR_CHECK(calls_max > 0);
  for (size_t i = 0; i < reactors.size(); ++i) {
    MR_CHECK(reactors[i]->shard().value() == i);
    lanes_.push_back(std::make_unique<Lane>(*reactors[i]));
  }
}

}  // namespace millrace
