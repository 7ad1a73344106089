#include "broker/control/local_controller.h"

#include <utility>

namespace millrace {

Task<void> LocalController::Settled() {
  const std::optional<RaftIndex> index = controller_.image()->index();
  if (index.has_value()) co_await publisher_->Applied(*index);
}

Task<absl::StatusOr<std::vector<CreateTopicReply>>> LocalController::CreateTopics(
    std::vector<CreateTopicRequest> requests, bool validate_only) {
  auto replies = co_await controller_.CreateTopics(std::move(requests), validate_only);
  if (replies.ok()) co_await Settled();
  co_return replies;
}

Task<absl::StatusOr<ProducerIdBlock>> LocalController::AllocateProducerIds() {
  const BrokerImage* self = controller_.image()->FindBroker(self_);
  // Nothing follows from a block that a shard would have to apply.
  co_return co_await controller_.AllocateProducerIds(
      self_, self == nullptr ? BrokerEpoch(-1) : self->epoch);
}

}  // namespace millrace
