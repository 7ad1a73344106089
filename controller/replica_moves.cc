#include "controller/replica_moves.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "common/error_kind.h"
#include "controller/broker_changes.h"

namespace millrace {
namespace {

// How many replicas each broker has, counting what was just decided.
class Loads {
 public:
  explicit Loads(const MetadataImage& image) : image_(image) {
    for (const auto& [id, broker] : image.brokers()) replicas_.emplace(broker.id, 0);
    image.topics().ForEach([&](const std::string&, const MetadataImage::Topic& topic) {
      for (const PartitionImage& partition : topic->partitions) {
        for (BrokerId id : partition.replicas) ++replicas_[id];
      }
      return true;
    });
  }

  // The broker that is to get a replica beside `have`, and counts it.
  std::optional<BrokerId> TakeFor(const BrokerIds& have) {
    std::set<std::string> racks;
    for (BrokerId id : have) {
      if (const BrokerImage* broker = image_.FindBroker(id); broker != nullptr) {
        racks.insert(broker->rack.value_or(""));
      }
    }
    std::optional<std::tuple<bool, int64_t, BrokerId>> best;
    for (const auto& [id, broker] : image_.brokers()) {
      if (!broker.active() || broker.draining || IsMember(have, broker.id)) continue;
      const bool rack_taken = racks.contains(broker.rack.value_or(""));
      std::tuple<bool, int64_t, BrokerId> candidate{rack_taken, replicas_.at(broker.id), broker.id};
      if (!best.has_value() || candidate < *best) best = candidate;
    }
    if (!best.has_value()) return std::nullopt;
    ++replicas_[std::get<2>(*best)];
    return std::get<2>(*best);
  }

 private:
  const MetadataImage& image_;
  std::map<BrokerId, int64_t> replicas_;
};

// Where the partition is to be: without what a reassignment under way is removing anyway.
BrokerIds TargetOf(const PartitionImage& partition) {
  BrokerIds target;
  for (BrokerId id : partition.replicas) {
    if (!IsMember(partition.removing, id)) target.push_back(id);
  }
  return target;
}

// `target` with another broker in `broker`'s place, so that the order of preferred leaders stays.
std::optional<BrokerIds> Replace(Loads& loads, BrokerIds target, BrokerId broker) {
  BrokerIds others = target;
  std::erase(others, broker);
  std::optional<BrokerId> instead = loads.TakeFor(others);
  if (!instead.has_value()) return std::nullopt;
  std::ranges::replace(target, broker, *instead);
  return target;
}

}  // namespace

SingleDecision<std::vector<ReassignmentReply>> DecideDrain(const MetadataImage& image,
                                                           const TopicSettings& defaults,
                                                           BrokerId broker, bool undo) {
  const BrokerImage* registered = image.FindBroker(broker);
  if (registered == nullptr) {
    return {{},
            MakeError(ErrorKind::kBrokerIdNotRegistered,
                      fmt::format("broker {} is not registered", broker))};
  }
  MetadataRecords records;
  if (registered->draining == undo) {
    BrokerChangeRecord change{broker, registered->epoch};
    change.draining = !undo;
    records.emplace_back(std::move(change));
  }
  if (undo) return {std::move(records), std::vector<ReassignmentReply>{}};
  const std::shared_ptr<const MetadataImage> draining = ImageAfter(image, records);
  Loads loads(*draining);
  std::vector<ReassignmentRequest> moves;
  std::vector<ReassignmentReply> replies;
  draining->ForEachTopicOf(broker, [&](const MetadataImage::Topic& topic) {
    for (size_t p = 0; p < topic->partitions.size(); ++p) {
      const PartitionImage& partition = topic->partitions[p];
      const PartitionId id(static_cast<int32_t>(p));
      BrokerIds target = TargetOf(partition);
      if (!IsMember(target, broker)) continue;
      const size_t factor = target.size();
      std::optional<BrokerIds> moved = Replace(loads, std::move(target), broker);
      if (moved.has_value()) {
        moves.push_back({topic->name, id, *std::move(moved)});
      } else {
        replies.push_back(
            {topic->name, id,
             MakeError(
                 ErrorKind::kInvalidReplicationFactor,
                 fmt::format("no other broker can take a replica: the partition has {}", factor))});
      }
    }
  });
  Decision<ReassignmentReply> decided =
      DecideReassignments(*draining, defaults, moves, /*allow_replication_factor_change=*/false);
  std::ranges::move(decided.records, std::back_inserter(records));
  std::ranges::move(decided.replies, std::back_inserter(replies));
  return {std::move(records), std::move(replies)};
}

Verdict DecideReplicationFactor(const MetadataImage& image, const TopicSettings& defaults,
                                const std::string& topic, int32_t factor) {
  MetadataImage::Topic found = image.FindTopic(topic);
  if (found == nullptr) {
    return {{},
            MakeError(ErrorKind::kUnknownTopicOrPartition,
                      "This server does not host this topic-partition.")};
  }
  auto refuse = [](std::string why) {
    return Verdict{{}, MakeError(ErrorKind::kInvalidReplicationFactor, std::move(why))};
  };
  if (factor <= 0) return refuse("Replication factor must be larger than 0.");
  const size_t wanted = static_cast<size_t>(factor);
  Loads loads(image);
  std::vector<ReassignmentRequest> moves;
  for (size_t p = 0; p < found->partitions.size(); ++p) {
    const PartitionImage& partition = found->partitions[p];
    BrokerIds target = TargetOf(partition);
    if (target.size() == wanted) continue;
    while (target.size() < wanted) {
      std::optional<BrokerId> more = loads.TakeFor(target);
      if (!more.has_value()) {
        return refuse(fmt::format(
            "The target replication factor of {} cannot be reached because only {} broker(s) can "
            "take replicas of partition {}.",
            factor, target.size(), p));
      }
      target.push_back(*more);
    }
    while (target.size() > wanted) {
      // From the end, but who is in sync stays before who is not.
      auto last = std::find_if(target.rbegin(), target.rend(),
                               [&](BrokerId id) { return !IsMember(partition.isr, id); });
      target.erase(last == target.rend() ? std::prev(target.end()) : std::next(last).base());
    }
    moves.push_back({topic, PartitionId(static_cast<int32_t>(p)), std::move(target)});
  }
  Decision<ReassignmentReply> decided =
      DecideReassignments(image, defaults, moves, /*allow_replication_factor_change=*/true);
  for (const ReassignmentReply& reply : decided.replies) {
    if (!reply.status.ok()) return {{}, reply.status};
  }
  return {std::move(decided.records), absl::OkStatus()};
}

}  // namespace millrace
