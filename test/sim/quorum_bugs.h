// Planted bugs of a quorum's store, and damage: key-value stores that do not do what they are told.
#pragma once

#include <memory>

#include "controller/raft/voter_set.h"
#include "storage/kv/kv_store.h"
#include "test/sim/quorum_story.h"

namespace millrace::simtest {

// `kv` with the bug between it and its user. `damage`: the log loses its last entry, or a bit of
// one flips, before anything is read.
std::unique_ptr<KvStore> PlantQuorumBug(std::unique_ptr<KvStore> kv, QuorumBug bug, bool damage,
                                        const raft::ReplicaKey& self);

}  // namespace millrace::simtest
