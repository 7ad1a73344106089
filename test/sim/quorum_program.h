// QuorumProgram: one controller of a simulated quorum: RaftQuorum and MetadataState over
// FramedStreams and a LogKvStore, with whatever a test puts in between.
//
// Shard:    the node's.
// Lifetime: what the options lend outlives every process of the node.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/task_scope.h"
#include "common/status_macros.h"
#include "controller/metadata_state.h"
#include "controller/quorum/raft_quorum.h"
#include "controller/transport/framed_streams.h"
#include "storage/kv/kv_store_log.h"

namespace millrace::simtest {

inline constexpr uint16_t kQuorumPort = 9093;

inline std::string QuorumHost(int id) { return fmt::format("c{}", id); }

// Voters 1 to `count`, as controller.quorum.voters names them.
inline raft::VoterSet StaticVoters(int count) {
  std::map<BrokerId, raft::Voter> voters;
  for (int id = 1; id <= count; ++id) {
    voters.emplace(BrokerId(id),
                   raft::Voter{std::nullopt, {{"CONTROLLER", QuorumHost(id), kQuorumPort}}});
  }
  return raft::VoterSet(std::move(voters));
}

inline RaftQuorumOptions QuorumOptions(int id, int voters, DirectoryId directory) {
  RaftQuorumOptions options;
  options.node_id = BrokerId(id);
  options.cluster_id = "simulated";
  options.directory = directory;
  options.static_voters = StaticVoters(voters);
  options.rereads_proposals = true;
  return options;
}

class QuorumProgram final : public SimProgram {
 public:
  struct Options {
    RaftQuorumOptions quorum;
    bool connected = true;  // False: a quorum of one that has no controller listener.
    // What stands between the replica and its store, or its state.
    std::function<std::unique_ptr<KvStore>(std::unique_ptr<KvStore>)> wrap_store;
    std::function<std::unique_ptr<CommittedEntries>(MetadataState&)> wrap_state;
    LeadershipObserver* observer = nullptr;
    // Runs on the node from its start to its end.
    std::function<Task<void>(QuorumProgram*)> work;
  };

  QuorumProgram(SimProcess& process, Options options)
      : env_(process.env()),
        options_(std::move(options)),
        dialer_(env_),
        acceptor_(env_),
        scope_(env_.reactor) {}

  Task<absl::Status> Start() override {
    auto kv = co_await LogKvStore::Open(env_, "/meta", {.compact_bytes_min = 16 << 10});
    if (!kv.ok()) co_return kv.status();
    kv_ = *std::move(kv);
    if (options_.wrap_store) kv_ = options_.wrap_store(std::move(kv_));
    if (options_.wrap_state) wrapped_ = options_.wrap_state(state_);
    CommittedEntries& committed = wrapped_ != nullptr ? *wrapped_ : state_;
    options_.quorum.on_failure = [this](const absl::Status& why) { failure_ = why; };
    quorum_ = std::make_unique<RaftQuorum>(env_, *kv_, options_.connected ? &dialer_ : nullptr,
                                           committed, options_.quorum);
    if (options_.observer != nullptr) quorum_->ObserveLeadership(*options_.observer);
    MR_CO_RETURN_IF_ERROR(co_await quorum_->Start());
    if (options_.connected) MR_CO_RETURN_IF_ERROR(co_await Listen());
    started_ = true;
    if (options_.work) scope_.Spawn(options_.work(this));
    co_return absl::OkStatus();
  }

  Task<void> Stop() override {
    started_ = false;
    if (listener_ != nullptr) listener_->Shutdown();
    if (quorum_ != nullptr) co_await quorum_->Stop();
    co_await acceptor_.Stop();
    co_await scope_.Stop();
    if (listener_ != nullptr) co_await listener_->Close();
    quorum_.reset();
    if (kv_ != nullptr) (void)co_await kv_->Close();
    kv_.reset();
  }

  Env& env() { return env_; }
  bool started() const { return started_; }
  RaftQuorum& quorum() { return *quorum_; }
  KvStore& kv() { return *kv_; }
  MetadataState& state() { return state_; }
  TaskScope& scope() { return scope_; }
  const absl::Status& failure() const { return failure_; }

 private:
  Task<absl::Status> Listen() {
    acceptor_.OnStream(
        StreamKind::kRaft, [this](const StreamHello& hello) { return quorum_->CheckHello(hello); },
        [this](std::unique_ptr<MessageStream> stream) { quorum_->Accept(std::move(stream)); });
    auto listener = co_await env_.network.Listen({"", kQuorumPort}, {});
    if (!listener.ok()) co_return listener.status();
    listener_ = *std::move(listener);
    scope_.Spawn(AcceptAll());
    co_return absl::OkStatus();
  }

  Task<void> AcceptAll() {
    while (!scope_.stopping()) {
      auto connection = co_await listener_->Accept();
      if (!connection.ok()) co_return;
      if (scope_.stopping()) {
        (*connection)->Shutdown();
        co_await (*connection)->Close();
        co_return;
      }
      scope_.Spawn(acceptor_.Serve(*std::move(connection), Slice()));
    }
  }

  Env& env_;
  Options options_;
  FramedDialer dialer_;
  FramedAcceptor acceptor_;
  MetadataState state_;
  std::unique_ptr<CommittedEntries> wrapped_;
  std::unique_ptr<KvStore> kv_;
  std::unique_ptr<RaftQuorum> quorum_;
  std::unique_ptr<Listener> listener_;
  absl::Status failure_;
  bool started_ = false;
  TaskScope scope_;
};

}  // namespace millrace::simtest
