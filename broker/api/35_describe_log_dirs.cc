// DescribeLogDirs (key 35), versions 1 to 5. The log directories of this broker, and the replicas
// in them.
//
// Promises: every directory of log.dirs, in its order; without a list of topics all replicas, with
//           one those that are on it and here. A replica that a move is building is told beside the
//           present one, as a future one.
// Errors:   per directory KAFKA_STORAGE_ERROR: it is offline; nothing else is said of it then.
// Source:   KIP-113, KIP-827 (room), KIP-1066 (cordoned).
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "broker/api/api_support.h"
#include "broker/api/handlers.h"
#include "broker/on_shard.h"
#include "proto/kafka/describe_log_dirs_request.h"
#include "proto/kafka/describe_log_dirs_response.h"

namespace millrace {
namespace {

using kafka::DescribeLogDirsRequest;
using kafka::DescribeLogDirsResponse;

// By topic; nothing: all of all.
using Wanted = std::optional<std::map<std::string, std::set<int32_t>>>;

struct ReplicaView {
  std::string directory;
  std::string topic;
  int32_t partition;
  bool future;
  uint64_t size_bytes;
  int64_t lag;

  auto Key() const { return std::tie(directory, topic, partition, future); }
};
using ReplicaViews = std::vector<ReplicaView>;

bool IsWanted(const Wanted& wanted, const std::string& topic, PartitionId partition) {
  if (!wanted.has_value()) return true;
  auto found = wanted->find(topic);
  return found != wanted->end() && found->second.contains(partition.value());
}

// A value only: it goes to another shard.
Task<ReplicaViews> ReplicasOf(Broker* there, std::shared_ptr<const Wanted> wanted) {
  ReplicaViews views;
  for (Log* log : there->store.Logs()) {
    if (!log->failure().ok() || !IsWanted(*wanted, log->topic(), log->partition())) continue;
    Partition* partition = there->partitions.Find(log->id());
    const int64_t lag =
        partition == nullptr
            ? -1
            : std::max<int64_t>(partition->high_watermark().value() - log->end_offset().value(), 0);
    views.push_back(
        {log->directory(), log->topic(), log->partition().value(), false, log->size_bytes(), lag});
  }
  for (const FutureReplica& future : there->store.Futures()) {
    Log* log = there->store.Find(future.id);
    if (log == nullptr || !IsWanted(*wanted, log->topic(), log->partition())) continue;
    views.push_back({future.directory, log->topic(), log->partition().value(), true,
                     future.size_bytes,
                     std::max<int64_t>(log->end_offset().value() - future.end.value(), 0)});
  }
  co_return views;
}

Wanted WantedBy(const DescribeLogDirsRequest& body) {
  if (!body.topics.has_value()) return std::nullopt;
  std::map<std::string, std::set<int32_t>> topics;
  for (const auto& topic : *body.topics) {
    topics[topic.topic].insert(topic.partitions.begin(), topic.partitions.end());
  }
  return topics;
}

void AddReplica(const ReplicaView& view, DescribeLogDirsResponse::DescribeLogDirsResult* result) {
  if (result->topics.empty() || result->topics.back().name != view.topic) {
    result->topics.emplace_back().name = view.topic;
  }
  auto& replica = result->topics.back().partitions.emplace_back();
  replica.partition_index = view.partition;
  replica.partition_size = static_cast<int64_t>(view.size_bytes);
  replica.offset_lag = view.lag;
  replica.is_future_key = view.future;
}

}  // namespace

Task<ApiReply> HandleDescribeLogDirs(Broker* broker, ApiRequest request) {
  absl::StatusOr<DescribeLogDirsRequest> body = DecodeBody<DescribeLogDirsRequest>(request);
  if (!body.ok()) co_return Undecodable(body.status());
  auto wanted = std::make_shared<const Wanted>(WantedBy(*body));
  std::vector<ReplicaViews> parts = co_await ForEachShard<ReplicaViews>(
      broker, [wanted](Broker& there) { return ReplicasOf(&there, wanted); });
  ReplicaViews views;
  for (ReplicaViews& part : parts) {
    std::ranges::move(part, std::back_inserter(views));
  }
  std::ranges::sort(views, [](const auto& a, const auto& b) { return a.Key() < b.Key(); });

  DescribeLogDirsResponse response;
  for (const LogDirectoryStatus& directory : broker->store.directories()) {
    auto& result = response.results.emplace_back();
    result.log_dir = directory.path;
    result.is_cordoned = directory.cordoned;
    absl::StatusOr<DiskSpace> space;  // An error until it is asked for.
    if (directory.failure.ok()) space = co_await broker->env.disk.Space(directory.path);
    if (!space.ok()) {
      result.error_code = ErrorCode(kafka::KafkaError::kKafkaStorageError);
      continue;
    }
    result.total_bytes = static_cast<int64_t>(space->total_bytes);
    result.usable_bytes = static_cast<int64_t>(space->usable_bytes);
    auto [begin, end] =
        std::ranges::equal_range(views, directory.path, {}, &ReplicaView::directory);
    for (auto view = begin; view != end; ++view) AddReplica(*view, &result);
  }
  co_return Reply(request, response);
}

}  // namespace millrace
