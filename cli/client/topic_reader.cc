#include "cli/client/topic_reader.h"

#include <algorithm>

#include "proto/kafka/fetch_request.h"
#include "proto/kafka/list_offsets_request.h"
#include "proto/kafka/list_offsets_response.h"

namespace millrace {
namespace {

using kafka::KafkaError;

// ListOffsets' names for the ends of a partition.
constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;

// For an answer that comes late without anything being wrong.
constexpr Duration kFetchSlack = seconds(10);

}  // namespace

TopicReader::TopicReader(KafkaClient& client, RecordSink& sink, TopicReaderOptions options)
    : options_(std::move(options)),
      client_(client),
      sink_(sink),
      scope_(client.env().reactor),
      last_success_(client.env().reactor.Now()) {}

Instant TopicReader::Deadline() const { return last_success_ + options_.patience; }

std::map<PartitionId, Offset> TopicReader::positions() const {
  std::map<PartitionId, Offset> offsets;
  for (const auto& [partition, position] : positions_) {
    offsets.insert_or_assign(partition, position.next);
  }
  return offsets;
}

bool TopicReader::finished() const {
  return enough_ || std::ranges::all_of(positions_, [](const auto& p) { return p.second.at_end; });
}

Task<absl::Status> TopicReader::Run() {
  absl::Status result = co_await FindStart();
  while (result.ok() && !finished()) result = co_await ReadUntilInterrupted();
  co_await scope_.Stop();
  co_return result;
}

Task<absl::Status> TopicReader::ReadUntilInterrupted() {
  interruption_ = absl::OkStatus();
  std::map<BrokerId, std::vector<PartitionId>> by_leader;
  for (const auto& [partition, position] : positions_) {
    if (position.at_end) continue;
    const TopicView::Partition* view = topic_.Find(partition);
    if (view != nullptr && view->leader.has_value()) {
      by_leader[*view->leader].push_back(partition);
    } else {
      interruption_ = absl::UnavailableError(fmt::format("partition {} has no leader", partition));
    }
  }
  if (interruption_.ok()) {
    for (auto& [broker, partitions] : by_leader) scope_.Spawn(FetchLoop(broker, partitions));
    co_await scope_.Join();
  }
  if (finished()) co_return absl::OkStatus();
  if (client_.shut_down()) co_return absl::CancelledError("the client is stopping");
  MR_CO_RETURN_IF_ERROR(co_await client_.Backoff(interruption_, Deadline()));
  MR_CO_ASSIGN_OR_RETURN(topic_, co_await client_.Topic(options_.topic, false, Deadline()));
  co_return absl::OkStatus();
}

Task<absl::Status> TopicReader::FindStart() {
  MR_CO_ASSIGN_OR_RETURN(topic_, co_await client_.Topic(options_.topic, false, Deadline()));
  std::vector<PartitionId> wanted = options_.partitions;
  if (wanted.empty()) {
    for (const auto& partition : topic_.partitions) wanted.push_back(partition.id);
  }
  for (PartitionId partition : wanted) {
    if (topic_.Find(partition) == nullptr) {
      co_return absl::InvalidArgumentError(fmt::format("{}: there is no partition {}, only 0 to {}",
                                                       options_.topic, partition,
                                                       topic_.partitions.size() - 1));
    }
    if (auto given = options_.starts.find(partition); given != options_.starts.end()) {
      positions_[partition] = {given->second, false};
      continue;
    }
    MR_CO_ASSIGN_OR_RETURN(Offset start, co_await Resolve(partition, Deadline()));
    positions_[partition] = {start, false};
  }
  last_success_ = client_.env().reactor.Now();
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::optional<Offset>>> TopicReader::ListOffset(PartitionId partition,
                                                                    int64_t timestamp,
                                                                    Instant deadline) {
  for (;;) {
    absl::Status failed =
        absl::UnavailableError(fmt::format("partition {} has no leader", partition));
    const TopicView::Partition* view = topic_.Find(partition);
    if (view != nullptr && view->leader.has_value()) {
      kafka::ListOffsetsRequest request;
      request.replica_id = -1;
      request.topics.push_back({options_.topic, {{partition.value(), -1, timestamp, 1}}});
      absl::StatusOr<kafka::ListOffsetsResponse> response =
          co_await client_.CallBroker<kafka::ListOffsetsResponse>(*view->leader, request, deadline);
      failed = response.status();
      if (response.ok()) {
        if (response->topics.empty() || response->topics[0].partitions.empty()) {
          co_return absl::DataLossError("the answer to ListOffsets says nothing");
        }
        const auto& answer = response->topics[0].partitions[0];
        if (answer.error_code == 0) {
          if (answer.offset < 0) co_return std::optional<Offset>();
          co_return std::optional(Offset(answer.offset));
        }
        failed = KafkaFailure(answer.error_code);
      }
    }
    MR_CO_RETURN_IF_ERROR(co_await client_.Backoff(failed, deadline));
    MR_CO_ASSIGN_OR_RETURN(topic_, co_await client_.Topic(options_.topic, false, deadline));
  }
}

Task<absl::StatusOr<Offset>> TopicReader::Resolve(PartitionId partition, Instant deadline) {
  if (const Offset* offset = std::get_if<Offset>(&options_.from)) co_return *offset;
  const auto* from_end = std::get_if<FromEnd>(&options_.from);
  const auto* from_time = std::get_if<FromTime>(&options_.from);
  if (from_time != nullptr) {
    MR_CO_ASSIGN_OR_RETURN(std::optional<Offset> found,
                           co_await ListOffset(partition, from_time->time.ms(), deadline));
    if (found.has_value()) co_return *found;
  }
  std::optional<Offset> begin;
  std::optional<Offset> end;
  if (from_time == nullptr && (from_end == nullptr || from_end->before > 0)) {
    MR_CO_ASSIGN_OR_RETURN(begin, co_await ListOffset(partition, kEarliest, deadline));
  }
  if (from_end != nullptr || from_time != nullptr) {  // Nothing is as young: the end.
    MR_CO_ASSIGN_OR_RETURN(end, co_await ListOffset(partition, kLatest, deadline));
  }
  if (!end.has_value()) co_return begin.value_or(Offset(0));
  if (from_end == nullptr || from_end->before == 0) co_return *end;
  // Clamped before the subtraction, which could pass below zero.
  const int64_t there = (*end - begin.value_or(Offset(0))).value();
  co_return *end - OffsetDelta(std::min(from_end->before, std::max<int64_t>(there, 0)));
}

Task<void> TopicReader::FetchLoop(BrokerId broker, std::vector<PartitionId> partitions) {
  while (interruption_.ok() && !enough_ && !client_.shut_down()) {
    std::erase_if(partitions, [this](PartitionId p) { return positions_.at(p).at_end; });
    if (partitions.empty()) co_return;
    absl::Status fetched = co_await FetchOnce(broker, &partitions);
    if (!fetched.ok() && interruption_.ok()) interruption_ = std::move(fetched);
    // Who came first in this request comes last in the next, so that a full answer starves nobody.
    if (partitions.size() > 1)
      std::rotate(partitions.begin(), partitions.begin() + 1, partitions.end());
  }
}

Task<absl::Status> TopicReader::FetchOnce(BrokerId broker, std::vector<PartitionId>* partitions) {
  kafka::FetchRequest request;
  request.max_wait_ms =
      static_cast<int32_t>(std::chrono::duration_cast<milliseconds>(options_.wait_max).count());
  request.min_bytes = 1;
  request.max_bytes = options_.answer_bytes_max;
  kafka::FetchRequest::FetchTopic topic{options_.topic, topic_.id, {}};
  for (PartitionId partition : *partitions) {
    kafka::FetchRequest::FetchPartition wanted;
    wanted.partition = partition.value();
    wanted.fetch_offset = positions_.at(partition).next.value();
    wanted.partition_max_bytes = options_.partition_bytes_max;
    topic.partitions.push_back(wanted);
  }
  request.topics.push_back(std::move(topic));
  const Instant deadline = client_.env().reactor.Now() + options_.wait_max + kFetchSlack;
  absl::StatusOr<kafka::FetchResponse> response =
      co_await client_.CallBroker<kafka::FetchResponse>(broker, std::move(request), deadline);
  if (!response.ok()) co_return response.status();
  if (response->error_code != 0) co_return KafkaFailure(response->error_code);
  if (enough_) co_return absl::OkStatus();
  for (const auto& answered : response->responses) {
    for (const PartitionAnswer& answer : answered.partitions) {
      const PartitionId partition(answer.partition_index);
      if (std::ranges::find(*partitions, partition) == partitions->end()) continue;
      if (static_cast<KafkaError>(answer.error_code) == KafkaError::kOffsetOutOfRange) {
        MR_CO_RETURN_IF_ERROR(co_await MoveIntoRange(partition));
        continue;
      }
      if (answer.error_code != 0) {
        absl::Status failed = KafkaFailure(answer.error_code);
        // The broker may have to learn of the topic; Topic() says whether it is really gone.
        if (absl::IsNotFound(failed)) failed = absl::UnavailableError(failed.message());
        co_return failed;
      }
      last_success_ = client_.env().reactor.Now();
      begun_ = true;
      MR_CO_RETURN_IF_ERROR(Take(answer));
      if (enough_) co_return absl::OkStatus();
    }
  }
  if (!sink_.OnPause()) enough_ = true;
  co_return absl::OkStatus();
}

absl::Status TopicReader::Take(const PartitionAnswer& answer) {
  const PartitionId partition(answer.partition_index);
  Position& position = positions_.at(partition);
  Slice bytes = answer.records.value_or(Chain()).Flatten();
  const bool had_bytes = !bytes.empty();
  FetchedRecords records(std::move(bytes), position.next);
  FetchedRecord record;
  for (;;) {
    absl::StatusOr<bool> more = records.Next(record);
    if (!more.ok()) {
      return absl::Status(
          absl::StatusCode::kDataLoss,
          fmt::format("{} partition {}: behind offset {}: {}", options_.topic, partition,
                      position.next, std::string(more.status().message())));
    }
    position.next = records.next_offset();
    if (!*more) break;
    if (!sink_.OnRecord(partition, record)) {
      enough_ = true;
      return absl::OkStatus();
    }
  }
  if (had_bytes && records.position() == 0) {  // KIP-74: the first batch comes whole, at any size.
    return absl::DataLossError(fmt::format("{} partition {}: no whole batch at offset {}",
                                           options_.topic, partition, position.next));
  }
  if (options_.stop_at_end && position.next.value() >= answer.high_watermark) {
    position.at_end = true;
  }
  return absl::OkStatus();
}

Task<absl::Status> TopicReader::MoveIntoRange(PartitionId partition) {
  MR_CO_ASSIGN_OR_RETURN(std::optional<Offset> begin,
                         co_await ListOffset(partition, kEarliest, Deadline()));
  MR_CO_ASSIGN_OR_RETURN(std::optional<Offset> end,
                         co_await ListOffset(partition, kLatest, Deadline()));
  Position& position = positions_.at(partition);
  const Offset first = begin.value_or(Offset(0));
  const Offset last = end.value_or(first);
  const bool was_asked_for = !begun_ && std::holds_alternative<Offset>(options_.from);
  if (position.next < first && !was_asked_for) {
    sink_.OnWarning(
        fmt::format("{} partition {}: offsets {} to {} were deleted before they were read",
                    options_.topic, partition, position.next, first - OffsetDelta(1)));
    position.next = first;
    co_return absl::OkStatus();
  }
  co_return absl::InvalidArgumentError(fmt::format(
      "{} partition {}: offset {} is out of range; there are offsets from {} up to, not "
      "including, {}",
      options_.topic, partition, position.next, first, last));
}

}  // namespace millrace
