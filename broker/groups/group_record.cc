#include "broker/groups/group_record.h"

#include <fmt/format.h>

#include <utility>

#include "common/bytes/endian.h"
#include "common/bytes/slice.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "proto/kafka/reader.h"
#include "proto/kafka/writer.h"

namespace millrace {
namespace {

// What Kafka writes: the newest layout that is not flexible, so that tools of earlier releases read
// it, but for what only another one can say.
int16_t VersionOf(const kafka::OffsetCommitValue& value) {
  if (value.expire_timestamp != -1) return 1;
  return value.topic_id == Uuid(0, 0) ? 3 : 4;
}
int16_t VersionOf(const kafka::GroupMetadataValue&) { return 3; }
template <typename Value>
int16_t VersionOf(const Value&) {
  return Value::kMaxVersion;
}

template <typename Part>
std::string EncodePart(const Part& part, int16_t prefix, int16_t version) {
  kafka::Writer writer;
  writer.WriteInt16(prefix);
  part.Encode(writer, version);
  absl::StatusOr<Chain> bytes = std::move(writer).Finish();
  // Every value was decoded from a request or a record, or made here: its strings are short enough.
  MR_CHECK(bytes.ok());
  const Slice flat = bytes->Flatten();
  return std::string(reinterpret_cast<const char*>(flat.data()), flat.size());
}

template <typename Part>
absl::StatusOr<Part> DecodePart(std::span<const uint8_t> bytes, int16_t version) {
  if (version < Part::kMinVersion || version > Part::kMaxVersion) {
    return absl::InvalidArgumentError(
        fmt::format("version {} of a record of type {}", version, Part::kRecordType));
  }
  kafka::Reader reader(Slice::Copy(bytes));
  Part part;
  part.Decode(reader, version);
  MR_RETURN_IF_ERROR(reader.Finish());
  return part;
}

absl::StatusOr<int16_t> Prefix(std::span<const uint8_t> bytes) {
  if (bytes.size() < sizeof(int16_t)) return absl::InvalidArgumentError("a record is cut off");
  return LoadBig<int16_t>(bytes.data());
}

template <typename Record>
absl::StatusOr<std::optional<GroupRecord>> DecodeAs(std::span<const uint8_t> key,
                                                    std::optional<std::span<const uint8_t>> value) {
  constexpr size_t kPrefix = sizeof(int16_t);
  MR_ASSIGN_OR_RETURN(typename Record::Key decoded_key,
                      DecodePart<typename Record::Key>(key.subspan(kPrefix), 0));
  Record record{std::move(decoded_key), std::nullopt};
  if (value.has_value()) {
    MR_ASSIGN_OR_RETURN(const int16_t version, Prefix(*value));
    MR_ASSIGN_OR_RETURN(record.value,
                        DecodePart<typename Record::Value>(value->subspan(kPrefix), version));
  }
  return std::optional<GroupRecord>(std::move(record));
}

// Type 0 is what releases before 0.8.3 wrote; its key has the fields of type 1.
constexpr int16_t kLegacyOffsetCommit = 0;

// Tries the kinds of GroupRecord one after the other.
template <size_t I = 0>
absl::StatusOr<std::optional<GroupRecord>> DecodeAny(
    int16_t type, std::span<const uint8_t> key, std::optional<std::span<const uint8_t>> value) {
  if constexpr (I == std::variant_size_v<GroupRecordVariant>) {
    return std::optional<GroupRecord>();
  } else {
    using Record = std::variant_alternative_t<I, GroupRecordVariant>;
    if (type == Record::Key::kRecordType) return DecodeAs<Record>(key, value);
    return DecodeAny<I + 1>(type, key, value);
  }
}

}  // namespace

GroupRecord::GroupRecord(const GroupRecord& other) = default;
GroupRecord::GroupRecord(GroupRecord&& other) noexcept = default;
GroupRecord& GroupRecord::operator=(const GroupRecord& other) = default;
GroupRecord& GroupRecord::operator=(GroupRecord&& other) noexcept = default;
GroupRecord::~GroupRecord() = default;

EncodedRecord EncodeGroupRecord(const GroupRecord& record) {
  return std::visit(
      [](const auto& typed) {
        EncodedRecord encoded{EncodePart(typed.key, typed.key.kRecordType, 0), std::nullopt};
        if (typed.value.has_value()) {
          const int16_t version = VersionOf(*typed.value);
          encoded.value = EncodePart(*typed.value, version, version);
        }
        return encoded;
      },
      record);
}

absl::StatusOr<std::optional<GroupRecord>> DecodeGroupRecord(
    std::span<const uint8_t> key, std::optional<std::span<const uint8_t>> value) {
  MR_ASSIGN_OR_RETURN(const int16_t type, Prefix(key));
  return DecodeAny(type == kLegacyOffsetCommit ? kafka::OffsetCommitKey::kRecordType : type, key,
                   value);
}

const std::string& GroupOf(const GroupRecord& record) {
  return std::visit(
      [](const auto& typed) -> const std::string& {
        if constexpr (requires { typed.key.group_id; }) {
          return typed.key.group_id;
        } else {
          return typed.key.group;
        }
      },
      record);
}

}  // namespace millrace
