#include "replication/stream_frames.h"

#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "common/check.h"

namespace millrace {
namespace {

constexpr size_t kCrcAt = 8;
constexpr size_t kSubscribeBytes = 4 + 16 + 4 + 4 + 4 + 8 + 8 + 8;
constexpr size_t kDivergedBytes = 4 + 4 + 8;
constexpr size_t kOutsideBytes = 4 + 8 + 8;
constexpr size_t kHandleBytes = 4;
constexpr size_t kCreditBytes = 4;
constexpr size_t kAllowBytes = 4 + 4;
constexpr size_t kEchoBytes = 8;
constexpr size_t kEndBytes = 4 + 1;
constexpr int32_t kNoEpoch = -1;

static_assert(kStreamEntriesMax * kStreamProgressBytes <= kStreamControlBodyMax);
static_assert(kStreamStateBytes <= kStreamProgressBytes);

absl::Status Bad(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("replication stream: {}", what));
}

// Which side may send it; nothing for a type that does not exist.
struct TypeRule {
  bool of_follower;
  bool of_leader;
};
std::optional<TypeRule> RuleOf(uint8_t type) {
  switch (static_cast<StreamFrameType>(type)) {
    case StreamFrameType::kKeepAlive:
    case StreamFrameType::kEcho:
      return TypeRule{true, true};
    case StreamFrameType::kSubscribe:
    case StreamFrameType::kUnsubscribe:
    case StreamFrameType::kProgress:
    case StreamFrameType::kCredit:
    case StreamFrameType::kAllow:
      return TypeRule{true, false};
    case StreamFrameType::kAccepted:
    case StreamFrameType::kDiverged:
    case StreamFrameType::kOutside:
    case StreamFrameType::kRefused:
    case StreamFrameType::kData:
    case StreamFrameType::kState:
    case StreamFrameType::kEnded:
      return TypeRule{false, true};
  }
  return std::nullopt;
}

void StoreUuid(uint8_t* at, const Uuid& id) {
  StoreBig<uint64_t>(at, id.high());
  StoreBig<uint64_t>(at + 8, id.low());
}
Uuid LoadUuid(const uint8_t* at) { return {LoadBig<uint64_t>(at), LoadBig<uint64_t>(at + 8)}; }
StreamHandle LoadHandle(const uint8_t* at) { return StreamHandle(LoadBig<uint32_t>(at)); }

// An offset of the wire is never negative; nothing then.
std::optional<Offset> LoadOffset(const uint8_t* at) {
  const auto value = LoadBig<int64_t>(at);
  if (value < 0) return std::nullopt;
  return Offset(value);
}

std::optional<LeaderEpoch> LoadEpoch(const uint8_t* at) {
  const auto value = LoadBig<int32_t>(at);
  if (value < 0) return std::nullopt;
  return LeaderEpoch(value);
}

void StoreEpoch(uint8_t* at, const std::optional<LeaderEpoch>& epoch) {
  StoreBig<int32_t>(at, epoch.has_value() ? epoch->value() : kNoEpoch);
}

std::optional<StreamState::Entry> LoadState(const uint8_t* at) {
  const std::optional<Offset> high_watermark = LoadOffset(at + 4);
  const std::optional<Offset> log_start = LoadOffset(at + 12);
  if (!high_watermark.has_value() || !log_start.has_value()) return std::nullopt;
  return StreamState::Entry{LoadHandle(at), *high_watermark, *log_start};
}

void StoreState(uint8_t* at, const StreamState::Entry& state) {
  StoreBig<uint32_t>(at, state.handle.value());
  StoreBig<int64_t>(at + 4, state.high_watermark.value());
  StoreBig<int64_t>(at + 12, state.log_start.value());
}

// Log start, log end, durable end. Nothing when they contradict each other.
std::optional<ReplicaEnds> LoadEnds(const uint8_t* at) {
  const std::optional<Offset> start = LoadOffset(at);
  const std::optional<Offset> end = LoadOffset(at + 8);
  const std::optional<Offset> durable = LoadOffset(at + 16);
  if (!start.has_value() || !end.has_value() || !durable.has_value()) return std::nullopt;
  if (*start > *end || *durable > *end) return std::nullopt;
  return ReplicaEnds{.log_start = *start, .log_end = *end, .durable_end = *durable};
}

void StoreEnds(uint8_t* at, const ReplicaEnds& ends) {
  StoreBig<int64_t>(at, ends.log_start.value());
  StoreBig<int64_t>(at + 8, ends.log_end.value());
  StoreBig<int64_t>(at + 16, ends.durable_end.value());
}

std::optional<StreamProgress::Entry> LoadProgress(const uint8_t* at) {
  const std::optional<ReplicaEnds> ends = LoadEnds(at + 4);
  if (!ends.has_value()) return std::nullopt;
  return StreamProgress::Entry{LoadHandle(at), *ends};
}

template <typename Entry>
absl::StatusOr<std::vector<Entry>> LoadEntries(std::span<const uint8_t> body, size_t entry_bytes,
                                               std::optional<Entry> (*load)(const uint8_t*)) {
  if (body.empty() || body.size() % entry_bytes != 0) return Bad("a list is cut off");
  std::vector<Entry> entries;
  entries.reserve(body.size() / entry_bytes);
  for (size_t at = 0; at < body.size(); at += entry_bytes) {
    std::optional<Entry> entry = load(body.data() + at);
    if (!entry.has_value()) return Bad("offsets that cannot be");
    entries.push_back(*entry);
  }
  return entries;
}

absl::StatusOr<StreamSubscribe> ParseSubscribe(std::span<const uint8_t> body) {
  if (body.size() != kSubscribeBytes) return Bad("a Subscribe of the wrong length");
  const uint8_t* at = body.data();
  const auto partition = LoadBig<int32_t>(at + 20);
  const std::optional<LeaderEpoch> epoch = LoadEpoch(at + 24);
  const std::optional<ReplicaEnds> ends = LoadEnds(at + 32);
  if (partition < 0 || !epoch.has_value() || !ends.has_value()) {
    return Bad("a Subscribe that cannot be");
  }
  return StreamSubscribe{LoadHandle(at),
                         {LoadUuid(at + 4), PartitionId(partition)},
                         {*epoch, LoadEpoch(at + 28), *ends}};
}

struct HandleAndEnd {
  StreamHandle handle;
  StreamEnd why;
};
absl::StatusOr<HandleAndEnd> ParseEnd(std::span<const uint8_t> body) {
  if (body.size() != kEndBytes) return Bad("an end of the wrong length");
  const uint8_t why = body[4];
  if (why < static_cast<uint8_t>(StreamEnd::kNotLeader) ||
      why > static_cast<uint8_t>(StreamEnd::kInvalid)) {
    return Bad("an end for an unknown reason");
  }
  return HandleAndEnd{LoadHandle(body.data()), static_cast<StreamEnd>(why)};
}

// Whether the checksum of the head is that of the frame.
bool Checks(const StreamHead& head, std::span<const uint8_t> head_bytes,
            std::span<const uint8_t> body) {
  return body.size() == head.control_bytes() &&
         Crc32c(body, Crc32c(head_bytes.first(kCrcAt))) == head.crc;
}

}  // namespace

absl::StatusOr<StreamHead> ParseStreamHead(std::span<const uint8_t> bytes, StreamSide from,
                                           size_t data_bytes_max) {
  MR_CHECK(bytes.size() >= kStreamHeadBytes);
  const size_t body_bytes = LoadBig<uint32_t>(bytes.data());
  const uint8_t type = bytes[4];
  const std::optional<TypeRule> rule = RuleOf(type);
  const bool known =
      rule.has_value() && (from == StreamSide::kFollower ? rule->of_follower : rule->of_leader);
  if (!known || bytes[5] != 0 || bytes[6] != 0 || bytes[7] != 0) {
    return Bad(fmt::format("a frame of type {} was not expected", type));
  }
  StreamHead head{static_cast<StreamFrameType>(type), body_bytes,
                  LoadBig<uint32_t>(bytes.data() + kCrcAt)};
  const bool data = head.type == StreamFrameType::kData;
  const size_t most = data ? data_bytes_max : kStreamControlBodyMax;
  if (body_bytes > most || (data && body_bytes <= kStreamStateBytes)) {
    return Bad(fmt::format("a frame of type {} of {} bytes", type, body_bytes));
  }
  return head;
}

absl::StatusOr<FollowerFrame> ParseFollowerFrame(const StreamHead& head,
                                                 std::span<const uint8_t> head_bytes,
                                                 std::span<const uint8_t> body) {
  if (!Checks(head, head_bytes, body)) return Bad("a frame fails its checksum");
  switch (head.type) {
    case StreamFrameType::kKeepAlive:
      if (!body.empty()) return Bad("a KeepAlive of the wrong length");
      return StreamKeepAlive();
    case StreamFrameType::kEcho:
      if (body.size() != kEchoBytes) return Bad("an Echo of the wrong length");
      return StreamEcho{LoadBig<uint64_t>(body.data())};
    case StreamFrameType::kSubscribe:
      return ParseSubscribe(body);
    case StreamFrameType::kUnsubscribe:
      if (body.size() != kHandleBytes) return Bad("an Unsubscribe of the wrong length");
      return StreamUnsubscribe{LoadHandle(body.data())};
    case StreamFrameType::kProgress: {
      auto entries = LoadEntries(body, kStreamProgressBytes, &LoadProgress);
      if (!entries.ok()) return entries.status();
      return StreamProgress{*std::move(entries)};
    }
    case StreamFrameType::kCredit:
      if (body.size() != kCreditBytes) return Bad("a Credit of the wrong length");
      return StreamCredit{LoadBig<uint32_t>(body.data())};
    case StreamFrameType::kAllow:
      if (body.size() != kAllowBytes) return Bad("an Allow of the wrong length");
      return StreamAllow{LoadHandle(body.data()), LoadBig<uint32_t>(body.data() + 4)};
    default:
      return Bad("a leader's frame from a follower");
  }
}

absl::StatusOr<LeaderFrame> ParseLeaderFrame(const StreamHead& head,
                                             std::span<const uint8_t> head_bytes,
                                             std::span<const uint8_t> body) {
  if (!Checks(head, head_bytes, body)) return Bad("a frame fails its checksum");
  switch (head.type) {
    case StreamFrameType::kKeepAlive:
      if (!body.empty()) return Bad("a KeepAlive of the wrong length");
      return StreamKeepAlive();
    case StreamFrameType::kEcho:
      if (body.size() != kEchoBytes) return Bad("an Echo of the wrong length");
      return StreamEcho{LoadBig<uint64_t>(body.data())};
    case StreamFrameType::kAccepted:
    case StreamFrameType::kData: {
      if (body.size() != kStreamStateBytes) return Bad("a state of the wrong length");
      const auto state = LoadState(body.data());
      if (!state.has_value()) return Bad("a negative offset");
      if (head.type == StreamFrameType::kAccepted) return StreamAccepted{*state};
      return StreamDataHead{*state, head.body_bytes - kStreamStateBytes};
    }
    case StreamFrameType::kDiverged: {
      if (body.size() != kDivergedBytes) return Bad("a Diverged of the wrong length");
      const std::optional<LeaderEpoch> epoch = LoadEpoch(body.data() + 4);
      const std::optional<Offset> end = LoadOffset(body.data() + 8);
      if (!epoch.has_value() || !end.has_value()) return Bad("a negative number in a Diverged");
      return StreamDiverged{LoadHandle(body.data()), {*epoch, *end}};
    }
    case StreamFrameType::kOutside: {
      if (body.size() != kOutsideBytes) return Bad("an Outside of the wrong length");
      const std::optional<Offset> start = LoadOffset(body.data() + 4);
      const std::optional<Offset> end = LoadOffset(body.data() + 12);
      if (!start.has_value() || !end.has_value() || *start > *end) {
        return Bad("an Outside that cannot be");
      }
      return StreamOutside{LoadHandle(body.data()), {*start, *end}};
    }
    case StreamFrameType::kRefused:
    case StreamFrameType::kEnded: {
      const auto end = ParseEnd(body);
      if (!end.ok()) return end.status();
      if (head.type == StreamFrameType::kRefused) return StreamRefused{end->handle, end->why};
      return StreamEnded{end->handle, end->why};
    }
    case StreamFrameType::kState: {
      auto entries = LoadEntries(body, kStreamStateBytes, &LoadState);
      if (!entries.ok()) return entries.status();
      return StreamState{*std::move(entries)};
    }
    default:
      return Bad("a follower's frame from a leader");
  }
}

uint8_t* StreamFrameWriter::Begin(StreamFrameType type, size_t control, size_t batches) {
  frame_at_ = open_.size();
  open_.resize(frame_at_ + kStreamHeadBytes + control);
  uint8_t* head = open_.data() + frame_at_;
  StoreBig<uint32_t>(head, static_cast<uint32_t>(control + batches));
  head[4] = static_cast<uint8_t>(type);
  return head + kStreamHeadBytes;
}

void StreamFrameWriter::Finish(size_t control) {
  uint8_t* head = open_.data() + frame_at_;
  const uint32_t crc = Crc32c({head + kStreamHeadBytes, control}, Crc32c({head, kCrcAt}));
  StoreBig<uint32_t>(head + kCrcAt, crc);
}

void StreamFrameWriter::Add(const StreamKeepAlive&) {
  Begin(StreamFrameType::kKeepAlive, 0);
  Finish(0);
}

void StreamFrameWriter::Add(const StreamEcho& frame) {
  StoreBig<uint64_t>(Begin(StreamFrameType::kEcho, kEchoBytes), frame.number);
  Finish(kEchoBytes);
}

void StreamFrameWriter::Add(const StreamSubscribe& frame) {
  uint8_t* at = Begin(StreamFrameType::kSubscribe, kSubscribeBytes);
  StoreBig<uint32_t>(at, frame.handle.value());
  StoreUuid(at + 4, frame.id.topic_id);
  StoreBig<int32_t>(at + 20, frame.id.partition.value());
  StoreBig<int32_t>(at + 24, frame.hello.leader_epoch.value());
  StoreEpoch(at + 28, frame.hello.last_epoch);
  StoreEnds(at + 32, frame.hello.ends);
  Finish(kSubscribeBytes);
}

void StreamFrameWriter::Add(const StreamUnsubscribe& frame) {
  StoreBig<uint32_t>(Begin(StreamFrameType::kUnsubscribe, kHandleBytes), frame.handle.value());
  Finish(kHandleBytes);
}

void StreamFrameWriter::Add(std::span<const StreamProgress::Entry> entries) {
  while (!entries.empty()) {
    const auto some = entries.first(std::min(entries.size(), kStreamEntriesMax));
    const size_t bytes = some.size() * kStreamProgressBytes;
    uint8_t* at = Begin(StreamFrameType::kProgress, bytes);
    for (const StreamProgress::Entry& entry : some) {
      StoreBig<uint32_t>(at, entry.handle.value());
      StoreEnds(at + 4, entry.ends);
      at += kStreamProgressBytes;
    }
    Finish(bytes);
    entries = entries.subspan(some.size());
  }
}

void StreamFrameWriter::Add(const StreamCredit& frame) {
  StoreBig<uint32_t>(Begin(StreamFrameType::kCredit, kCreditBytes), frame.bytes);
  Finish(kCreditBytes);
}

void StreamFrameWriter::Add(const StreamAllow& frame) {
  uint8_t* at = Begin(StreamFrameType::kAllow, kAllowBytes);
  StoreBig<uint32_t>(at, frame.handle.value());
  StoreBig<uint32_t>(at + 4, frame.bytes);
  Finish(kAllowBytes);
}

void StreamFrameWriter::Add(const StreamAccepted& frame) {
  StoreState(Begin(StreamFrameType::kAccepted, kStreamStateBytes), frame.state);
  Finish(kStreamStateBytes);
}

void StreamFrameWriter::Add(const StreamDiverged& frame) {
  uint8_t* at = Begin(StreamFrameType::kDiverged, kDivergedBytes);
  StoreBig<uint32_t>(at, frame.handle.value());
  StoreBig<int32_t>(at + 4, frame.answer.epoch.value());
  StoreBig<int64_t>(at + 8, frame.answer.end_offset.value());
  Finish(kDivergedBytes);
}

void StreamFrameWriter::Add(const StreamOutside& frame) {
  uint8_t* at = Begin(StreamFrameType::kOutside, kOutsideBytes);
  StoreBig<uint32_t>(at, frame.handle.value());
  StoreBig<int64_t>(at + 4, frame.answer.start.value());
  StoreBig<int64_t>(at + 12, frame.answer.end.value());
  Finish(kOutsideBytes);
}

void StreamFrameWriter::AddEnd(StreamFrameType type, StreamHandle handle, StreamEnd why) {
  uint8_t* at = Begin(type, kEndBytes);
  StoreBig<uint32_t>(at, handle.value());
  at[4] = static_cast<uint8_t>(why);
  Finish(kEndBytes);
}

void StreamFrameWriter::Add(const StreamRefused& frame) {
  AddEnd(StreamFrameType::kRefused, frame.handle, frame.why);
}

void StreamFrameWriter::Add(const StreamEnded& frame) {
  AddEnd(StreamFrameType::kEnded, frame.handle, frame.why);
}

void StreamFrameWriter::Add(std::span<const StreamState::Entry> entries) {
  while (!entries.empty()) {
    const auto some = entries.first(std::min(entries.size(), kStreamEntriesMax));
    const size_t bytes = some.size() * kStreamStateBytes;
    uint8_t* at = Begin(StreamFrameType::kState, bytes);
    for (const StreamState::Entry& entry : some) {
      StoreState(at, entry);
      at += kStreamStateBytes;
    }
    Finish(bytes);
    entries = entries.subspan(some.size());
  }
}

void StreamFrameWriter::AddData(const StreamState::Entry& state, Chain batches) {
  MR_CHECK(!batches.empty());
  StoreState(Begin(StreamFrameType::kData, kStreamStateBytes, batches.size()), state);
  Finish(kStreamStateBytes);
  Seal();
  sealed_.Append(std::move(batches));
}

void StreamFrameWriter::Seal() {
  if (open_.empty()) return;
  sealed_.Append(Slice::Copy(open_));
  open_.clear();
}

Chain StreamFrameWriter::Take() {
  Seal();
  return std::exchange(sealed_, Chain());
}

}  // namespace millrace
