// millrace_micro BENCHMARK COUNT: does one thing COUNT times, on the simulated world, and nothing
// else that depends on COUNT. test/bench/micro runs it under valgrind with two counts: the
// difference is what one operation costs.
//
// millrace_micro --list: a line for each benchmark: its name, a good count, what it does.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "broker/api/api_support.h"
#include "common/bytes/endian.h"
#include "common/check.h"
#include "proto/kafka/fetch_request.h"
#include "proto/kafka/fetch_response.h"
#include "proto/kafka/metadata_request.h"
#include "proto/kafka/metadata_response.h"
#include "proto/kafka/produce_request.h"
#include "proto/kafka/produce_response.h"
#include "storage/record/batch_builder.h"
#include "storage/record/batch_validator.h"
#include "test/bench/micro_node.h"

namespace millrace::bench {
namespace {

constexpr uint64_t kSeed = 1;
constexpr const char* kTopic = "micro";
constexpr int16_t kProduceVersion = 11;  // The newest that names topics.
constexpr int16_t kFetchVersion = 12;    // The same.
constexpr int16_t kMetadataVersion = 12;
constexpr int16_t kAcksAll = -1;
constexpr int32_t kManyPartitions = 1000;
constexpr int32_t kTimeoutMs = 1000;
constexpr int32_t kFetchBytes = 1 << 20;

BatchView Batch(int records, size_t record_bytes) {
  BatchBuilder builder;
  std::vector<uint8_t> value(record_bytes);
  for (size_t i = 0; i < value.size(); ++i) value[i] = static_cast<uint8_t>(i * 31);
  for (int i = 0; i < records; ++i) {
    // The wall clock of the simulated world: a timestamp that validation takes.
    builder.Append(SimOptions().wall_start, std::nullopt, value);
  }
  return *builder.Build();
}

// A request as it comes out of a connection's buffer, without the size prefix.
template <typename Request>
Slice Frame(const Request& request, int16_t version) {
  kafka::RequestHeader header;
  header.request_api_key = Request::kApiKey;
  header.request_api_version = version;
  header.client_id = "micro";
  return kafka::EncodeRequest(request, version, header)->Flatten().From(sizeof(int32_t));
}

kafka::ProduceRequest ProduceOf(const BatchView& batch, int partitions) {
  kafka::ProduceRequest request;
  request.acks = kAcksAll;
  request.timeout_ms = kTimeoutMs;
  request.topic_data.resize(1);
  request.topic_data[0].name = kTopic;
  request.topic_data[0].partition_data.resize(static_cast<size_t>(partitions));
  for (int p = 0; p < partitions; ++p) {
    auto& data = request.topic_data[0].partition_data[static_cast<size_t>(p)];
    data.index = p;
    data.records = Chain(batch.bytes());
  }
  return request;
}

// The last answer, with its header: whoever measured checks that it was not an error. The broker
// writes offsets into a produced batch in place; `patched` is where, to be set back.
Task<Slice> HandleMany(MicroNode* node, Slice frame, int count,
                       std::optional<size_t> patched = std::nullopt) {
  ApiReply reply;
  for (int i = 0; i < count; ++i) {
    if (patched.has_value()) {
      StoreBig<int64_t>(const_cast<uint8_t*>(frame.data()) + *patched, 0);
    }
    reply = co_await node->Handle(frame);
    MR_CHECK(reply.action == ApiReply::Action::kSend);
  }
  co_return reply.body.Flatten();
}

template <typename Response>
Response Decoded(const Slice& frame, int16_t version) {
  // Size, correlation id; a flexible header ends with its tagged fields, of which there are none.
  const size_t header = 2 * sizeof(int32_t) + (version >= Response::kFirstFlexible ? 1 : 0);
  kafka::Reader reader(frame.From(header));
  Response response;
  response.Decode(reader, version);
  MR_CHECK(reader.Finish().ok());
  return response;
}

void CheckProduced(const Slice& frame) {
  const auto response = Decoded<kafka::ProduceResponse>(frame, kProduceVersion);
  const auto& answer = response.responses[0].partition_responses[0];
  if (answer.error_code != 0) {
    std::fprintf(stderr, "Produce: %s\n", answer.error_message.value_or("").c_str());
  }
  MR_CHECK(answer.error_code == 0);
}

// --- The benchmarks

void DecodeProduce(int count, int partitions) {
  Slice frame = Frame(ProduceOf(Batch(10, 100), partitions), kProduceVersion);
  for (int i = 0; i < count; ++i) {
    kafka::Reader reader(frame);
    absl::StatusOr<kafka::RequestHeader> header = kafka::DecodeRequestHeader(reader);
    MR_CHECK(header.ok());
    kafka::ProduceRequest request;
    request.Decode(reader, kProduceVersion);
    MR_CHECK(reader.Finish().ok());
    MR_CHECK(request.topic_data[0].partition_data.back().records.has_value());
  }
}

void ValidateAndAppend(int count, int records, size_t record_bytes, bool durable) {
  MicroNode& node = MicroNode::New(kSeed);
  node.CreateTopic(kTopic, 1, durable);
  const BatchView batch = Batch(records, record_bytes);
  Log& log = node.partition(kTopic, 0).log();
  const size_t bytes = batch.bytes().size() * static_cast<size_t>(count);
  Admission admission =
      *node.world().Run(node.env(), node.broker().store.Admit(bytes, CancellationToken()));
  BatchValidator validator;
  const Timestamp now = node.env().clock.Now();
  for (int i = 0; i < count; ++i) {
    auto valid = validator.Validate(batch, AppendRules(), AppendOrigin::kClient, "micro-0", now);
    MR_CHECK(valid.has_value());
    MR_CHECK(log.Append(std::move(valid->batch), LeaderEpoch(0), admission).ok());
  }
}

void Produce(int count, int records, size_t record_bytes) {
  MicroNode& node = MicroNode::New(kSeed);
  node.CreateTopic(kTopic, 1, /*durable=*/false);
  const BatchView batch = Batch(records, record_bytes);
  Slice frame = Frame(ProduceOf(batch, 1), kProduceVersion);
  // The batch is the last but for a byte of tagged fields for its partition, topic and the request.
  const size_t batch_at = frame.size() - 3 - batch.bytes().size();
  CheckProduced(node.world().Run(node.env(), HandleMany(&node, std::move(frame), count, batch_at)));
}

void FetchTail(int count, int records, size_t record_bytes, int batches) {
  MicroNode& node = MicroNode::New(kSeed);
  node.CreateTopic(kTopic, 1, /*durable=*/false);
  const BatchView batch = Batch(records, record_bytes);
  for (int i = 0; i < batches; ++i) {
    Slice frame = Frame(ProduceOf(batch, 1), kProduceVersion);
    CheckProduced(node.world().Run(node.env(), HandleMany(&node, std::move(frame), 1)));
  }
  kafka::FetchRequest request;
  request.max_wait_ms = 0;
  request.max_bytes = kFetchBytes;
  request.topics.resize(1);
  request.topics[0].topic = kTopic;
  request.topics[0].partitions.resize(1);
  request.topics[0].partitions[0].partition_max_bytes = kFetchBytes;
  const Slice last =
      node.world().Run(node.env(), HandleMany(&node, Frame(request, kFetchVersion), count));
  const auto response = Decoded<kafka::FetchResponse>(last, kFetchVersion);
  const size_t wanted = batch.bytes().size() * static_cast<size_t>(batches);
  MR_CHECK(response.responses[0].partitions[0].records->size() == wanted);
}

void Metadata(int count) {
  MicroNode& node = MicroNode::New(kSeed);
  node.CreateTopic(kTopic, kManyPartitions, /*durable=*/false);
  kafka::MetadataRequest request;
  request.topics.emplace().resize(1);
  request.topics->front().name = kTopic;
  const Slice last =
      node.world().Run(node.env(), HandleMany(&node, Frame(request, kMetadataVersion), count));
  const auto response = Decoded<kafka::MetadataResponse>(last, kMetadataVersion);
  MR_CHECK(response.topics[0].partitions.size() == kManyPartitions);
}

struct Benchmark {
  std::string name;
  int count;  // Enough for start-up effects to vanish in the difference.
  std::string about;
  std::function<void(int)> run;
};

std::vector<Benchmark> Benchmarks() {
  return {
      {"decode-produce", 2000, "decode a Produce request: one partition",
       [](int n) { DecodeProduce(n, 1); }},
      {"decode-produce-60", 200, "decode a Produce request: 60 partitions",
       [](int n) { DecodeProduce(n, 60); }},
      {"append-small", 2000, "validate and append 10 x 100 B, page cache",
       [](int n) { ValidateAndAppend(n, 10, 100, false); }},
      {"append-small-disk", 2000, "validate and append 10 x 100 B, journal entry included",
       [](int n) { ValidateAndAppend(n, 10, 100, true); }},
      {"append-large", 200, "validate and append 64 x 1 KB, page cache",
       [](int n) { ValidateAndAppend(n, 64, 1024, false); }},
      {"append-large-disk", 200, "validate and append 64 x 1 KB, journal entry included",
       [](int n) { ValidateAndAppend(n, 64, 1024, true); }},
      {"produce-small", 2000, "a Produce request of 10 x 100 B, frame to answer, page cache",
       [](int n) { Produce(n, 10, 100); }},
      {"produce-large", 200, "a Produce request of 64 x 1 KB, frame to answer, page cache",
       [](int n) { Produce(n, 64, 1024); }},
      {"fetch-tail", 1000,
       "a Fetch of one batch of 10 x 100 B from the tail cache, frame to answer",
       [](int n) { FetchTail(n, 10, 100, 1); }},
      {"fetch-tail-large", 50, "a Fetch of 1 MB in 15 batches from the tail cache, frame to answer",
       [](int n) { FetchTail(n, 64, 1024, 15); }},
      {"metadata-1000", 20, "a Metadata request for 1,000 partitions, frame to answer",
       [](int n) { Metadata(n); }},
  };
}

int Main(int count, char** words) {
  const std::vector<Benchmark> all = Benchmarks();
  if (count == 2 && std::string(words[1]) == "--list") {
    for (const Benchmark& one : all) {
      std::printf("%s\t%d\t%s\n", one.name.c_str(), one.count, one.about.c_str());
    }
    return 0;
  }
  for (const Benchmark& one : all) {
    if (count != 3 || one.name != words[1]) continue;
    one.run(std::atoi(words[2]));
    std::_Exit(0);  // Taking things down would be counted.
  }
  std::fprintf(stderr, "usage: millrace_micro --list | BENCHMARK COUNT\n");
  return 2;
}

}  // namespace
}  // namespace millrace::bench

int main(int count, char** words) { return millrace::bench::Main(count, words); }
