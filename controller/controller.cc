#include "controller/controller.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"

namespace millrace {
namespace {

constexpr int32_t kProducerIdBlockSize = 1000;  // Rule 1.51.

}  // namespace

// A decision looks at the image, so no other may commit between the look and its own commit.
class Controller::Turn {
 public:
  explicit Turn(Controller& controller) : controller_(controller) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    controller_.deciding_ = false;
    controller_.free_.Pulse();
  }

 private:
  Controller& controller_;
};

Controller::Controller(Env& env, TopicRules rules, MetadataLog& log, const MetadataState& state)
    : rules_(std::move(rules)), env_(env), log_(log), state_(state), free_(env.reactor) {}

Task<void> Controller::TakeTurn() {
  while (deciding_) co_await free_.Wait();
  deciding_ = true;
}

Task<absl::StatusOr<BrokerEpoch>> Controller::RegisterBroker(BrokerImage broker) {
  co_await TakeTurn();
  Turn turn(*this);
  const BrokerEpoch epoch(log_.next_index().value());
  broker.epoch = epoch;
  broker.fenced = false;
  std::vector<MetadataRecord> records;
  records.emplace_back(RegisterBrokerRecord{broker});
  image()->topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
    for (size_t p = 0; p < topic->partitions.size(); ++p) {
      PartitionImage state = topic->partitions[p];
      if (std::ranges::find(state.replicas, broker.id) == state.replicas.end()) continue;
      if (state.leader.has_value() && state.leader != broker.id) continue;
      // The only voter of a single node: its replicas were replayed completely, or it would not be
      // here.
      state.leader = broker.id;
      state.leader_epoch = LeaderEpoch(state.leader_epoch.value() + 1);
      state.partition_epoch = PartitionEpoch(state.partition_epoch.value() + 1);
      records.emplace_back(
          PartitionRecord{topic->topic_id, PartitionId(static_cast<int32_t>(p)), std::move(state)});
    }
    return true;
  });
  absl::StatusOr<RaftIndex> index = co_await log_.Propose(std::move(records));
  if (!index.ok()) co_return index.status();
  co_return epoch;
}

Task<absl::StatusOr<std::vector<CreateTopicReply>>> Controller::CreateTopics(
    std::vector<CreateTopicRequest> requests, bool validate_only) {
  co_await TakeTurn();
  Turn turn(*this);
  CreateTopicDraws draws{[this] {
                           TopicId id = env_.random.NextUuid();
                           while (image()->FindTopic(id) != nullptr) id = env_.random.NextUuid();
                           return id;
                         },
                         [this] { return env_.random.Below(1 << 20); }};
  Decision<CreateTopicReply> decision =
      DecideCreateTopics(*image(), rules_, requests, validate_only, draws);
  if (!decision.records.empty()) {
    absl::StatusOr<RaftIndex> index = co_await log_.Propose(std::move(decision.records));
    if (!index.ok()) co_return index.status();
  }
  co_return std::move(decision.replies);
}

Task<absl::StatusOr<std::vector<DeleteTopicReply>>> Controller::DeleteTopics(
    std::vector<DeleteTopicRequest> requests) {
  co_await TakeTurn();
  Turn turn(*this);
  Decision<DeleteTopicReply> decision = DecideDeleteTopics(*image(), rules_, requests);
  if (!decision.records.empty()) {
    absl::StatusOr<RaftIndex> index = co_await log_.Propose(std::move(decision.records));
    if (!index.ok()) co_return index.status();
  }
  co_return std::move(decision.replies);
}

Task<absl::StatusOr<std::vector<CreatePartitionsReply>>> Controller::CreatePartitions(
    std::vector<CreatePartitionsRequest> requests, bool validate_only) {
  co_await TakeTurn();
  Turn turn(*this);
  Decision<CreatePartitionsReply> decision = DecideCreatePartitions(
      *image(), requests, validate_only, [this] { return env_.random.Below(1 << 20); });
  if (!decision.records.empty()) {
    absl::StatusOr<RaftIndex> index = co_await log_.Propose(std::move(decision.records));
    if (!index.ok()) co_return index.status();
  }
  co_return std::move(decision.replies);
}

Task<absl::StatusOr<ProducerIdBlock>> Controller::AllocateProducerIds() {
  co_await TakeTurn();
  Turn turn(*this);
  ProducerIdBlock block{image()->next_producer_id(), kProducerIdBlockSize};
  std::vector<MetadataRecord> records;
  records.emplace_back(ProducerIdsRecord{block.first + block.size});
  absl::StatusOr<RaftIndex> index = co_await log_.Propose(std::move(records));
  if (!index.ok()) co_return index.status();
  co_return block;
}

Task<absl::Status> Controller::Commit(Decide decide) {
  co_await TakeTurn();
  Turn turn(*this);
  std::vector<MetadataRecord> records = decide(*image());
  if (records.empty()) co_return absl::OkStatus();
  co_return (co_await log_.Propose(std::move(records))).status();
}

}  // namespace millrace
