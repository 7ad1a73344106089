// The few Kafka requests the load program sends, encoded once and sent many times, so that a client
// costs little more than the system calls and the broker is what a benchmark measures.
//
// Versions without tagged fields are used: the oldest that both brokers serve.
// Units:    bytes; timestamps in milliseconds.
// Errors:   the readers give -1 (UNKNOWN_SERVER_ERROR) for an answer they cannot read.
// Source:   the Kafka protocol guide; KIP-98 for record batches.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::bench {

using Frame = std::vector<uint8_t>;  // With its size prefix.

struct BatchShape {
  int32_t record_bytes;  // Of the value; there is no key.
  int32_t records;
};

// A v2 record batch without producer id; `seed` makes the values differ.
Frame EncodeBatch(BatchShape shape, int64_t timestamp, uint32_t seed);

Frame EncodeProduce(std::string_view topic, int32_t partition, int16_t acks,
                    std::span<const uint8_t> batch);
// Of one partition, answered at once; SetFetchOffset() says from where.
Frame EncodeFetch(std::string_view topic, int32_t partition, int32_t bytes_max);
void SetFetchOffset(Frame& request, int64_t offset);
Frame EncodeCreateTopic(std::string_view topic, int32_t partitions, int16_t replication_factor,
                        const std::vector<std::pair<std::string, std::string>>& configs);
Frame EncodeDeleteTopic(std::string_view topic);
Frame EncodeMetadata(std::string_view topic);

// The correlation id of a request or of an answer (`answer` begins behind the size prefix).
void SetCorrelation(Frame& request, int32_t id);
int32_t CorrelationOf(std::span<const uint8_t> answer);

// Kafka's error code for the one topic or partition asked about.
int16_t ProduceError(std::span<const uint8_t> answer);
int16_t CreateTopicError(std::span<const uint8_t> answer);

// The port of each partition's leader; nothing while one has none, or the answer cannot be read.
std::optional<std::vector<uint16_t>> LeaderPorts(std::span<const uint8_t> answer,
                                                 int32_t partitions);

// What a fetch of one partition answered. Whole batches only count.
struct FetchedRecords {
  int16_t error;
  int64_t high_watermark;
  size_t bytes;         // Of whole batches.
  int64_t next_offset;  // Behind the last of them.
};
FetchedRecords ReadFetch(std::span<const uint8_t> answer);

}  // namespace millrace::bench
