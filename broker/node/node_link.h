// NodeLink: a broker's ties to the active controller: the session (ControllerLink), the metadata
// that this node follows, and all that it asks (clients' forwarded requests, producer ids, ISRs, log
// directories).
//
//   metadata  on a node with the controller role: of its own replica; else: of the session's feed
//   requests  to this node's own controller while that is active; else over the session
//
//   start: Begin() → the image holds our registration → (partitions are opened) → Serve(): unfenced
//   stop:  Leave() (controlled shutdown: leaderships move first) → Stop()
//
// Shard:    shard 0.
// Lifetime: everything lent outlives it; Stop() must have finished before destruction.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/control/alter_partition_batcher.h"
#include "broker/control/controller_link.h"
#include "broker/control/controller_requests.h"
#include "broker/control/directory_reporter.h"
#include "broker/control/forwarding_controller.h"
#include "broker/metadata_publisher.h"
#include "broker/node/node_controller.h"
#include "common/config/broker_config.h"
#include "common/env.h"
#include "controller/metadata_state.h"
#include "replication/replication_options.h"

namespace millrace {

struct NodeLinkContext {
  const BrokerConfig& config;
  std::string cluster_id;
  DirectoryId directory;  // Of metadata.log.dir; all zero: it has none.
  NodeController* local;  // Null on a node without the controller role.
  StreamDialer* dialer;   // Null where there is no other node.
};

class NodeLink final : private LinkedBroker, private ControllerRequests, private MetadataFollower {
 public:
  NodeLink(Env& env, NodeLinkContext context);
  ~NodeLink() override;

  MetadataState& state() { return context_.local != nullptr ? context_.local->state() : state_; }
  const MetadataState& state() const {
    return context_.local != nullptr ? context_.local->state() : state_;
  }
  ControllerRequests& requests() { return *this; }
  ControllerAccess& access() { return access_; }
  IsrChannel& isr() { return isr_; }
  DirectoryReports& directories() { return directories_; }
  ControllerLink& session() { return *link_; }
  std::optional<BrokerId> controller() const { return link_->controller(); }
  // Before Begin(). What is asked returns when the publisher's shards have applied the answer.
  void Attach(MetadataPublisher& publisher);
  // Before Begin(). Called with each session that begins (nothing), or ends: when a controller was
  // heard last.
  void ObserveController(std::function<void(std::optional<Instant>)> told) {
    controller_told_ = std::move(told);
  }
  // Before Begin(). Called with when a heartbeat left that was answered.
  void ObserveHeartbeats(std::function<void(Instant)> told) { heartbeat_told_ = std::move(told); }

  // Registers, and waits until state() holds this registration; kDeadlineExceeded after
  // initial.broker.registration.timeout.ms, kFailedPrecondition when it is refused for good.
  // `logs`: how many its log directories hold.
  Task<absl::Status> Begin(BrokerImage self, std::optional<BrokerEpoch> clean_epoch, uint64_t logs);
  // Ready: waits until the broker is unfenced, for as long as Begin() would.
  Task<void> Serve();
  // Whoever waits in the above ends soon.
  void Interrupt();

  // A replication stream to or from `peer`, as it was registered under `epoch`, was lost: testimony
  // for the controller, unless it is silence, or about somebody who has registered anew since.
  void OnStreamLoss(BrokerId peer, std::optional<BrokerEpoch> epoch, StreamLoss how);
  // One stands, with that incarnation of it: takes the testimony back.
  void OnStream(BrokerId peer, BrokerEpoch epoch);

  // Hands its leaderships over, where there is somebody to have them.
  Task<void> Leave();
  Task<void> Stop();

 private:
  bool IsAlone() const;
  bool HasRegistration() const;
  bool IsServing() const;
  template <typename Done>
  Task<bool> Until(Done done, Instant deadline);

  // LinkedBroker.
  session::Register Registration() const override;
  std::optional<RaftIndex> Applied() const override;
  std::optional<BrokerId> KnownController() const override;
  std::unique_ptr<MessageStream> DialSelf(StreamHello hello) override;
  void OnController(std::optional<Instant> lost) override {
    if (controller_told_) controller_told_(lost);
  }
  void OnHeartbeat(Instant sent) override {
    if (heartbeat_told_) heartbeat_told_(sent);
  }
  absl::Status OnEntries(const session::Entries& entries) override;
  absl::Status OnSnapshot(RaftIndex index, std::vector<std::string> pieces) override;
  // ControllerRequests.
  Task<ForwardedReply> Answer(ForwardedRequest request) override;
  // MetadataFollower.
  void OnMetadata(std::shared_ptr<const MetadataImage>, const MetadataDelta&) override {
    link_->changed().Pulse();
  }
  void OnApplied();

  // Constant after construction.
  const NodeLinkContext context_;
  // Borrowed.
  Env& env_;
  MetadataPublisher* publisher_ = nullptr;
  // Owned.
  MetadataState state_;  // Of a node without the controller role.
  std::unique_ptr<ControllerLink> link_;
  ForwardingController access_;
  AlterPartitionBatcher isr_;
  DirectoryReporter directories_;
  // State.
  std::optional<session::Register> self_;
  bool interrupted_ = false;
  std::function<void(std::optional<Instant>)> controller_told_;
  std::function<void(Instant)> heartbeat_told_;
};

}  // namespace millrace
