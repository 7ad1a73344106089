#include "test/sim/quorum_bugs.h"

#include <algorithm>
#include <utility>

#include "controller/quorum/raft_codec.h"
#include "storage/kv/kv_store_keys.h"

namespace millrace::simtest {
namespace {

class BuggyStore final : public KvStore {
 public:
  BuggyStore(std::unique_ptr<KvStore> kv, QuorumBug bug, bool damage, const raft::ReplicaKey& self)
      : kv_(std::move(kv)), bug_(bug), damage_(damage), self_(self) {}

  Task<absl::StatusOr<std::optional<std::string>>> Get(KvSpace space, std::string key) override {
    if (damage_) co_await DoDamage();
    co_return co_await kv_->Get(space, std::move(key));
  }
  Task<absl::StatusOr<KvPage>> Scan(KvRange range, size_t entries_max, size_t bytes_max) override {
    return kv_->Scan(std::move(range), entries_max, bytes_max);
  }
  Task<absl::Status> Write(KvBatch batch, KvWriteOptions options) override {
    if (bug_ == QuorumBug::kWritesWithoutSync) options.sync = false;
    return kv_->Write(Changed(std::move(batch)), options);
  }
  Task<absl::Status> Flush() override { return kv_->Flush(); }
  Task<absl::Status> Close() override { return kv_->Close(); }

 private:
  // A log whose last entries are gone. Who trusts it also believes that it never was longer.
  Task<void> DoDamage() {
    damage_ = false;
    auto log = co_await kv_->ScanAll({KvSpace::kRaftLog, "", std::nullopt});
    auto state = co_await kv_->ScanAll({KvSpace::kRaftState, "state", "statf"});
    if (!log.ok() || !state.ok() || log->empty() || state->empty()) co_return;
    const size_t keep = log->size() / 2;
    KvBatch batch;
    for (size_t i = keep; i < log->size(); ++i) batch.Delete(KvSpace::kRaftLog, (*log)[i].key);
    auto stored = ReadState("state", state->front().value);
    if (bug_ == QuorumBug::kTrustsDamage && stored.ok() && keep > 0) {
      auto last = ReadLogEntry((*log)[keep - 1].key, (*log)[keep - 1].value);
      if (last.ok()) {
        stored->log_end = last->index;
        stored->hard_state.commit = std::min(stored->hard_state.commit, last->index);
        batch.Put(KvSpace::kRaftState, "state", StoreState("state", *stored));
      }
    }
    (void)co_await kv_->Write(std::move(batch), {.sync = true});
  }

  KvBatch Changed(KvBatch batch) const {
    const std::string snapshot = KvStoredKey(KvSpace::kRaftState, "snapshot");
    KvBatch changed;
    for (const KvBatch::Change& change : batch.changes()) {
      if (change.op != KvBatch::Op::kPut) continue;
      if (change.key == snapshot && bug_ == QuorumBug::kSnapshotsWithoutVoters) {
        auto stored = ReadSnapshot("snapshot", change.value);
        if (!stored.ok() || stored->meta.index == RaftIndex(0)) continue;
        stored->meta.voters = raft::VoterSet().With(self_.id, {self_.directory, {}});
        changed.Put(KvSpace::kRaftState, "snapshot", StoreSnapshot("snapshot", *stored));
      }
    }
    // Later operations on a key override earlier ones.
    batch.Append(std::move(changed));
    return batch;
  }

  std::unique_ptr<KvStore> kv_;
  const QuorumBug bug_;
  bool damage_;
  const raft::ReplicaKey self_;
};

}  // namespace

std::unique_ptr<KvStore> PlantQuorumBug(std::unique_ptr<KvStore> kv, QuorumBug bug, bool damage,
                                        const raft::ReplicaKey& self) {
  if (bug == QuorumBug::kNone && !damage) return kv;
  return std::make_unique<BuggyStore>(std::move(kv), bug, damage, self);
}

}  // namespace millrace::simtest
