#include "storage/log_checkpoint.h"

#include <fmt/format.h>

#include <span>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "common/error_kind.h"

namespace millrace {
namespace {

// 1 did not name the directory, 2 not the aborted transactions, 3 not how far it was compacted.
constexpr uint8_t kVersion = 4;
constexpr int64_t kNotCleaned = -1;
constexpr size_t kKeyBytes = 20;
constexpr DirectoryId kNoDirectory(0, 0);

class Writer {
 public:
  template <typename T>
  void Put(T value) {
    uint8_t bytes[sizeof(T)];
    StoreBig<T>(bytes, value);
    out_.append(reinterpret_cast<const char*>(bytes), sizeof(T));
  }
  void Put(const Uuid& id) {
    Put<uint64_t>(id.high());
    Put<uint64_t>(id.low());
  }
  void Put(std::string_view text) {
    Put<uint32_t>(static_cast<uint32_t>(text.size()));
    out_.append(text);
  }
  std::string& out() { return out_; }

 private:
  std::string out_;
};

// Fails once and stays failed, so that decoding is a straight line.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  template <typename T>
  T Take() {
    if (bytes_.size() < sizeof(T)) {
      failed_ = true;
      return T{};
    }
    T value = LoadBig<T>(reinterpret_cast<const uint8_t*>(bytes_.data()));
    bytes_.remove_prefix(sizeof(T));
    return value;
  }
  Uuid TakeUuid() {
    uint64_t high = Take<uint64_t>();
    uint64_t low = Take<uint64_t>();
    return Uuid(high, low);
  }
  std::string TakeText() {
    uint32_t size = Take<uint32_t>();
    if (failed_ || size > bytes_.size()) {
      failed_ = true;
      return {};
    }
    std::string text(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return text;
  }
  bool Finish() const { return !failed_ && bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool failed_ = false;
};

uint32_t CrcOf(std::string_view bytes) {
  return Crc32c(std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

absl::Status Damaged(std::string_view why) {
  return MakeError(ErrorKind::kStorageError, absl::StatusCode::kDataLoss,
                   fmt::format("log checkpoint: {}", why));
}

}  // namespace

std::string EncodeLogCheckpoint(const LogCheckpoint& checkpoint) {
  Writer body;
  body.Put(std::string_view(checkpoint.topic));
  body.Put(checkpoint.incarnation);
  body.Put<int64_t>(checkpoint.log_start.value());
  body.Put<int64_t>(checkpoint.recovery_point.value());
  body.Put<int64_t>(checkpoint.segment_base.value());
  body.Put<uint64_t>(checkpoint.position);
  body.Put<int64_t>(checkpoint.segment_created.ms());
  body.Put<uint8_t>(checkpoint.first_timestamp ? 1 : 0);
  if (checkpoint.first_timestamp) body.Put<int64_t>(checkpoint.first_timestamp->ms());
  body.Put<uint8_t>(checkpoint.max_time ? 1 : 0);
  if (checkpoint.max_time) {
    body.Put<int64_t>(checkpoint.max_time->timestamp.ms());
    body.Put<int64_t>(checkpoint.max_time->offset.value());
  }
  body.Put<uint32_t>(checkpoint.aborted_transactions);
  body.Put(checkpoint.journal_generation);
  body.Put<uint64_t>(checkpoint.journal_position.value());
  body.Put(std::string_view(checkpoint.producers));
  body.Put(std::string_view(checkpoint.epochs));
  body.Put(checkpoint.directory.value_or(kNoDirectory));
  body.Put<int64_t>(checkpoint.cleaned_to ? checkpoint.cleaned_to->value() : kNotCleaned);

  Writer whole;
  whole.Put<uint8_t>(kVersion);
  whole.Put<uint32_t>(CrcOf(body.out()));
  whole.out() += body.out();
  return std::move(whole.out());
}

absl::StatusOr<LogCheckpoint> DecodeLogCheckpoint(std::string_view bytes) {
  Reader head(bytes.substr(0, 5));
  const uint8_t version = head.Take<uint8_t>();
  const uint32_t crc = head.Take<uint32_t>();
  if (!head.Finish()) return Damaged("too short");
  if (version < 1 || version > kVersion) {
    return Damaged(fmt::format("version {}, we know 1 to {}", version, kVersion));
  }
  std::string_view body = bytes.substr(5);
  if (CrcOf(body) != crc) return Damaged("checksum mismatch");

  Reader in(body);
  std::string topic = in.TakeText();
  Uuid incarnation = in.TakeUuid();
  Offset log_start(in.Take<int64_t>());
  Offset recovery_point(in.Take<int64_t>());
  Offset segment_base(in.Take<int64_t>());
  uint64_t position = in.Take<uint64_t>();
  Timestamp created(in.Take<int64_t>());
  std::optional<Timestamp> first;
  if (in.Take<uint8_t>() != 0) first = Timestamp(in.Take<int64_t>());
  std::optional<TimeIndexEntry> max;
  if (in.Take<uint8_t>() != 0) {
    Timestamp timestamp(in.Take<int64_t>());
    max = TimeIndexEntry{timestamp, Offset(in.Take<int64_t>())};
  }
  const uint32_t aborted = in.Take<uint32_t>();
  Uuid generation = in.TakeUuid();
  JournalPosition journal_position(in.Take<uint64_t>());
  std::string producers = in.TakeText();
  std::string epochs = in.TakeText();
  std::optional<DirectoryId> directory;
  if (version >= 2) directory = in.TakeUuid();
  if (directory == kNoDirectory) directory.reset();
  std::optional<Offset> cleaned_to;
  if (version >= 4) cleaned_to = Offset(in.Take<int64_t>());
  if (cleaned_to == Offset(kNotCleaned)) cleaned_to.reset();
  if (!in.Finish()) return Damaged("wrong length");
  return LogCheckpoint{std::move(topic),
                       incarnation,
                       log_start,
                       recovery_point,
                       segment_base,
                       position,
                       created,
                       first,
                       max,
                       aborted,
                       generation,
                       journal_position,
                       std::move(producers),
                       std::move(epochs),
                       directory,
                       cleaned_to};
}

std::string LogCheckpointKey(const TopicPartitionId& id) {
  Writer key;
  key.Put(id.topic_id);
  key.Put<int32_t>(id.partition.value());
  return std::move(key.out());
}

absl::StatusOr<TopicPartitionId> ParseLogCheckpointKey(std::string_view key) {
  if (key.size() != kKeyBytes) return Damaged("key of the wrong length");
  Reader in(key);
  Uuid topic_id = in.TakeUuid();
  return TopicPartitionId{topic_id, PartitionId(in.Take<int32_t>())};
}

}  // namespace millrace
