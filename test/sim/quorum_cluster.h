// A few controllers on one simulated network, for tests of RaftQuorum. Crashes keep the disk.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/sim/sim_fabric.h"
#include "common/runtime/sim/sim_world.h"
#include "test/sim/quorum_program.h"

namespace millrace::simtest {

inline std::vector<MetadataRecord> Topic(const std::string& name) {
  return {TopicRecord{name, Uuid(1, std::hash<std::string>()(name))}};
}

class QuorumCluster {
 public:
  explicit QuorumCluster(int voters, int observers = 0, uint64_t seed = 1)
      : connected(voters > 1), voters_(voters), world_(seed) {
    for (int id = 1; id <= voters + observers; ++id) {
      world_.AddNode(QuorumHost(id));
      directories_.emplace_back(1, static_cast<uint64_t>(id));
    }
  }

  SimWorld& world() { return world_; }
  SimNode& node(int id) { return *world_.FindNode(QuorumHost(id)); }
  QuorumProgram& program(int id) { return static_cast<QuorumProgram&>(node(id).program()); }
  RaftQuorum& quorum(int id) { return program(id).quorum(); }

  void Start(int id) {
    node(id).Start([this, id](SimProcess& process) {
      QuorumProgram::Options options;
      options.quorum = QuorumOptions(id, voters_, directories_[static_cast<size_t>(id - 1)]);
      options.connected = connected;
      options.wrap_store = wrap_store;
      if (tune) tune(options.quorum);
      return std::make_unique<QuorumProgram>(process, std::move(options));
    });
  }
  void StartAll() {
    for (size_t id = 1; id <= directories_.size(); ++id) Start(static_cast<int>(id));
  }
  bool Runs(int id) { return node(id).up() && node(id).state() == SimNode::State::kRunning; }
  bool Until(std::move_only_function<bool()> done, Duration limit = seconds(30)) {
    return world_.RunUntil(std::move(done), limit);
  }
  std::optional<int> Active() {
    for (size_t i = 1; i <= directories_.size(); ++i) {
      const int id = static_cast<int>(i);
      if (Runs(id) && quorum(id).leading_term().has_value()) return id;
    }
    return std::nullopt;
  }
  int WaitForActive() {
    REQUIRE(Until([this] { return Active().has_value(); }));
    return *Active();
  }
  absl::StatusOr<RaftIndex> Propose(int id, const std::string& name) {
    return world_.Run(program(id).env(), quorum(id).Propose(Topic(name)));
  }
  // Everybody who runs has applied up to the active controller's end, and knows the same.
  bool Converged() {
    const std::optional<int> active = Active();
    if (!active.has_value()) return false;
    for (size_t i = 1; i <= directories_.size(); ++i) {
      const int id = static_cast<int>(i);
      if (!Runs(id)) continue;
      if (quorum(id).applied() != quorum(*active).applied()) return false;
      if (!program(id).state().image()->SameAs(*program(*active).state().image())) return false;
    }
    return true;
  }

  std::function<void(RaftQuorumOptions&)> tune;
  std::function<std::unique_ptr<KvStore>(std::unique_ptr<KvStore>)> wrap_store;
  bool connected;

 private:
  const int voters_;
  SimWorld world_;
  std::vector<DirectoryId> directories_;
};

// Flips a bit of the stored entry `index`.
inline Task<absl::Status> Damage(KvStore* kv, int64_t index) {
  auto all = co_await kv->ScanAll({KvSpace::kRaftLog, "", std::nullopt});
  if (!all.ok()) co_return all.status();
  if (static_cast<size_t>(index) >= all->size()) co_return absl::OutOfRangeError("no such entry");
  KvEntry& entry = (*all)[static_cast<size_t>(index)];
  entry.value.back() ^= 1;
  KvBatch batch;
  batch.Put(KvSpace::kRaftLog, entry.key, entry.value);
  co_return co_await kv->Write(std::move(batch), {.sync = true});
}

}  // namespace millrace::simtest
