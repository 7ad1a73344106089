#include "broker/control/remote_controller.h"

#include <utility>

namespace millrace {
namespace {

constexpr ShardId kControllerShard(0);

}  // namespace

Task<absl::StatusOr<std::vector<CreateTopicReply>>> RemoteController::CreateTopics(
    std::vector<CreateTopicRequest> requests, bool validate_only) {
  using Replies = absl::StatusOr<std::vector<CreateTopicReply>>;
  co_return co_await shards_.Call<Replies>(
      here_, kControllerShard,
      [local = &local_, requests = std::move(requests), validate_only]() mutable {
        return local->CreateTopics(std::move(requests), validate_only);
      });
}

Task<absl::StatusOr<ProducerIdBlock>> RemoteController::AllocateProducerIds() {
  co_return co_await shards_.Call<absl::StatusOr<ProducerIdBlock>>(
      here_, kControllerShard, [local = &local_] { return local->AllocateProducerIds(); });
}

}  // namespace millrace
