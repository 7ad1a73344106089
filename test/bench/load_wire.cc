#include "test/bench/load_wire.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"

namespace millrace::bench {
namespace {

constexpr int16_t kProduceKey = 0;
constexpr int16_t kProduceVersion = 7;
constexpr int16_t kFetchKey = 1;
constexpr int16_t kFetchVersion = 4;
constexpr int16_t kCreateTopicsKey = 19;
constexpr int16_t kCreateTopicsVersion = 2;
constexpr int16_t kDeleteTopicsKey = 20;
constexpr int16_t kDeleteTopicsVersion = 1;
constexpr int16_t kMetadataKey = 3;
constexpr int16_t kMetadataVersion = 1;
constexpr int32_t kTimeoutMs = 30000;
constexpr std::string_view kClientId = "millrace-load";

// Where fields stand in a batch (KIP-98).
constexpr size_t kBatchLengthAt = 8;
constexpr size_t kBatchCrcAt = 17;
constexpr size_t kBatchAttributesAt = 21;
constexpr size_t kBatchLastOffsetDeltaAt = 23;
constexpr size_t kBatchPrefixBytes = 12;   // Base offset and length.
constexpr size_t kFrameCorrelationAt = 8;  // Behind size, key and version.

template <std::integral T>
void Put(Frame& out, T value) {
  out.resize(out.size() + sizeof(T));
  StoreBig<T>(out.data() + out.size() - sizeof(T), value);
}

void PutString(Frame& out, std::string_view text) {
  Put<int16_t>(out, static_cast<int16_t>(text.size()));
  out.insert(out.end(), text.begin(), text.end());
}

void PutVarint(Frame& out, int32_t value) {
  auto zigzag = (static_cast<uint32_t>(value) << 1) ^ static_cast<uint32_t>(value >> 31);
  for (; zigzag >= 0x80; zigzag >>= 7) out.push_back(static_cast<uint8_t>(zigzag | 0x80));
  out.push_back(static_cast<uint8_t>(zigzag));
}

Frame Begin(int16_t key, int16_t version) {
  Frame out;
  Put<int32_t>(out, 0);  // The size: End() sets it.
  Put<int16_t>(out, key);
  Put<int16_t>(out, version);
  Put<int32_t>(out, 0);  // The correlation id: SetCorrelation().
  PutString(out, kClientId);
  return out;
}

Frame End(Frame out) {
  StoreBig<int32_t>(out.data(), static_cast<int32_t>(out.size() - sizeof(int32_t)));
  return out;
}

Frame EncodeRecord(BatchShape shape, int32_t offset_delta, uint32_t& random) {
  Frame body;
  body.push_back(0);   // Attributes.
  PutVarint(body, 0);  // Timestamp delta.
  PutVarint(body, offset_delta);
  PutVarint(body, -1);  // No key.
  PutVarint(body, shape.record_bytes);
  for (int32_t i = 0; i < shape.record_bytes; ++i) {
    random = random * 1664525 + 1013904223;
    body.push_back(static_cast<uint8_t>(random >> 24));
  }
  PutVarint(body, 0);  // No headers.
  Frame record;
  PutVarint(record, static_cast<int32_t>(body.size()));
  record.insert(record.end(), body.begin(), body.end());
  return record;
}

// Reads fields in order; past the end everything is 0 and ok() false.
class FieldReader {
 public:
  explicit FieldReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  bool ok() const { return ok_; }
  void Skip(size_t count) {
    ok_ = ok_ && count <= bytes_.size();
    bytes_ = bytes_.subspan(ok_ ? count : bytes_.size());
  }
  template <std::integral T>
  T Take() {
    const std::span<const uint8_t> from = bytes_;
    Skip(sizeof(T));
    return ok_ ? LoadBig<T>(from.data()) : T{0};
  }
  void SkipString() { Skip(static_cast<size_t>(std::max<int16_t>(0, Take<int16_t>()))); }

 private:
  std::span<const uint8_t> bytes_;
  bool ok_ = true;
};

// Where the error code stands: behind `fixed` bytes, a string, and `between` bytes.
int16_t ErrorBehindName(std::span<const uint8_t> answer, size_t fixed, size_t between) {
  if (answer.size() < fixed + sizeof(int16_t)) return -1;
  const auto name = static_cast<uint16_t>(LoadBig<int16_t>(answer.data() + fixed));
  const size_t at = fixed + sizeof(int16_t) + name + between;
  return answer.size() < at + sizeof(int16_t) ? int16_t{-1} : LoadBig<int16_t>(answer.data() + at);
}

}  // namespace

Frame EncodeBatch(BatchShape shape, int64_t timestamp, uint32_t seed) {
  Frame out;
  Put<int64_t>(out, 0);   // Base offset.
  Put<int32_t>(out, 0);   // Length, below.
  Put<int32_t>(out, -1);  // Leader epoch.
  Put<int8_t>(out, 2);    // Magic.
  Put<int32_t>(out, 0);   // CRC, below.
  Put<int16_t>(out, 0);   // Attributes.
  Put<int32_t>(out, shape.records - 1);
  Put<int64_t>(out, timestamp);  // Of the first record.
  Put<int64_t>(out, timestamp);  // Of the newest.
  Put<int64_t>(out, -1);         // Producer id.
  Put<int16_t>(out, -1);         // Producer epoch.
  Put<int32_t>(out, -1);         // Sequence.
  Put<int32_t>(out, shape.records);
  for (int32_t i = 0; i < shape.records; ++i) {
    const Frame record = EncodeRecord(shape, i, seed);
    out.insert(out.end(), record.begin(), record.end());
  }
  StoreBig<int32_t>(out.data() + kBatchLengthAt,
                    static_cast<int32_t>(out.size() - kBatchLengthAt - sizeof(int32_t)));
  StoreBig<uint32_t>(out.data() + kBatchCrcAt, Crc32c(std::span(out).subspan(kBatchAttributesAt)));
  return out;
}

Frame EncodeProduce(std::string_view topic, int32_t partition, int16_t acks,
                    std::span<const uint8_t> batch) {
  Frame out = Begin(kProduceKey, kProduceVersion);
  Put<int16_t>(out, -1);  // No transactional id.
  Put<int16_t>(out, acks);
  Put<int32_t>(out, kTimeoutMs);
  Put<int32_t>(out, 1);  // Topics.
  PutString(out, topic);
  Put<int32_t>(out, 1);  // Partitions.
  Put<int32_t>(out, partition);
  Put<int32_t>(out, static_cast<int32_t>(batch.size()));
  out.insert(out.end(), batch.begin(), batch.end());
  return End(std::move(out));
}

Frame EncodeFetch(std::string_view topic, int32_t partition, int32_t bytes_max) {
  Frame out = Begin(kFetchKey, kFetchVersion);
  Put<int32_t>(out, -1);         // A consumer.
  Put<int32_t>(out, 0);          // Does not wait,
  Put<int32_t>(out, 0);          // whatever there is.
  Put<int32_t>(out, bytes_max);  // Of the answer.
  Put<int8_t>(out, 0);           // READ_UNCOMMITTED.
  Put<int32_t>(out, 1);          // Topics.
  PutString(out, topic);
  Put<int32_t>(out, 1);  // Partitions.
  Put<int32_t>(out, partition);
  Put<int64_t>(out, 0);  // The offset: SetFetchOffset().
  Put<int32_t>(out, bytes_max);
  return End(std::move(out));
}

void SetFetchOffset(Frame& request, int64_t offset) {
  // Before the last field.
  StoreBig<int64_t>(request.data() + request.size() - sizeof(int32_t) - sizeof(int64_t), offset);
}

Frame EncodeCreateTopic(std::string_view topic, int32_t partitions, int16_t replication_factor,
                        const std::vector<std::pair<std::string, std::string>>& configs) {
  Frame out = Begin(kCreateTopicsKey, kCreateTopicsVersion);
  Put<int32_t>(out, 1);  // Topics.
  PutString(out, topic);
  Put<int32_t>(out, partitions);
  Put<int16_t>(out, replication_factor);
  Put<int32_t>(out, 0);  // No assignments.
  Put<int32_t>(out, static_cast<int32_t>(configs.size()));
  for (const auto& [name, value] : configs) {
    PutString(out, name);
    PutString(out, value);
  }
  Put<int32_t>(out, kTimeoutMs);
  Put<int8_t>(out, 0);  // Not only validated.
  return End(std::move(out));
}

Frame EncodeDeleteTopic(std::string_view topic) {
  Frame out = Begin(kDeleteTopicsKey, kDeleteTopicsVersion);
  Put<int32_t>(out, 1);  // Topics.
  PutString(out, topic);
  Put<int32_t>(out, kTimeoutMs);
  return End(std::move(out));
}

Frame EncodeMetadata(std::string_view topic) {
  Frame out = Begin(kMetadataKey, kMetadataVersion);
  Put<int32_t>(out, 1);  // Topics.
  PutString(out, topic);
  return End(std::move(out));
}

void SetCorrelation(Frame& request, int32_t id) {
  StoreBig<int32_t>(request.data() + kFrameCorrelationAt, id);
}

int32_t CorrelationOf(std::span<const uint8_t> answer) {
  return answer.size() < sizeof(int32_t) ? -1 : LoadBig<int32_t>(answer.data());
}

int16_t ProduceError(std::span<const uint8_t> answer) {
  // Correlation id, number of topics; name; number of partitions, index.
  return ErrorBehindName(answer, 8, 8);
}

int16_t CreateTopicError(std::span<const uint8_t> answer) {
  // Correlation id, throttle time, number of topics; name. DeleteTopics answers alike.
  return ErrorBehindName(answer, 12, 0);
}

std::optional<std::vector<uint16_t>> LeaderPorts(std::span<const uint8_t> answer,
                                                 int32_t partitions) {
  FieldReader in(answer);
  in.Skip(sizeof(int32_t));  // The correlation id.
  std::map<int32_t, uint16_t> ports;
  for (int32_t brokers = in.Take<int32_t>(); brokers > 0 && in.ok(); --brokers) {
    const int32_t id = in.Take<int32_t>();
    in.SkipString();  // The host: all of them are on this machine.
    ports[id] = static_cast<uint16_t>(in.Take<int32_t>());
    in.SkipString();  // The rack.
  }
  in.Skip(2 * sizeof(int32_t));  // The controller; one topic.
  const int16_t topic_error = in.Take<int16_t>();
  in.SkipString();
  in.Skip(sizeof(int8_t));  // Whether it is internal.
  std::vector<uint16_t> leaders(static_cast<size_t>(partitions));
  for (int32_t known = in.Take<int32_t>(); known > 0 && in.ok(); --known) {
    in.Skip(sizeof(int16_t));  // The error; without a leader it does not matter which.
    const auto index = static_cast<size_t>(in.Take<int32_t>());
    const auto leader = ports.find(in.Take<int32_t>());
    if (index < leaders.size() && leader != ports.end()) leaders[index] = leader->second;
    for (int list = 0; list < 2; ++list) {  // The replicas; those in sync.
      in.Skip(static_cast<size_t>(std::max(0, in.Take<int32_t>())) * sizeof(int32_t));
    }
  }
  if (!in.ok() || topic_error != 0 || std::ranges::find(leaders, 0) != leaders.end())
    return std::nullopt;
  return leaders;
}

FetchedRecords ReadFetch(std::span<const uint8_t> answer) {
  FetchedRecords got{-1, -1, 0, 0};
  // Correlation id, throttle time, number of topics; name; then of the one partition: count, index,
  // error, high watermark, last stable offset, aborted transactions (none), size of the records.
  constexpr size_t kNameAt = 12;
  constexpr size_t kPartitionBytes = 4 + 4 + 2 + 8 + 8 + 4 + 4;
  if (answer.size() < kNameAt + sizeof(int16_t)) return got;
  const size_t at =
      kNameAt + sizeof(int16_t) + static_cast<uint16_t>(LoadBig<int16_t>(answer.data() + kNameAt));
  if (answer.size() < at + kPartitionBytes) return got;
  const uint8_t* partition = answer.data() + at;
  got.error = LoadBig<int16_t>(partition + 8);
  got.high_watermark = LoadBig<int64_t>(partition + 10);
  const auto size = static_cast<size_t>(std::max(0, LoadBig<int32_t>(partition + 30)));
  std::span<const uint8_t> records = answer.subspan(at + kPartitionBytes);
  records = records.first(std::min(records.size(), size));
  while (records.size() >= kBatchLastOffsetDeltaAt + sizeof(int32_t)) {
    const size_t batch =
        kBatchPrefixBytes + static_cast<size_t>(LoadBig<int32_t>(records.data() + kBatchLengthAt));
    if (batch > records.size()) break;
    got.next_offset = LoadBig<int64_t>(records.data()) +
                      LoadBig<int32_t>(records.data() + kBatchLastOffsetDeltaAt) + 1;
    got.bytes += batch;
    records = records.subspan(batch);
  }
  return got;
}

}  // namespace millrace::bench
