#include "controller/broker_heartbeat.h"

#include <iterator>
#include <memory>
#include <utility>

#include "controller/broker_changes.h"
#include "controller/full_directories.h"
#include "controller/slow_directories.h"

namespace millrace {
namespace {

enum class Next { kStay, kFence, kUnfence, kShutDown, kGo };

Next Decide(const MetadataImage& image, const BrokerImage& broker, const BrokerHeartbeat& heartbeat,
            bool caught_up, std::optional<RaftIndex> others_know,
            std::optional<RaftIndex> shutdown_index) {
  if (broker.fenced) {
    if (heartbeat.wants_shutdown) return Next::kGo;
    return !heartbeat.wants_fence && caught_up ? Next::kUnfence : Next::kStay;
  }
  if (broker.in_controlled_shutdown) {
    if (LeadsAnything(image, broker.id)) return Next::kStay;
    // Clients that still come here are told who leads now by brokers that know it.
    const bool known =
        !others_know.has_value() || (shutdown_index.has_value() && *others_know >= *shutdown_index);
    return known ? Next::kGo : Next::kStay;
  }
  if (heartbeat.wants_shutdown) {
    if (heartbeat.wants_fence) return Next::kGo;
    return LeadsAnything(image, broker.id) ? Next::kShutDown : Next::kGo;
  }
  return heartbeat.wants_fence ? Next::kFence : Next::kStay;
}

// What is full first: it takes nothing, what is slow takes it late.
MetadataRecords RecordsOfMarkedDirectories(std::shared_ptr<const MetadataImage> image,
                                           const TopicSettings& defaults,
                                           const DirectoryGrades& grades, BrokerId broker) {
  if (grades.IsSettled(broker, image->index())) return {};
  MetadataRecords records = RecordsOfFullDirectories(*image, defaults, grades, broker);
  if (!grades.AnySlow(broker)) return records;
  if (!records.empty()) image = ImageAfter(*image, records);
  MetadataRecords more = RecordsOfSlowDirectories(*image, defaults, grades, broker);
  records.insert(records.end(), std::make_move_iterator(more.begin()),
                 std::make_move_iterator(more.end()));
  return records;
}

}  // namespace

SingleDecision<BrokerHeartbeatReply> DecideHeartbeat(const MetadataImage& image,
                                                     const TopicSettings& defaults,
                                                     const DirectoryGrades& grades,
                                                     const BrokerHeartbeat& heartbeat,
                                                     std::optional<RaftIndex> others_know,
                                                     std::optional<RaftIndex> shutdown_index) {
  const BrokerImage* broker = image.FindBroker(heartbeat.id);
  if (absl::Status valid = CheckBrokerEpoch(image, heartbeat.id, heartbeat.epoch); !valid.ok()) {
    return {{}, std::move(valid)};
  }
  // A broker's epoch is the index of its registration.
  const bool caught_up = heartbeat.metadata_index.value() >= broker->epoch.value();
  MetadataRecords records = RecordsOfFailedDirectories(image, defaults, grades, heartbeat.id,
                                                       heartbeat.offline_directories);
  const std::shared_ptr<const MetadataImage> now = ImageAfter(image, records);
  BrokerHeartbeatReply reply{caught_up, broker->fenced, /*should_shut_down=*/false};
  MetadataRecords more;
  switch (Decide(*now, *broker, heartbeat, caught_up, others_know, shutdown_index)) {
    case Next::kStay:
      more = RecordsOfMarkedDirectories(now, defaults, grades, heartbeat.id);
      break;
    case Next::kFence:
      more = RecordsOfFencing(*now, defaults, grades, heartbeat.id);
      reply.fenced = true;
      break;
    case Next::kUnfence:
      more = RecordsOfUnfencing(*now, defaults, heartbeat.id);
      reply.fenced = false;
      break;
    case Next::kShutDown:
      more = RecordsOfShutdown(*now, defaults, grades, heartbeat.id);
      break;
    case Next::kGo:
      more = RecordsOfFencing(*now, defaults, grades, heartbeat.id);
      reply.fenced = true;
      reply.should_shut_down = true;
      break;
  }
  records.insert(records.end(), std::make_move_iterator(more.begin()),
                 std::make_move_iterator(more.end()));
  return {std::move(records), reply};
}

}  // namespace millrace
