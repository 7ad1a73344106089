#include "broker/api/internal_topics.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "broker/coordinator/group_service.h"
#include "common/error_kind.h"
#include "controller/controller.h"

namespace millrace {

Task<void> MakeInternalTopic(Broker* broker, std::string name) {
  // The others come with what needs them.
  if (name != kGroupsTopic) co_return;
  const GroupsTopicOptions& options = broker->options.groups_topic;
  CreateTopicRequest topic;
  topic.name = name;
  topic.partitions = options.partitions;
  topic.replication_factor = options.replication_factor;
  topic.configs = {{"cleanup.policy", "compact"},
                   {"compression.type", "producer"},
                   {"segment.bytes", fmt::format("{}", options.segment_bytes)}};
  std::vector<CreateTopicRequest> requests;
  requests.push_back(std::move(topic));
  absl::StatusOr<std::vector<CreateTopicReply>> replies =
      co_await broker->controller.CreateTopics(std::move(requests), /*validate_only=*/false);
  if (!replies.ok()) co_return;
  for (const CreateTopicReply& reply : *replies) {
    if (reply.status.ok() || KindOf(reply.status) == ErrorKind::kTopicAlreadyExists) continue;
    broker->env.logger.Warning(
        "the topic {} cannot be made with {} replicas (offsets.topic.replication.factor): {}", name,
        options.replication_factor, std::string(reply.status.message()));
  }
}

}  // namespace millrace
