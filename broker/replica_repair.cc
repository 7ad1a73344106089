#include "broker/replica_repair.h"

#include <algorithm>

#include "controller/image/metadata_image.h"

namespace millrace {

RepairStep NextRepairStep(const PartitionAssignment& replica, BrokerId self, size_t isr_min,
                          bool damaged) {
  const AssignedReplica* own = replica.Find(self);
  if (!damaged || own == nullptr) return RepairStep::kNone;
  if (own->directory == kLostDirectory) {
    const bool counts =
        own->in_isr || replica.leader == self || std::ranges::count(replica.elr, self) > 0;
    return counts ? RepairStep::kNone : RepairStep::kStartAnew;
  }
  const size_t others = replica.isr_size() - (own->in_isr ? 1 : 0);
  if (others == 0) return RepairStep::kNone;
  const bool all_in_sync = replica.isr_size() == replica.replicas.size();
  const bool costs_nothing = !own->in_isr || others >= isr_min || all_in_sync;
  return costs_nothing ? RepairStep::kGiveUp : RepairStep::kNone;
}

}  // namespace millrace
