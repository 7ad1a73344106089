// What is done about a replica whose log is damaged on disk: it is given up and copied anew from its leader.
//
//   damage found (reader, scrub) ── others in sync? ──► AssignReplicasToDirs: "in the lost directory"
//     controller: out of the ISR and the ELR, another one leads
//     the metadata says so here ──► the log is deleted, and opened empty
//     DirectoryReporter says where it is ──► it catches up and joins the ISR like any new replica
//
// Nothing is deleted before the metadata says that this replica counts no more, and that because this
// process asked for it. A restart in between puts the damaged log back; the next reader, or the
// scrub, begins anew. The controller decides by the same rules, on what it knows by then; a refusal is
// final, and the next change of the partition asks again.
//
// What it costs: all of the log is copied for one bad batch, and should the leader's copy turn out to
// be damaged elsewhere, this one is gone.
//
// Pure.
// Source: ours; KIP-858's messages, KIP-966's rule that an emptied replica is not eligible.
#pragma once

#include <cstddef>

#include "common/ids.h"
#include "replication/partition_assignment.h"

namespace millrace {

enum class RepairStep {
  kNone,
  kGiveUp,     // Tell the controller.
  kStartAnew,  // Delete the log, then open it empty.
};

// `replica` is of the broker `self`; `damaged`: its log is. Giving up waits while it would leave fewer
// in sync than `isr_min`, because producers would be refused, unless all replicas are in sync: it will not
// get better then. Nor will it where this one leads, and one that lives is not in sync: that may need
// the very records that cannot be read here. It never happens without a leader, or where no other living replica is in sync.
// `given_up`: this process asked for it.
RepairStep NextRepairStep(const PartitionAssignment& replica, BrokerId self, size_t isr_min,
                          bool damaged, bool given_up);

}  // namespace millrace
