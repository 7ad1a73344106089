#include "cli/storage/batch_format.h"

#include <fmt/format.h>

#include <optional>
#include <span>

#include "common/bytes/endian.h"
#include "common/status_macros.h"
#include "storage/record/compression.h"
#include "storage/record/record.h"

namespace millrace {
namespace {

using Bytes = std::span<const uint8_t>;

// What a batch may decompress to.
constexpr size_t kRecordsBytesMax = size_t{1} << 31;

std::string_view ViewOf(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

int64_t LengthOf(const std::optional<Bytes>& bytes) {
  return bytes.has_value() ? static_cast<int64_t>(bytes->size()) : -1;
}

const char* TimeName(const BatchHeader& header) {
  return header.attributes.timestamp_type() == TimestampType::kLogAppendTime ? "LogAppendTime"
                                                                             : "CreateTime";
}

const char* CodecName(const BatchHeader& header) {
  std::optional<Compression> codec = header.attributes.compression();
  return codec.has_value() ? CompressionName(*codec) : "unknown";
}

// The wire's numbers again: -1 is none.
int32_t SequenceOf(const BatchHeader& header, int32_t records_behind) {
  if (!header.producer.has_value() || !header.producer->base_sequence.has_value()) return -1;
  return AdvanceSequence(*header.producer->base_sequence, records_behind).value();
}

Timestamp TimeOf(const BatchHeader& header, const RecordView& record) {
  if (header.attributes.timestamp_type() == TimestampType::kLogAppendTime) {
    return header.max_timestamp;
  }
  return Timestamp(static_cast<int64_t>(static_cast<uint64_t>(header.base_timestamp.ms()) +
                                        static_cast<uint64_t>(record.timestamp_delta)));
}

// The end of a transaction: key = version, type; value = version, coordinator epoch.
std::optional<std::string> MarkerText(const RecordView& record) {
  constexpr size_t kKeyBytes = 4;
  constexpr size_t kValueBytes = 6;
  if (LengthOf(record.key) < int64_t{kKeyBytes}) return std::nullopt;
  const int16_t type = LoadBig<int16_t>(record.key->data() + 2);
  if (type != 0 && type != 1) return fmt::format("controlType: {}", type);
  std::string text = fmt::format("endTxnMarker: {}", type == 1 ? "COMMIT" : "ABORT");
  if (LengthOf(record.value) >= int64_t{kValueBytes}) {
    text += fmt::format(" coordinatorEpoch: {}", LoadBig<int32_t>(record.value->data() + 2));
  }
  return text;
}

// Calls `on_record(view)` for each record.
template <typename OnRecord>
absl::Status ForEachRecord(const BatchView& batch, OnRecord on_record) {
  std::optional<Compression> codec = batch.header().attributes.compression();
  if (!codec.has_value()) return absl::DataLossError("an unknown codec");
  Slice output;
  Bytes records = batch.records();
  if (*codec != Compression::kNone) {
    MR_ASSIGN_OR_RETURN(output, Decompress(*codec, records, kRecordsBytesMax));
    records = output.span();
  }
  RecordReader reader(records, batch.header().record_count);
  RecordView record;
  while (reader.Next(record)) on_record(record);
  return reader.status();
}

void FieldJson(std::string_view name, const std::optional<Bytes>& bytes, JsonWriter& json) {
  if (!bytes.has_value()) {
    json.Key(name).Null();
  } else if (IsText(*bytes)) {
    json.Key(name).String(ViewOf(*bytes));
  } else {
    json.Key(fmt::format("{}_base64", name)).String(Base64(*bytes));
  }
}

void RecordJson(const BatchHeader& header, const RecordView& record, JsonWriter& json) {
  json.BeginObject();
  json.Key("offset").Number((header.base_offset + OffsetDelta(record.offset_delta)).value());
  json.Key("timestamp").Number(TimeOf(header, record).ms());
  json.Key("headers").BeginArray();
  HeaderReader headers(record);
  while (std::optional<RecordHeaderView> item = headers.Next()) {
    json.BeginObject();
    FieldJson("key", item->key, json);
    FieldJson("value", item->value, json);
    json.EndObject();
  }
  json.EndArray();
  FieldJson("key", record.key, json);
  FieldJson("value", record.value, json);
  json.EndObject();
}

}  // namespace

std::string BatchLine(const BatchView& batch, uint64_t position) {
  const BatchHeader& header = batch.header();
  return fmt::format(
      "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} "
      "producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} "
      "deleteHorizonMs: {} position: {} {}: {} size: {} magic: 2 compresscodec: {} crc: {} "
      "isvalid: {}\n",
      header.base_offset, header.last_offset(), header.record_count, SequenceOf(header, 0),
      SequenceOf(header, header.last_offset_delta),
      header.producer.has_value() ? header.producer->id.value() : -1,
      header.producer.has_value() ? header.producer->epoch.value() : -1,
      header.leader_epoch.has_value() ? header.leader_epoch->value() : -1,
      header.attributes.is_transactional(), header.attributes.is_control(),
      header.attributes.has_delete_horizon()
          ? fmt::format("OptionalLong[{}]", header.base_timestamp)
          : "OptionalLong.empty",
      position, TimeName(header), header.max_timestamp, header.size_bytes, CodecName(header),
      header.crc, batch.CheckCrc().ok());
}

absl::Status RecordLines(const BatchView& batch, std::string& text) {
  const BatchHeader& header = batch.header();
  return ForEachRecord(batch, [&](const RecordView& record) {
    std::string names;
    HeaderReader headers(record);
    while (std::optional<RecordHeaderView> item = headers.Next()) {
      names += fmt::format("{}{}", names.empty() ? "" : ",", ViewOf(item->key));
    }
    text +=
        fmt::format("| offset: {} {}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [{}]",
                    header.base_offset + OffsetDelta(record.offset_delta), TimeName(header),
                    TimeOf(header, record), LengthOf(record.key), LengthOf(record.value),
                    SequenceOf(header, record.offset_delta), names);
    std::optional<std::string> marker;
    if (header.attributes.is_control()) marker = MarkerText(record);
    if (marker.has_value()) {
      text += " " + *marker;
    } else {
      if (record.key.has_value()) text += fmt::format(" key: {}", ViewOf(*record.key));
      if (record.value.has_value()) text += fmt::format(" payload: {}", ViewOf(*record.value));
    }
    text += '\n';
  });
}

absl::Status BatchJson(const BatchView& batch, uint64_t position, bool with_records,
                       JsonWriter& json) {
  const BatchHeader& header = batch.header();
  json.BeginObject();
  json.Key("position").Number(static_cast<int64_t>(position));
  json.Key("size").Number(static_cast<int64_t>(header.size_bytes));
  json.Key("base_offset").Number(header.base_offset.value());
  json.Key("last_offset").Number(header.last_offset().value());
  json.Key("count").Number(header.record_count);
  if (header.producer.has_value()) {
    json.Key("producer_id").Number(header.producer->id.value());
    json.Key("producer_epoch").Number(header.producer->epoch.value());
    json.Key("base_sequence").Number(SequenceOf(header, 0));
  }
  if (header.leader_epoch.has_value()) {
    json.Key("leader_epoch").Number(header.leader_epoch->value());
  }
  json.Key("transactional").Bool(header.attributes.is_transactional());
  json.Key("control").Bool(header.attributes.is_control());
  if (header.attributes.has_delete_horizon()) {
    json.Key("delete_horizon").Number(header.base_timestamp.ms());
  }
  json.Key("timestamp_type").String(TimeName(header));
  json.Key("max_timestamp").Number(header.max_timestamp.ms());
  json.Key("compression").String(CodecName(header));
  json.Key("crc").Number(header.crc);
  json.Key("valid").Bool(batch.CheckCrc().ok());
  absl::Status status;
  if (with_records) {
    json.Key("records").BeginArray();
    status =
        ForEachRecord(batch, [&](const RecordView& record) { RecordJson(header, record, json); });
    json.EndArray();
  }
  json.EndObject();
  return status;
}

std::string IndexLine(const OffsetIndexEntry& entry) {
  return fmt::format("offset: {} position: {}\n", entry.offset, entry.position);
}

std::string IndexLine(const TimeIndexEntry& entry) {
  return fmt::format("timestamp: {} offset: {}\n", entry.timestamp, entry.offset);
}

}  // namespace millrace
