#include "broker/replica_repair.h"

#include <algorithm>

#include "controller/image/metadata_image.h"

namespace millrace {

RepairStep NextRepairStep(const PartitionAssignment& replica, BrokerId self, size_t isr_min,
                          bool damaged, bool given_up) {
  const AssignedReplica* own = replica.Find(self);
  if (!damaged || own == nullptr || !replica.leader.has_value()) return RepairStep::kNone;
  if (std::ranges::count(replica.elr, self) > 0) return RepairStep::kNone;
  if (own->directory == kLostDirectory) {
    const bool counts = own->in_isr || replica.leader == self;
    return given_up && !counts ? RepairStep::kStartAnew : RepairStep::kNone;
  }
  const auto others = static_cast<size_t>(
      std::ranges::count_if(replica.replicas, [self](const AssignedReplica& other) {
        return other.broker != self && other.in_isr && other.active;
      }));
  if (others == 0) return RepairStep::kNone;
  const bool all_in_sync = replica.isr_size() == replica.replicas.size();
  const bool costs_nothing = !own->in_isr || others >= isr_min || all_in_sync;
  const bool kept_out = replica.leader == self &&
                        std::ranges::any_of(replica.replicas, [](const AssignedReplica& other) {
                          return !other.in_isr && other.active && other.directory != kLostDirectory;
                        });
  return costs_nothing || kept_out ? RepairStep::kGiveUp : RepairStep::kNone;
}

}  // namespace millrace
