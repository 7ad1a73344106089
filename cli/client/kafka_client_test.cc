#include "cli/client/kafka_client.h"

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "cli/client/fake_broker_test_tools.h"
#include "cli/client/producer.h"
#include "cli/client/topic_reader.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "proto/kafka/create_topics_request.h"
#include "proto/kafka/create_topics_response.h"
#include "proto/kafka/fetch_request.h"
#include "proto/kafka/fetch_response.h"
#include "proto/kafka/init_producer_id_request.h"
#include "proto/kafka/init_producer_id_response.h"
#include "proto/kafka/list_offsets_request.h"
#include "proto/kafka/list_offsets_response.h"
#include "proto/kafka/produce_request.h"
#include "proto/kafka/produce_response.h"
#include "storage/record/batch_builder.h"

namespace millrace {
namespace {

using kafka::KafkaError;

constexpr uint16_t kPort = 9092;
const SocketAddress kFirst{"one", kPort};
const SocketAddress kSecond{"two", kPort};

// Two brokers and a client, each on a machine of its own.
struct Cluster {
  Cluster() : Cluster(7) {}
  explicit Cluster(uint64_t seed)
      : world(seed),
        first_env(world.AddNode("one").Boot()),
        second_env(world.AddNode("two").Boot()),
        client_env(world.AddNode("client").Boot()),
        first(first_env, kFirst),
        second(second_env, kSecond) {}

  void Start() {
    REQUIRE(world.Run(first_env, first.Start()).ok());
    REQUIRE(world.Run(second_env, second.Start()).ok());
  }
  void Stop() {
    world.Run(first_env, first.Stop());
    world.Run(second_env, second.Stop());
  }

  SimWorld world;
  Env& first_env;
  Env& second_env;
  Env& client_env;
  FakeBroker first;
  FakeBroker second;
};

KafkaClientOptions Options() {
  KafkaClientOptions options;
  options.bootstrap = {kFirst};
  return options;
}

// What a partition has been told to append, as a broker with idempotence keeps it.
struct FakeLog {
  std::vector<std::string> values;
  std::set<int32_t> sequences;

  // Nothing for a batch it has already.
  std::optional<int64_t> Append(const Slice& records) {
    absl::StatusOr<BatchView> batch = BatchView::Parse(records);
    MR_CHECK(batch.ok());
    MR_CHECK(batch->CheckCrc().ok());
    if (!sequences.insert(batch->header().producer->base_sequence->value()).second) {
      return std::nullopt;
    }
    const auto base = static_cast<int64_t>(values.size());
    RecordReader reader(batch->records(), batch->header().record_count);
    for (RecordView record; reader.Next(record);) {
      values.emplace_back(reinterpret_cast<const char*>(record.value->data()),
                          record.value->size());
    }
    return base;
  }
};

kafka::ProduceResponse ProduceAnswer(KafkaError error, int64_t base) {
  kafka::ProduceResponse response;
  kafka::ProduceResponse::PartitionProduceResponse partition;
  partition.error_code = CodeOf(error);
  partition.base_offset = base;
  response.responses.push_back({"t", Uuid(1, 2), {partition}});
  return response;
}

void ServeProducerIds(FakeBroker& broker) {
  broker.On<kafka::InitProducerIdRequest, kafka::InitProducerIdResponse>(
      [](const kafka::InitProducerIdRequest&) -> std::optional<kafka::InitProducerIdResponse> {
        kafka::InitProducerIdResponse response;
        response.producer_id = 5;
        return response;
      });
}

// `longest_gap` is that of partition 0.
Task<absl::Status> ProduceValues(KafkaClient* client, int count, ProducerOptions options,
                                 Duration* longest_gap = nullptr) {
  Producer producer(*client, std::move(options));
  absl::Status status = co_await producer.Start();
  for (int i = 0; status.ok() && i < count; ++i) {
    OutgoingRecord record;
    record.value = fmt::format("value {}", i);
    status = co_await producer.Append(std::move(record));
  }
  if (status.ok()) status = co_await producer.Flush();
  if (!status.ok()) client->Shutdown();
  co_await producer.Stop();
  if (longest_gap != nullptr) *longest_gap = producer.written().at(PartitionId(0)).longest_gap;
  co_return status;
}

absl::Status RunProducer(Cluster& cluster, int count, ProducerOptions options,
                         Duration* longest_gap = nullptr) {
  KafkaClient client(cluster.client_env, Options());
  options.topic = "t";
  absl::Status status = cluster.world.Run(
      cluster.client_env, ProduceValues(&client, count, std::move(options), longest_gap));
  cluster.world.Run(cluster.client_env, client.Stop());
  return status;
}

std::vector<std::string> Values(int count) {
  std::vector<std::string> values;
  for (int i = 0; i < count; ++i) values.push_back(fmt::format("value {}", i));
  return values;
}

}  // namespace

TEST_CASE("KafkaClient: a broker that does not know our ApiVersions is asked in its own") {
  Cluster cluster;
  cluster.first.api_versions_max = 2;
  cluster.first.On<kafka::MetadataRequest, kafka::MetadataResponse>(
      [](const kafka::MetadataRequest&) { return std::optional(kafka::MetadataResponse()); }, 5);
  cluster.Start();
  KafkaClient client(cluster.client_env, Options());
  absl::StatusOr<kafka::MetadataResponse> response =
      cluster.world.Run(cluster.client_env, client.Metadata(std::nullopt, false, Instant::Max()));
  CHECK(response.ok());
  CHECK(cluster.first.asked ==
        std::vector<std::string>{"ApiVersions v5", "ApiVersions v2", "Metadata v5"});
  cluster.world.Run(cluster.client_env, client.Stop());
  cluster.Stop();
}

TEST_CASE("KafkaClient: an API that the broker does not serve is not asked for") {
  Cluster cluster;
  cluster.Start();
  KafkaClient client(cluster.client_env, Options());
  absl::StatusOr<kafka::CreateTopicsResponse> response = cluster.world.Run(
      cluster.client_env,
      client.CallAny<kafka::CreateTopicsResponse>(kafka::CreateTopicsRequest(), Instant::Max()));
  CHECK(absl::IsUnimplemented(response.status()));
  CHECK(cluster.first.asked.size() == 1);
  cluster.world.Run(cluster.client_env, client.Stop());
  cluster.Stop();
}

TEST_CASE("KafkaClient: fails at once, long before the deadline, when nobody listens") {
  Cluster cluster;
  KafkaClient client(cluster.client_env, Options());
  const Instant begin = cluster.world.Now();
  absl::StatusOr<TopicView> topic =
      cluster.world.Run(cluster.client_env, client.Topic("t", false, begin + seconds(3600)));
  CHECK(absl::IsUnavailable(topic.status()));
  CHECK(std::string(topic.status().message()).starts_with("cannot reach one:9092"));
  CHECK(cluster.world.Now() - begin < seconds(10));
  cluster.world.Run(cluster.client_env, client.Stop());
}

TEST_CASE("KafkaClient: waits for a leader to be elected, until the deadline") {
  Cluster cluster;
  int asked = 0;
  cluster.first.ServeTopic("t", 1, [&asked] { return ++asked < 4 ? -1 : 1; }, {{1, kFirst}});
  cluster.Start();
  KafkaClient client(cluster.client_env, Options());
  absl::StatusOr<TopicView> topic = cluster.world.Run(
      cluster.client_env, client.Topic("t", false, cluster.world.Now() + seconds(30)));
  REQUIRE(topic.ok());
  CHECK(topic->partitions.at(0).leader == BrokerId(1));
  CHECK(asked == 4);

  cluster.first.ServeTopic("t", 1, [] { return -1; }, {{1, kFirst}});
  topic = cluster.world.Run(cluster.client_env,
                            client.Topic("t", false, cluster.world.Now() + seconds(3)));
  CHECK(absl::IsDeadlineExceeded(topic.status()));
  cluster.world.Run(cluster.client_env, client.Stop());
  cluster.Stop();
}

TEST_CASE("Producer: records arrive once and in order, though answers are lost") {
  Cluster cluster;
  FakeLog log;
  ServeProducerIds(cluster.first);
  cluster.first.ServeTopic("t", 1, [] { return 1; }, {{1, kFirst}});
  int requests = 0;
  cluster.first.On<kafka::ProduceRequest, kafka::ProduceResponse>(
      [&](const kafka::ProduceRequest& request) -> std::optional<kafka::ProduceResponse> {
        std::optional<int64_t> base =
            log.Append(request.topic_data.at(0).partition_data.at(0).records->Flatten());
        // Every second answer never arrives: the broker hangs up after it has written.
        if (++requests % 2 == 1) return std::nullopt;
        if (!base.has_value()) return ProduceAnswer(KafkaError::kDuplicateSequenceNumber, -1);
        return ProduceAnswer(KafkaError::kNone, *base);
      });
  cluster.Start();
  ProducerOptions options;
  options.batch_bytes_max = 100;  // A few records each.
  CHECK(RunProducer(cluster, 20, options).ok());
  CHECK(log.values == Values(20));
  CHECK(requests > 4);
  CHECK(cluster.first.connections > 2);
  cluster.Stop();
}

TEST_CASE("Producer: follows the leader to another broker") {
  Cluster cluster;
  FakeLog log;
  int32_t leader = 1;
  ServeProducerIds(cluster.first);
  cluster.first.ServeTopic("t", 1, [&leader] { return leader; }, {{1, kFirst}, {2, kSecond}});
  cluster.first.On<kafka::ProduceRequest, kafka::ProduceResponse>(
      [&](const kafka::ProduceRequest&) -> std::optional<kafka::ProduceResponse> {
        leader = 2;
        return ProduceAnswer(KafkaError::kNotLeaderOrFollower, -1);
      });
  cluster.second.On<kafka::ProduceRequest, kafka::ProduceResponse>(
      [&](const kafka::ProduceRequest& request) -> std::optional<kafka::ProduceResponse> {
        return ProduceAnswer(
            KafkaError::kNone,
            *log.Append(request.topic_data.at(0).partition_data.at(0).records->Flatten()));
      });
  cluster.Start();
  CHECK(RunProducer(cluster, 3, {}).ok());
  CHECK(log.values == Values(3));
  cluster.Stop();
}

TEST_CASE("Producer: the longest gap is the time in which records waited for a new leader") {
  Cluster cluster;
  FakeLog log;
  ServeProducerIds(cluster.first);
  Instant elected = cluster.world.Now();
  auto leader = [&] { return cluster.world.Now() < elected ? 1 : 2; };
  cluster.first.ServeTopic("t", 1, leader, {{1, kFirst}, {2, kSecond}});
  cluster.first.On<kafka::ProduceRequest, kafka::ProduceResponse>(
      [&](const kafka::ProduceRequest&) -> std::optional<kafka::ProduceResponse> {
        return ProduceAnswer(KafkaError::kNotLeaderOrFollower, -1);
      });
  cluster.second.On<kafka::ProduceRequest, kafka::ProduceResponse>(
      [&](const kafka::ProduceRequest& request) -> std::optional<kafka::ProduceResponse> {
        return ProduceAnswer(
            KafkaError::kNone,
            *log.Append(request.topic_data.at(0).partition_data.at(0).records->Flatten()));
      });
  cluster.Start();
  Duration gap{0};
  ProducerOptions options;
  options.batch_bytes_max = 100;  // Several: the gap is not the time of all of them together.
  CHECK(RunProducer(cluster, 20, options, &gap).ok());
  CHECK(gap < milliseconds(500));
  elected = cluster.world.Now() + seconds(3);
  CHECK(RunProducer(cluster, 20, options, &gap).ok());
  CHECK(gap >= milliseconds(2500));
  CHECK(gap < milliseconds(4500));
  cluster.Stop();
}

TEST_CASE(
    "Producer: a batch that is too large is sent in halves, a record that is too large fails") {
  Cluster cluster;
  FakeLog log;
  size_t bytes_max = 150;
  ServeProducerIds(cluster.first);
  cluster.first.ServeTopic("t", 1, [] { return 1; }, {{1, kFirst}});
  cluster.first.On<kafka::ProduceRequest, kafka::ProduceResponse>(
      [&](const kafka::ProduceRequest& request) -> std::optional<kafka::ProduceResponse> {
        const Slice records = request.topic_data.at(0).partition_data.at(0).records->Flatten();
        if (records.size() > bytes_max) return ProduceAnswer(KafkaError::kMessageTooLarge, -1);
        return ProduceAnswer(KafkaError::kNone, *log.Append(records));
      });
  cluster.Start();
  CHECK(RunProducer(cluster, 50, {}).ok());
  CHECK(log.values == Values(50));

  bytes_max = 50;
  absl::Status status = RunProducer(cluster, 1, {});
  CHECK(std::string(status.message()).starts_with("t: MESSAGE_TOO_LARGE"));
  cluster.Stop();
}

TEST_CASE("Producer: an error that does not pass is reported and not repeated") {
  Cluster cluster;
  int requests = 0;
  ServeProducerIds(cluster.first);
  cluster.first.ServeTopic("t", 1, [] { return 1; }, {{1, kFirst}});
  cluster.first.On<kafka::ProduceRequest, kafka::ProduceResponse>(
      [&](const kafka::ProduceRequest&) -> std::optional<kafka::ProduceResponse> {
        ++requests;
        return ProduceAnswer(KafkaError::kTopicAuthorizationFailed, -1);
      });
  cluster.Start();
  absl::Status status = RunProducer(cluster, 1, {});
  CHECK(std::string(status.message()).starts_with("t: TOPIC_AUTHORIZATION_FAILED"));
  CHECK(requests == 1);
  cluster.Stop();
}

namespace {

// A partition with offsets [begin, end), whose records say their offset, as Fetch and ListOffsets
// show it.
struct FakePartition {
  int64_t begin = 0;
  int64_t end = 0;

  kafka::FetchResponse Fetch(const kafka::FetchRequest& request) const {
    const auto& wanted = request.topics.at(0).partitions.at(0);
    kafka::FetchResponse response;
    kafka::FetchResponse::PartitionData data;
    data.partition_index = wanted.partition;
    data.high_watermark = end;
    if (wanted.fetch_offset < begin || wanted.fetch_offset > end) {
      data.error_code = CodeOf(KafkaError::kOffsetOutOfRange);
    } else {
      // Batches of ten: an answer may begin before what was asked for.
      Chain bytes;
      const int64_t first = std::max(begin, wanted.fetch_offset / 10 * 10);
      for (int64_t base = first; base < std::min(first + 20, end); base += 10) {
        BatchBuilder builder({.base_offset = Offset(base)});
        for (int64_t offset = base; offset < std::min(base + 10, end); ++offset) {
          const std::string value = fmt::format("{}", offset);
          builder.Append(Timestamp(offset), std::nullopt,
                         std::span(reinterpret_cast<const uint8_t*>(value.data()), value.size()));
        }
        bytes.Append(builder.Build()->bytes());
      }
      data.records = std::move(bytes);
    }
    response.responses.push_back({"t", Uuid(1, 2), {data}});
    return response;
  }

  kafka::ListOffsetsResponse List(const kafka::ListOffsetsRequest& request) const {
    const int64_t timestamp = request.topics.at(0).partitions.at(0).timestamp;
    kafka::ListOffsetsResponse response;
    kafka::ListOffsetsResponse::ListOffsetsPartitionResponse partition;
    partition.offset = timestamp == -2   ? begin
                       : timestamp == -1 ? end
                       : timestamp < end ? std::max(begin, timestamp)
                                         : -1;
    response.topics.push_back({"t", {partition}});
    return response;
  }

  void Serve(FakeBroker& broker) {
    broker.On<kafka::FetchRequest, kafka::FetchResponse>(
        [this](const kafka::FetchRequest& request) { return std::optional(Fetch(request)); });
    broker.On<kafka::ListOffsetsRequest, kafka::ListOffsetsResponse>(
        [this](const kafka::ListOffsetsRequest& request) { return std::optional(List(request)); });
  }
};

class Collector final : public RecordSink {
 public:
  explicit Collector(size_t enough) : enough_(enough) {}
  bool OnRecord(PartitionId, const FetchedRecord& record) override {
    offsets.push_back(record.offset.value());
    CHECK(fmt::format("{}", record.offset) ==
          std::string_view(reinterpret_cast<const char*>(record.view.value->data()),
                           record.view.value->size()));
    return offsets.size() < enough_;
  }
  bool OnPause() override { return true; }
  void OnWarning(std::string message) override { warnings.push_back(std::move(message)); }

  std::vector<int64_t> offsets;
  std::vector<std::string> warnings;

 private:
  const size_t enough_;
};

absl::Status Read(Cluster& cluster, Collector& collector, OffsetSpec from) {
  KafkaClient client(cluster.client_env, Options());
  TopicReaderOptions options;
  options.topic = "t";
  options.from = from;
  options.stop_at_end = true;
  options.patience = seconds(10);
  absl::Status status;
  {
    TopicReader reader(client, collector, std::move(options));
    status = cluster.world.Run(cluster.client_env, reader.Run());
  }
  cluster.world.Run(cluster.client_env, client.Stop());
  return status;
}

std::vector<int64_t> Range(int64_t begin, int64_t end) {
  std::vector<int64_t> range;
  for (; begin < end; ++begin) range.push_back(begin);
  return range;
}

}  // namespace

TEST_CASE("TopicReader: begins where it was told to and reads each record once, to the end") {
  Cluster cluster;
  FakePartition partition{3, 47};
  partition.Serve(cluster.first);
  cluster.first.ServeTopic("t", 1, [] { return 1; }, {{1, kFirst}});
  cluster.Start();
  struct Case {
    OffsetSpec from;
    int64_t begin;
  };
  for (const Case& c : {Case{FromBeginning{}, 3}, Case{FromEnd{}, 47}, Case{FromEnd{5}, 42},
                        Case{FromEnd{1'000'000}, 3}, Case{Offset(25), 25}, Case{Offset(47), 47},
                        Case{FromTime{Timestamp(12)}, 12}, Case{FromTime{Timestamp(99)}, 47}}) {
    Collector collector(1000);
    CHECK(Read(cluster, collector, c.from).ok());
    CHECK(collector.offsets == Range(c.begin, 47));
  }
  cluster.Stop();
}

TEST_CASE("TopicReader: stops when the sink has enough") {
  Cluster cluster;
  FakePartition partition{0, 100};
  partition.Serve(cluster.first);
  cluster.first.ServeTopic("t", 1, [] { return 1; }, {{1, kFirst}});
  cluster.Start();
  Collector collector(25);
  CHECK(Read(cluster, collector, FromBeginning{}).ok());
  CHECK(collector.offsets == Range(0, 25));
  cluster.Stop();
}

TEST_CASE("TopicReader: an offset outside the partition is an error that names the range") {
  Cluster cluster;
  FakePartition partition{3, 47};
  partition.Serve(cluster.first);
  cluster.first.ServeTopic("t", 1, [] { return 1; }, {{1, kFirst}});
  cluster.Start();
  for (Offset offset : {Offset(2), Offset(48)}) {
    Collector collector(1000);
    absl::Status status = Read(cluster, collector, offset);
    CHECK(absl::IsInvalidArgument(status));
    CHECK(std::string(status.message()).find("from 3 up to, not including, 47") !=
          std::string::npos);
  }
  cluster.Stop();
}

TEST_CASE("TopicReader: records deleted under it are skipped with a warning") {
  Cluster cluster;
  FakePartition partition{0, 47};
  partition.Serve(cluster.first);
  cluster.first.ServeTopic("t", 1, [] { return 1; }, {{1, kFirst}});
  bool cut = false;
  cluster.first.On<kafka::FetchRequest, kafka::FetchResponse>(
      [&](const kafka::FetchRequest& request) {
        kafka::FetchResponse response = partition.Fetch(request);
        if (!cut) partition.begin = 33;
        cut = true;
        return std::optional(response);
      });
  cluster.Start();
  Collector collector(1000);
  CHECK(Read(cluster, collector, FromBeginning{}).ok());
  std::vector<int64_t> expected = Range(0, 20);
  for (int64_t offset : Range(33, 47)) expected.push_back(offset);
  CHECK(collector.offsets == expected);
  CHECK(collector.warnings ==
        std::vector<std::string>{
            "t partition 0: offsets 20 to 32 were deleted before they were read"});
  cluster.Stop();
}

TEST_CASE("TopicReader: follows the leader to another broker") {
  Cluster cluster;
  FakePartition partition{0, 100};
  partition.Serve(cluster.first);
  partition.Serve(cluster.second);
  int32_t leader = 1;
  cluster.first.ServeTopic("t", 1, [&leader] { return leader; }, {{1, kFirst}, {2, kSecond}});
  int fetches = 0;
  cluster.first.On<kafka::FetchRequest, kafka::FetchResponse>(
      [&](const kafka::FetchRequest& request) {
        kafka::FetchResponse response = partition.Fetch(request);
        if (++fetches == 2) {
          leader = 2;
          auto& data = response.responses.at(0).partitions.at(0);
          data.error_code = CodeOf(KafkaError::kNotLeaderOrFollower);
          data.records.reset();
        }
        return std::optional(response);
      });
  cluster.Start();
  Collector collector(1000);
  CHECK(Read(cluster, collector, FromBeginning{}).ok());
  CHECK(collector.offsets == Range(0, 100));
  CHECK(fetches == 2);
  cluster.Stop();
}

}  // namespace millrace
