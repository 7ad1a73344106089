#include <algorithm>

#include "proto/kafka/fetch_request.h"
#include "proto/kafka/fetch_response.h"
#include "storage/record/record.h"
#include "storage/record/record_batch.h"
#include "test/sim/workload.h"

namespace millrace::simtest {
namespace {

// Adds the records of `bytes` from `offset` on. False when they are not what we write.
absl::Status ReadRecords(const Slice& bytes, int64_t offset, std::vector<ReadRecord>* records,
                         int64_t* next_offset) {
  BatchReader batches(bytes);
  for (;;) {
    absl::StatusOr<std::optional<BatchView>> batch = batches.Next();
    if (!batch.ok()) return absl::DataLossError(std::string(batch.status().message()));
    if (!batch->has_value()) return absl::OkStatus();
    const BatchView& view = **batch;
    if (absl::Status crc = view.CheckCrc(); !crc.ok()) {
      return absl::DataLossError(fmt::format("served: {}", std::string(crc.message())));
    }
    const BatchHeader& header = view.header();
    RecordReader reader(view.records(), header.record_count);
    for (RecordView record; reader.Next(record);) {
      const int64_t at = header.base_offset.value() + record.offset_delta;
      if (at < offset) continue;  // A batch may begin before what was asked for.
      std::optional<SentValue> value;
      if (record.value.has_value()) {
        value = ParseSentValue(
            std::string(reinterpret_cast<const char*>(record.value->data()), record.value->size()));
      }
      if (!value.has_value()) {
        return absl::DataLossError(fmt::format("offset {} holds a value of nobody", at));
      }
      ReadRecord read{at, *value};
      if (header.producer.has_value() && header.producer->base_sequence.has_value()) {
        read.producer_id = header.producer->id.value();
        read.producer_epoch = header.producer->epoch.value();
        read.sequence =
            AdvanceSequence(*header.producer->base_sequence, record.offset_delta).value();
      }
      records->push_back(read);
    }
    if (!reader.status().ok()) {
      return absl::DataLossError(std::string(reader.status().message()));
    }
    *next_offset = std::max(*next_offset, header.next_offset().value());
  }
}

}  // namespace

SimConsumer::SimConsumer(Env& env, const WorkloadPlan& plan, History& history, int number)
    : env_(env),
      plan_(plan),
      history_(history),
      number_(number),
      scope_(env.reactor),
      client_(env, fmt::format("consumer-{}", number)) {
  for (int32_t partition = 0; partition < plan.partitions; ++partition) next_[partition] = 0;
}

Task<void> SimConsumer::Stop() {
  client_.Shutdown();
  co_await scope_.Stop();
  co_await client_.Stop();
}

int64_t SimConsumer::reached(int32_t partition) const {
  auto found = reached_.find(partition);
  return found == reached_.end() ? 0 : found->second;
}

Task<void> SimConsumer::Run() {
  while (!scope_.stopping()) {
    absl::Status status = co_await Session();
    last_problem_ = status.ToString();
    if (absl::IsDataLoss(status)) {
      history_.Wrong(fmt::format("consumer {}: {}", number_, last_problem_));
      co_return;
    }
    co_await client_.Disconnect();
    co_await Sleep(env_.reactor, milliseconds(1 + env_.random.Below(200)), scope_.token());
  }
}

Task<absl::Status> SimConsumer::Session() {
  MR_CO_ASSIGN_OR_RETURN(
      TopicView view,
      co_await FindTopic(&client_, &plan_, env_.random.Below(1000), /*create=*/false));
  // KIP-320: who was cut off names the leaders of before, itself among them, and clients that know
  // of later ones do not go back.
  for (const auto& [partition, epoch] : view_.epochs) {
    if (view.epochs.at(partition) < epoch) co_return absl::UnavailableError("metadata of before");
  }
  view_ = std::move(view);
  // What one broker leads, for a while: a follower may serve too, but knows less.
  auto first = static_cast<int32_t>(env_.random.Below(next_.size()));
  if (to_the_end_) first = static_cast<int32_t>(sessions_++ % next_.size());
  MR_CO_RETURN_IF_ERROR(co_await ConnectToLeader(first));
  const bool alone = plan_.bootstrap.size() == 1;
  const uint64_t turns_max = 10 + env_.random.Below(100);
  for (uint64_t turn = 0; !scope_.stopping() && (alone || turn < turns_max); ++turn) {
    const auto partition = static_cast<int32_t>(env_.random.Below(next_.size()));
    if (view_.leaders.at(partition) != view_.leaders.at(first)) continue;
    const TopicPartition place{plan_.topic, partition};
    // Now and then from the start: then everything that was read is compared again.
    if (env_.random.Below(100) == 0 && !to_the_end_) {
      next_[partition] = 0;
      history_.Seek(number_, place, 0);
    }
    MR_CO_ASSIGN_OR_RETURN(Fetched fetched, co_await Fetch(partition, next_[partition],
                                                           milliseconds(env_.random.Below(200))));
    const bool told = fetched.high_watermark >= 0;
    if (told) history_.HighWatermark(number_, place, fetched.high_watermark);
    for (const ReadRecord& record : fetched.records) {
      history_.Read(number_, place, record);
      if (told && record.offset >= fetched.high_watermark) {
        history_.Wrong(fmt::format("{}: offset {} was served with high watermark {}",
                                   place.ToString(), record.offset, fetched.high_watermark));
      }
    }
    next_[partition] = fetched.next_offset;
    reached_[partition] = std::max(reached_[partition], fetched.next_offset);
    if (fetched.records.empty()) {
      co_await Sleep(env_.reactor, milliseconds(1 + env_.random.Below(50)), scope_.token());
    }
  }
  co_return absl::OkStatus();
}

Task<absl::Status> SimConsumer::ConnectToLeader(int32_t partition) {
  if (plan_.bootstrap.size() == 1) co_return absl::OkStatus();
  co_await client_.Disconnect();
  co_return co_await client_.Connect(view_.leaders.at(partition), plan_.patience);
}

Task<absl::StatusOr<SimConsumer::Fetched>> SimConsumer::Fetch(int32_t partition, int64_t offset,
                                                              Duration wait) {
  kafka::FetchRequest request;
  request.max_wait_ms = static_cast<int32_t>(wait.count() / 1'000'000);
  request.min_bytes = 1;
  request.max_bytes = static_cast<int32_t>(1 + env_.random.Below(1 << 20));
  kafka::FetchRequest::FetchTopic topic;
  if (plan_.fetch_version >= 13) {
    topic.topic_id = view_.topic_id;
  } else {
    topic.topic = plan_.topic;
  }
  kafka::FetchRequest::FetchPartition asked;
  asked.partition = partition;
  // Not from who has become a follower: it may know less than the leader that was read before.
  if (auto epoch = view_.epochs.find(partition); epoch != view_.epochs.end()) {
    asked.current_leader_epoch = epoch->second;
  }
  asked.fetch_offset = offset;
  asked.partition_max_bytes = static_cast<int32_t>(1 + env_.random.Below(64 << 10));
  topic.partitions.push_back(asked);
  request.topics.push_back(std::move(topic));
  MR_CO_ASSIGN_OR_RETURN(auto response,
                         co_await client_.Call<kafka::FetchResponse>(
                             std::move(request), plan_.fetch_version, plan_.patience + wait));
  if (response.error_code != 0) {
    co_return absl::UnavailableError(fmt::format("Fetch answered error {}", response.error_code));
  }
  if (response.responses.size() != 1 || response.responses[0].partitions.size() != 1) {
    co_return absl::DataLossError("Fetch answered for other partitions");
  }
  const auto& answer = response.responses[0].partitions[0];
  if (answer.error_code != 0) {
    co_return absl::UnavailableError(
        fmt::format("Fetch answered error {} for the partition", answer.error_code));
  }
  Fetched fetched{{}, answer.high_watermark, offset};
  if (answer.records.has_value()) {
    MR_CO_RETURN_IF_ERROR(
        ReadRecords(answer.records->Flatten(), offset, &fetched.records, &fetched.next_offset));
  }
  co_return fetched;
}

Task<absl::StatusOr<std::map<TopicPartition, std::vector<ReadRecord>>>> SimConsumer::ReadAll() {
  // In a seed that breaks too much for a producer to begin, nobody has made it.
  MR_CO_ASSIGN_OR_RETURN(view_, co_await FindTopic(&client_, &plan_, 0, /*create=*/true));
  std::map<TopicPartition, std::vector<ReadRecord>> logs;
  for (int32_t partition = 0; partition < plan_.partitions; ++partition) {
    std::vector<ReadRecord>& log = logs[{plan_.topic, partition}];
    MR_CO_RETURN_IF_ERROR(co_await ConnectToLeader(partition));
    int64_t next = 0;
    for (;;) {
      MR_CO_ASSIGN_OR_RETURN(Fetched fetched, co_await Fetch(partition, next, milliseconds(10)));
      log.insert(log.end(), fetched.records.begin(), fetched.records.end());
      const bool told = fetched.high_watermark >= 0;
      if (told && next == fetched.next_offset && next >= fetched.high_watermark) break;
      next = fetched.next_offset;
    }
  }
  co_return logs;
}

}  // namespace millrace::simtest
