// Controller: the active controller's shell. Requests come in, pure functions decide records, the
// records are committed through the MetadataLog, and the reply is released then. What it decides on
// is the state that the log's committed entries make (metadata_state.h).
//
// Shard:    shard 0.
// Lifetime: `log` and `state` outlive it.
// Errors:   per item in the replies; as a whole: what MetadataLog::Propose() says.
// Bound:    one decision at a time; callers wait in line (their number is bounded by the
//           connections' requests in flight).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "common/env.h"
#include "common/runtime/event.h"
#include "controller/image/metadata_image.h"
#include "controller/metadata_log.h"
#include "controller/metadata_state.h"
#include "controller/topic_decisions.h"

namespace millrace {

struct ProducerIdBlock {
  int64_t first;
  int32_t size;
};

class Controller final {
 public:
  Controller(Env& env, TopicRules rules, MetadataLog& log, const MetadataState& state);

  const std::shared_ptr<const MetadataImage>& image() const { return state_.image(); }

  // Registers this broker incarnation, unfenced, and ends all leaderships of the incarnation
  // before: epoch + 1 each (a leader that lost an unsynced tail must never put a second value at an
  // offset of the same epoch).
  Task<absl::StatusOr<BrokerEpoch>> RegisterBroker(BrokerImage broker);

  Task<absl::StatusOr<std::vector<CreateTopicReply>>> CreateTopics(
      std::vector<CreateTopicRequest> requests, bool validate_only);
  Task<absl::StatusOr<std::vector<DeleteTopicReply>>> DeleteTopics(
      std::vector<DeleteTopicRequest> requests);
  Task<absl::StatusOr<std::vector<CreatePartitionsReply>>> CreatePartitions(
      std::vector<CreatePartitionsRequest> requests, bool validate_only);
  // A block of producer ids that nobody else gets, across restarts too.
  Task<absl::StatusOr<ProducerIdBlock>> AllocateProducerIds();

  // For decisions that are made elsewhere (configurations): `decide` looks at the image and returns
  // records; it runs in a turn, and this returns when they are committed. It keeps what it wants to
  // answer for itself, and must stay callable until then.
  using Decide = std::function<std::vector<MetadataRecord>(const MetadataImage&)>;
  Task<absl::Status> Commit(Decide decide);

 private:
  class Turn;  // Holds the right to decide; the next in line gets it when it is destroyed.
  Task<void> TakeTurn();

  // Constant after construction.
  const TopicRules rules_;
  // Borrowed.
  Env& env_;
  MetadataLog& log_;
  const MetadataState& state_;
  // State.
  bool deciding_ = false;
  Event free_;
};

}  // namespace millrace
