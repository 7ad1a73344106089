#include "test/sim/toy_broker.h"

#include <algorithm>
#include <optional>

#include "common/bytes/endian.h"
#include "common/status_macros.h"
#include "proto/kafka/create_topics_request.h"
#include "proto/kafka/create_topics_response.h"
#include "proto/kafka/init_producer_id_request.h"
#include "proto/kafka/init_producer_id_response.h"
#include "proto/kafka/kafka_error.h"
#include "proto/kafka/metadata_request.h"
#include "proto/kafka/metadata_response.h"

namespace millrace::simtest {
namespace {

using kafka::KafkaError;

constexpr const char* kFolder = "/toy";
constexpr uint32_t kRequestBytesMax = 16 << 20;
constexpr uint64_t kRefusesOneIn = 200;
// A file is read whole at start; stories are small.
constexpr size_t kFileBytesMax = 256 << 20;

Uuid TopicIdOf(const std::string& name) { return Uuid(MixText(1, name) | 1, MixText(2, name)); }

int16_t Code(KafkaError error) { return static_cast<int16_t>(error); }

}  // namespace

const char* ToyBugName(ToyBug bug) {
  switch (bug) {
    case ToyBug::kNone:
      return "none";
    case ToyBug::kAcknowledgesBeforeSync:
      return "acknowledges-before-sync";
    case ToyBug::kNeverSyncsItsFolder:
      return "never-syncs-its-folder";
    case ToyBug::kTrustsARetriedSync:
      return "trusts-a-retried-sync";
    case ToyBug::kForgetsProducers:
      return "forgets-producers";
    case ToyBug::kIgnoresSequences:
      return "ignores-sequences";
    case ToyBug::kServesBeforeSync:
      return "serves-before-sync";
    case ToyBug::kAcceptsGaps:
      return "accepts-gaps";
    case ToyBug::kKeepsTornTail:
      return "keeps-torn-tail";
  }
  return "?";
}

struct ToyBroker::Partition {
  explicit Partition(Reactor& reactor) : turn(reactor) {}

  // The last batches of a producer, for retries.
  struct Producer {
    struct Stored {
      int32_t first_sequence;
      int32_t next_sequence;
      int64_t base_offset;
    };
    std::vector<Stored> recent;
  };

  void Remember(const BatchHeader& header) {
    if (!header.producer.has_value() || !header.producer->base_sequence.has_value()) return;
    auto& recent = producers[header.producer->id.value()].recent;
    const int32_t first = header.producer->base_sequence->value();
    recent.push_back({first, first + header.record_count, header.base_offset.value()});
    if (recent.size() > 5) recent.erase(recent.begin());
  }
  int64_t next_offset() const {
    return batches.empty() ? 0 : batches.back().header().next_offset().value();
  }

  std::unique_ptr<File> file;
  uint64_t position = 0;
  std::vector<BatchView> batches;
  int64_t high_watermark = 0;
  std::map<int64_t, Producer> producers;
  absl::Status failure;
  // One append at a time, first come first served.
  uint64_t next_ticket = 0;
  uint64_t serving = 0;
  Event turn;
};

struct ToyBroker::Client {
  uint64_t number;
  std::unique_ptr<Connection> connection;
};

ToyBroker::ToyBroker(SimProcess& process, uint16_t port, ToyBug bug)
    : env_(process.env()),
      host_(process.node().name()),
      port_(port),
      bug_(bug),
      scope_(env_.reactor) {}

ToyBroker::~ToyBroker() = default;

Task<absl::Status> ToyBroker::Start() {
  MR_CO_RETURN_IF_ERROR(co_await env_.disk.CreateDirectories(kFolder));
  MR_CO_RETURN_IF_ERROR(co_await env_.disk.SyncDirectory("/"));
  MR_CO_RETURN_IF_ERROR(co_await Recover());
  MR_CO_ASSIGN_OR_RETURN(listener_, co_await env_.network.Listen({"", port_}, {}));
  scope_.Spawn(AcceptLoop());
  co_return absl::OkStatus();
}

Task<void> ToyBroker::Stop() {
  if (listener_ != nullptr) listener_->Shutdown();
  for (auto& [number, client] : clients_) client->connection->Shutdown();
  co_await scope_.Stop();
  if (listener_ != nullptr) co_await listener_->Close();
  listener_.reset();
  for (auto& [name, partition] : partitions_) {
    if (partition->file != nullptr) (void)co_await partition->file->Close();
  }
}

Task<absl::Status> ToyBroker::Recover() {
  MR_CO_ASSIGN_OR_RETURN(std::vector<DirectoryEntry> entries, co_await env_.disk.List(kFolder));
  for (const DirectoryEntry& entry : entries) {
    MR_CO_ASSIGN_OR_RETURN(Partition * partition, co_await OpenPartition(entry.name));
    MR_CO_ASSIGN_OR_RETURN(Slice bytes,
                           co_await partition->file->ReadAt(0, kFileBytesMax, ReadHint::kNormal));
    while (partition->position < bytes.size()) {
      absl::StatusOr<BatchView> batch = BatchView::Parse(bytes.From(partition->position));
      if (!batch.ok()) break;
      if (bug_ != ToyBug::kKeepsTornTail && !batch->CheckCrc().ok()) break;
      partition->position += batch->header().size_bytes;
      if (bug_ != ToyBug::kForgetsProducers) partition->Remember(batch->header());
      partition->batches.push_back(*std::move(batch));
    }
    MR_CO_RETURN_IF_ERROR(co_await partition->file->Truncate(partition->position));
    // Once more, or the sync would not be about what the sync of a life before failed to write.
    Chain again(bytes.Sub(0, partition->position));
    MR_CO_RETURN_IF_ERROR(co_await partition->file->WriteAt(0, std::move(again), WriteFlags{}));
    MR_CO_RETURN_IF_ERROR(co_await partition->file->Sync());
    partition->high_watermark = partition->next_offset();
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<ToyBroker::Partition*>> ToyBroker::OpenPartition(std::string name) {
  MR_CO_ASSIGN_OR_RETURN(
      auto file, co_await env_.disk.Open(fmt::format("{}/{}", kFolder, name), {.create = true}));
  auto& partition = partitions_[name];
  if (partition != nullptr) {  // Another request was faster.
    (void)co_await file->Close();
    co_return partition.get();
  }
  partition = std::make_unique<Partition>(env_.reactor);
  partition->file = std::move(file);
  co_return partition.get();
}

Task<void> ToyBroker::AcceptLoop() {
  for (;;) {
    absl::StatusOr<std::unique_ptr<Connection>> accepted = co_await listener_->Accept();
    if (!accepted.ok()) co_return;
    if (scope_.stopping()) {
      co_await (*accepted)->Close();
      co_return;
    }
    auto client = std::make_unique<Client>();
    client->number = next_client_++;
    client->connection = *std::move(accepted);
    Client* serving = client.get();
    clients_.emplace(serving->number, std::move(client));
    scope_.Spawn(Serve(serving));
  }
}

Task<void> ToyBroker::Serve(Client* client) {
  for (;;) {
    absl::StatusOr<MutableBuffer> size =
        co_await client->connection->ReceiveExactly(MutableBuffer(4), 0, 4);
    if (!size.ok()) break;
    const uint32_t length = LoadBig<uint32_t>(size->data());
    if (length > kRequestBytesMax) break;
    absl::StatusOr<MutableBuffer> body =
        co_await client->connection->ReceiveExactly(MutableBuffer(length), 0, length);
    if (!body.ok()) break;
    absl::StatusOr<Chain> answer = co_await Answer(std::move(*body).Freeze(length));
    if (!answer.ok()) break;
    if (!(co_await client->connection->Send(*std::move(answer))).ok()) break;
  }
  client->connection->Shutdown();
  co_await client->connection->Close();
  clients_.erase(client->number);
}

Task<absl::StatusOr<Chain>> ToyBroker::Answer(Slice frame) {
  kafka::Reader in(std::move(frame));
  MR_CO_ASSIGN_OR_RETURN(kafka::RequestHeader header, kafka::DecodeRequestHeader(in));
  const int16_t version = header.request_api_version;
  const int32_t correlation = header.correlation_id;
  switch (static_cast<kafka::ApiKey>(header.request_api_key)) {
    case kafka::ApiKey::kProduce: {
      kafka::ProduceRequest request;
      request.Decode(in, version);
      co_return co_await Produce(std::move(request), version, correlation);
    }
    case kafka::ApiKey::kFetch: {
      kafka::FetchRequest request;
      request.Decode(in, version);
      co_return Fetch(request, version, correlation);
    }
    case kafka::ApiKey::kMetadata: {
      kafka::MetadataRequest request;
      request.Decode(in, version);
      kafka::MetadataResponse response;
      response.brokers.push_back({0, host_, port_, std::nullopt});
      kafka::MetadataResponse::MetadataResponseTopic topic;
      topic.name = request.topics.has_value() && !request.topics->empty()
                       ? request.topics->front().name
                       : std::nullopt;
      topic.topic_id = TopicIdOf(topic.name.value_or(""));
      for (int32_t i = 0; Find(topic.name.value_or(""), i) != nullptr; ++i) {
        topic.partitions.push_back({0, i, 0, 0, {0}, {0}, {}});
      }
      response.topics.push_back(std::move(topic));
      co_return kafka::EncodeResponse(response, version, correlation);
    }
    case kafka::ApiKey::kCreateTopics: {
      kafka::CreateTopicsRequest request;
      request.Decode(in, version);
      kafka::CreateTopicsResponse response;
      for (const auto& topic : request.topics) {
        for (int32_t i = 0; i < topic.num_partitions; ++i) {
          MR_CO_RETURN_IF_ERROR(
              (co_await OpenPartition(fmt::format("{}-{}", topic.name, i))).status());
        }
        if (bug_ != ToyBug::kNeverSyncsItsFolder) {
          MR_CO_RETURN_IF_ERROR(co_await env_.disk.SyncDirectory(kFolder));
        }
        kafka::CreateTopicsResponse::CreatableTopicResult result;
        result.name = topic.name;
        response.topics.push_back(std::move(result));
      }
      co_return kafka::EncodeResponse(response, version, correlation);
    }
    case kafka::ApiKey::kInitProducerId: {
      kafka::InitProducerIdResponse response;
      response.producer_id = static_cast<int64_t>(env_.random.Next() >> 2);
      co_return kafka::EncodeResponse(response, version, correlation);
    }
    default:
      co_return absl::UnimplementedError("the toy does not know this API");
  }
}

ToyBroker::Partition* ToyBroker::Find(const std::string& topic, int32_t partition) {
  auto found = partitions_.find(fmt::format("{}-{}", topic, partition));
  return found == partitions_.end() ? nullptr : found->second.get();
}

Task<absl::StatusOr<Chain>> ToyBroker::Produce(kafka::ProduceRequest request, int16_t version,
                                               int32_t correlation) {
  kafka::ProduceResponse response;
  for (auto& topic : request.topic_data) {
    kafka::ProduceResponse::TopicProduceResponse answered;
    answered.name = topic.name;
    for (auto& data : topic.partition_data) {
      kafka::ProduceResponse::PartitionProduceResponse answer;
      answer.index = data.index;
      Partition* partition = Find(topic.name, data.index);
      if (partition == nullptr || !data.records.has_value()) {
        answer.error_code = Code(KafkaError::kUnknownTopicOrPartition);
      } else {
        co_await Append(partition, data.records->Flatten(), &answer);
      }
      answered.partition_responses.push_back(std::move(answer));
    }
    response.responses.push_back(std::move(answered));
  }
  co_return kafka::EncodeResponse(response, version, correlation);
}

Task<void> ToyBroker::Append(Partition* partition, Slice records,
                             kafka::ProduceResponse::PartitionProduceResponse* answer) {
  const uint64_t ticket = partition->next_ticket++;
  while (partition->serving != ticket) co_await partition->turn.Wait();
  absl::StatusOr<BatchView> batch = BatchView::Parse(records);
  // Now and then a broker has no room, or is not the leader yet; the batches behind must not pass.
  if (env_.random.Below(kRefusesOneIn) == 0) {
    answer->error_code = Code(KafkaError::kNotEnoughReplicas);
  } else if (!partition->failure.ok()) {
    answer->error_code = Code(KafkaError::kKafkaStorageError);
  } else if (!batch.ok() || !batch->CheckCrc().ok() || !batch->header().producer.has_value()) {
    answer->error_code = Code(KafkaError::kCorruptMessage);
  } else {
    const int32_t first = batch->header().producer->base_sequence->value();
    const auto& recent = partition->producers[batch->header().producer->id.value()].recent;
    auto stored = std::find_if(recent.begin(), recent.end(),
                               [&](const auto& one) { return one.first_sequence == first; });
    const int32_t expected = recent.empty() ? first : recent.back().next_sequence;
    const bool checks = bug_ != ToyBug::kIgnoresSequences;
    if (checks && stored != recent.end()) {
      answer->base_offset = stored->base_offset;
    } else if (checks && bug_ != ToyBug::kAcceptsGaps &&
               (recent.empty() && bug_ != ToyBug::kForgetsProducers ? first != 0
                                                                    : first != expected)) {
      answer->error_code = Code(KafkaError::kOutOfOrderSequenceNumber);
    } else {
      batch->SetBaseOffset(Offset(partition->next_offset()));
      answer->base_offset = partition->next_offset();
      absl::Status status = co_await Store(partition, *batch);
      if (!status.ok()) {
        partition->failure = status;  // What the file now holds is unknown: no more appends.
        answer->error_code = Code(KafkaError::kKafkaStorageError);
      }
    }
  }
  ++partition->serving;
  partition->turn.Pulse();
}

Task<absl::Status> ToyBroker::Store(Partition* partition, BatchView batch) {
  partition->batches.push_back(batch);
  partition->Remember(batch.header());
  if (bug_ == ToyBug::kServesBeforeSync) partition->high_watermark = partition->next_offset();
  const uint64_t position = partition->position;
  partition->position += batch.bytes().size();
  MR_CO_RETURN_IF_ERROR(co_await partition->file->WriteAt(position, Chain(batch.bytes()), {}));
  if (bug_ != ToyBug::kAcknowledgesBeforeSync) {
    absl::Status synced = co_await partition->file->Sync();
    if (!synced.ok() && bug_ == ToyBug::kTrustsARetriedSync) {
      synced = co_await partition->file->Sync();
    }
    MR_CO_RETURN_IF_ERROR(synced);
  }
  partition->high_watermark = partition->next_offset();
  co_return absl::OkStatus();
}

absl::StatusOr<Chain> ToyBroker::Fetch(const kafka::FetchRequest& request, int16_t version,
                                       int32_t correlation) {
  kafka::FetchResponse response;
  for (const auto& topic : request.topics) {
    kafka::FetchResponse::FetchableTopicResponse answered;
    answered.topic = topic.topic;
    for (const auto& asked : topic.partitions) {
      kafka::FetchResponse::PartitionData answer;
      answer.partition_index = asked.partition;
      Partition* partition = Find(topic.topic, asked.partition);
      if (partition == nullptr) {
        answer.error_code = Code(KafkaError::kUnknownTopicOrPartition);
      } else {
        answer.high_watermark = partition->high_watermark;
        Chain records;
        for (const BatchView& batch : partition->batches) {
          const BatchHeader& header = batch.header();
          if (header.next_offset().value() <= asked.fetch_offset) continue;
          if (header.base_offset.value() >= partition->high_watermark) break;
          if (!records.empty() &&
              records.size() + header.size_bytes > static_cast<size_t>(asked.partition_max_bytes)) {
            break;
          }
          records.Append(batch.bytes());
        }
        answer.records = std::move(records);
      }
      answered.partitions.push_back(std::move(answer));
    }
    response.responses.push_back(std::move(answered));
  }
  return kafka::EncodeResponse(response, version, correlation);
}

}  // namespace millrace::simtest
