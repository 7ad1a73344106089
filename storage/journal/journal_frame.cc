#include "storage/journal/journal_frame.h"

#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "common/check.h"

namespace millrace {
namespace {

constexpr uint32_t kMagic = 0x4D524A46;  // "MRJF"
constexpr size_t kCrcAt = 8;
constexpr size_t kAfterCrc = 12;

constexpr size_t kEntryHeaderBytes = 8;
constexpr size_t kCommonBytes = 16 + 4 + 16;  // Topic id, partition, incarnation.
constexpr size_t kAppendBytes = kCommonBytes + 8 + 4;
constexpr size_t kOffsetBytes = kCommonBytes + 8;

constexpr uint8_t kTypeAppend = 1;
constexpr uint8_t kTypeTruncate = 2;
constexpr uint8_t kTypeReset = 3;
constexpr uint8_t kTypeDelete = 4;

static_assert(kJournalChunkBytes % kJournalBlockBytes == 0);
static_assert(kJournalFrameHeaderBytes <= kJournalBlockBytes);

void StoreUuid(uint8_t* at, const Uuid& id) {
  StoreBig<uint64_t>(at, id.high());
  StoreBig<uint64_t>(at + 8, id.low());
}

Uuid LoadUuid(const uint8_t* at) { return {LoadBig<uint64_t>(at), LoadBig<uint64_t>(at + 8)}; }

// An entry without the bytes of an append: at most this long.
struct EntryHead {
  std::array<uint8_t, kEntryHeaderBytes + kAppendBytes> memory{};
  size_t size = 0;
  std::span<const uint8_t> span() const { return std::span(memory).first(size); }
};

class EntryHeadWriter {
 public:
  EntryHead operator()(const JournalAppend& entry) {
    EntryHead head = Common(kTypeAppend, kAppendBytes, entry.bytes.size(), entry);
    StoreBig<int64_t>(head.memory.data() + kEntryHeaderBytes + kCommonBytes,
                      entry.base_offset.value());
    StoreBig<int32_t>(head.memory.data() + kEntryHeaderBytes + kCommonBytes + 8,
                      entry.leader_epoch.value());
    return head;
  }
  EntryHead operator()(const JournalTruncate& entry) {
    return WithOffset(kTypeTruncate, entry, entry.end_offset);
  }
  EntryHead operator()(const JournalReset& entry) {
    return WithOffset(kTypeReset, entry, entry.start_offset);
  }
  EntryHead operator()(const JournalDelete& entry) {
    return Common(kTypeDelete, kCommonBytes, 0, entry);
  }

 private:
  template <typename Entry>
  static EntryHead Common(uint8_t type, size_t fixed_bytes, size_t tail_bytes, const Entry& entry) {
    EntryHead head;
    head.size = kEntryHeaderBytes + fixed_bytes;
    uint8_t* at = head.memory.data();
    StoreBig<uint32_t>(at, static_cast<uint32_t>(fixed_bytes + tail_bytes));
    at[4] = type;
    StoreUuid(at + kEntryHeaderBytes, entry.partition.topic_id);
    StoreBig<int32_t>(at + kEntryHeaderBytes + 16, entry.partition.partition.value());
    StoreUuid(at + kEntryHeaderBytes + 20, entry.incarnation);
    return head;
  }
  template <typename Entry>
  static EntryHead WithOffset(uint8_t type, const Entry& entry, Offset offset) {
    EntryHead head = Common(type, kOffsetBytes, 0, entry);
    StoreBig<int64_t>(head.memory.data() + kEntryHeaderBytes + kCommonBytes, offset.value());
    return head;
  }
};

absl::Status BadEntry(const JournalFrameHeader& header, std::string_view what) {
  return absl::DataLossError(fmt::format("journal frame {}: {}", header.stamp.sequence, what));
}

// One entry from its type and body; the body's slice begins at `at` of `frame`.
absl::StatusOr<JournalEntry> ParseBody(const JournalFrameHeader& header, uint8_t type,
                                       const Slice& frame, size_t at, size_t length) {
  if (length < kCommonBytes) return BadEntry(header, "an entry is too short");
  const uint8_t* body = frame.data() + at;
  const TopicPartitionId partition{LoadUuid(body), PartitionId(LoadBig<int32_t>(body + 16))};
  const IncarnationId incarnation = LoadUuid(body + 20);
  const bool has_offset = length == kOffsetBytes;
  switch (type) {
    case kTypeAppend:
      if (length < kAppendBytes) return BadEntry(header, "an append is too short");
      return JournalAppend{partition, incarnation, Offset(LoadBig<int64_t>(body + kCommonBytes)),
                           LeaderEpoch(LoadBig<int32_t>(body + kCommonBytes + 8)),
                           frame.Sub(at + kAppendBytes, length - kAppendBytes)};
    case kTypeTruncate:
      if (!has_offset) return BadEntry(header, "a truncation has the wrong length");
      return JournalTruncate{partition, incarnation, Offset(LoadBig<int64_t>(body + kCommonBytes))};
    case kTypeReset:
      if (!has_offset) return BadEntry(header, "a reset has the wrong length");
      return JournalReset{partition, incarnation, Offset(LoadBig<int64_t>(body + kCommonBytes))};
    case kTypeDelete:
      if (length != kCommonBytes) return BadEntry(header, "a deletion has the wrong length");
      return JournalDelete{partition, incarnation};
    default:
      return absl::UnimplementedError(
          fmt::format("journal frame {}: entry type {} is unknown: written by a newer version?",
                      header.stamp.sequence, type));
  }
}

}  // namespace

size_t JournalAppendBytes(size_t batch_bytes) {
  return kEntryHeaderBytes + kAppendBytes + batch_bytes;
}

size_t JournalEntryBytes(const JournalEntry& entry) {
  if (const auto* append = std::get_if<JournalAppend>(&entry)) {
    return JournalAppendBytes(append->bytes.size());
  }
  if (std::holds_alternative<JournalDelete>(entry)) return kEntryHeaderBytes + kCommonBytes;
  return kEntryHeaderBytes + kOffsetBytes;
}

MutableBuffer JournalChunkPool::Take() {
  if (kept_.empty()) return MutableBuffer(kJournalChunkBytes, kPageSize);
  MutableBuffer chunk = std::move(kept_.back());
  kept_.pop_back();
  return chunk;
}

void JournalChunkPool::Return(MutableBuffer chunk) {
  if (kept_.size() < kept_max_) kept_.push_back(std::move(chunk));
}

JournalFrameBuilder::JournalFrameBuilder(JournalChunkPool& pool, JournalPosition first_position)
    : pool_(&pool), first_position_(first_position) {
  chunks_.push_back(pool.Take());
}

JournalFrameBuilder::~JournalFrameBuilder() {
  for (MutableBuffer& chunk : chunks_) pool_->Return(std::move(chunk));
}

void JournalFrameBuilder::Copy(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const size_t at = bytes_ % kJournalChunkBytes;
    if (bytes_ == chunks_.size() * kJournalChunkBytes) chunks_.push_back(pool_->Take());
    const size_t length = std::min(bytes.size(), kJournalChunkBytes - at);
    uint8_t* to = chunks_.back().data() + at;
    std::memcpy(to, bytes.data(), length);
    payload_crc_ = Crc32c({to, length}, payload_crc_);  // While it is in the cache.
    bytes_ += length;
    bytes = bytes.subspan(length);
  }
}

void JournalFrameBuilder::Add(const JournalEntry& entry) {
  MR_CHECK(!sealed_);
  MR_CHECK(bytes_ + JournalEntryBytes(entry) <= kJournalFrameBytesLimit);
  Copy(std::visit(EntryHeadWriter(), entry).span());
  if (const auto* append = std::get_if<JournalAppend>(&entry)) Copy(append->bytes.span());
  ++entries_;
}

Chain JournalFrameBuilder::Seal(const JournalFrameStamp& stamp) {
  MR_CHECK(!sealed_);
  sealed_ = true;
  uint8_t* header = chunks_.front().data();
  StoreBig<uint32_t>(header, kMagic);
  StoreBig<uint16_t>(header + 4, kJournalFormat);
  StoreBig<uint16_t>(header + 6, 0);
  StoreBig<uint32_t>(header + 12, static_cast<uint32_t>(bytes_ - kJournalFrameHeaderBytes));
  StoreUuid(header + 16, stamp.generation);
  StoreBig<uint64_t>(header + 32, stamp.sequence);
  StoreBig<uint64_t>(header + 40, stamp.tail_sequence);
  StoreBig<uint64_t>(header + 48, first_position_.value());
  StoreBig<uint32_t>(header + 56, entries_);
  StoreBig<uint32_t>(header + 60, stamp.shard.value());
  uint32_t crc = Crc32c({header, kCrcAt}, payload_crc_);
  crc = Crc32c({header + kAfterCrc, kJournalFrameHeaderBytes - kAfterCrc}, crc);
  StoreBig<uint32_t>(header + kCrcAt, crc);

  const size_t in_last = bytes_ - (chunks_.size() - 1) * kJournalChunkBytes;
  // Zeros, so that no other partition's old bytes get to the disk a second time.
  std::memset(chunks_.back().data() + in_last, 0, JournalPadded(in_last) - in_last);
  Chain chain;
  for (size_t i = 0; i + 1 < chunks_.size(); ++i) {
    chain.Append(chunks_[i].Share(0, kJournalChunkBytes));
  }
  chain.Append(chunks_.back().Share(0, JournalPadded(in_last)));
  return chain;
}

std::optional<JournalFrameHeader> ParseJournalFrameHeader(std::span<const uint8_t> bytes) {
  if (bytes.size() < kJournalFrameHeaderBytes) return std::nullopt;
  const uint8_t* at = bytes.data();
  if (LoadBig<uint32_t>(at) != kMagic) return std::nullopt;
  const auto payload_bytes = LoadBig<uint32_t>(at + 12);
  if (payload_bytes > kJournalFrameBytesLimit - kJournalFrameHeaderBytes) return std::nullopt;
  return JournalFrameHeader{
      .format = LoadBig<uint16_t>(at + 4),
      .features = LoadBig<uint16_t>(at + 6),
      .crc = LoadBig<uint32_t>(at + kCrcAt),
      .payload_bytes = payload_bytes,
      .stamp = {.generation = LoadUuid(at + 16),
                .shard = ShardId(LoadBig<uint32_t>(at + 60)),
                .sequence = LoadBig<uint64_t>(at + 32),
                .tail_sequence = LoadBig<uint64_t>(at + 40)},
      .first_position = JournalPosition(LoadBig<uint64_t>(at + 48)),
      .entries = LoadBig<uint32_t>(at + 56),
  };
}

bool JournalFrameChecks(const JournalFrameHeader& header, std::span<const uint8_t> frame) {
  if (frame.size() < kJournalFrameHeaderBytes + header.payload_bytes) return false;
  uint32_t crc = Crc32c(frame.subspan(kJournalFrameHeaderBytes, header.payload_bytes));
  crc = Crc32c(frame.first(kCrcAt), crc);
  crc = Crc32c(frame.subspan(kAfterCrc, kJournalFrameHeaderBytes - kAfterCrc), crc);
  return crc == header.crc;
}

absl::StatusOr<std::vector<JournalEntry>> ParseJournalEntries(const JournalFrameHeader& header,
                                                              const Slice& frame) {
  if (header.format != kJournalFormat || header.features != 0) {
    return absl::UnimplementedError(
        fmt::format("journal frame {} has format {} with features {:#x}; this version reads {}: "
                    "written by a newer version",
                    header.stamp.sequence, header.format, header.features, kJournalFormat));
  }
  const size_t end = kJournalFrameHeaderBytes + header.payload_bytes;
  if (frame.size() < end) return BadEntry(header, "it is cut short");
  std::vector<JournalEntry> entries;
  size_t at = kJournalFrameHeaderBytes;
  while (at < end) {
    if (end - at < kEntryHeaderBytes) return BadEntry(header, "an entry's header is cut short");
    const size_t length = LoadBig<uint32_t>(frame.data() + at);
    const uint8_t type = frame[at + 4];
    at += kEntryHeaderBytes;
    if (length > end - at) return BadEntry(header, "an entry goes beyond the frame");
    absl::StatusOr<JournalEntry> entry = ParseBody(header, type, frame, at, length);
    if (!entry.ok()) return std::move(entry).status();
    entries.push_back(*std::move(entry));
    at += length;
  }
  if (entries.size() != header.entries) return BadEntry(header, "the number of entries is wrong");
  return entries;
}

}  // namespace millrace
