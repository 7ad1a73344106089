// The strong types of the project: one per kind of number, so that the compiler keeps them apart.
//
// Wire sentinels (-1, zero uuid) become std::nullopt at the edge and never reach these types. There
// is one offset space; a Raft index is another type without a cast to it. Ranges are half open,
// [begin, end).
#pragma once

#include <cstdint>

#include "common/strong.h"
#include "common/uuid.h"

namespace millrace {

// A distance between two offsets of one partition.
class OffsetDelta {
 public:
  constexpr explicit OffsetDelta(int64_t value) : value_(value) {}
  constexpr int64_t value() const { return value_; }
  friend constexpr auto operator<=>(OffsetDelta, OffsetDelta) = default;

 private:
  int64_t value_;
};

// A record's place in a partition's log: 0, 1, 2, ...
class Offset {
 public:
  constexpr explicit Offset(int64_t value) : value_(value) {}
  constexpr int64_t value() const { return value_; }
  friend constexpr auto operator<=>(Offset, Offset) = default;
  friend constexpr Offset operator+(Offset o, OffsetDelta d) {
    return Offset(o.value_ + d.value());
  }
  friend constexpr Offset operator-(Offset o, OffsetDelta d) {
    return Offset(o.value_ - d.value());
  }
  friend constexpr OffsetDelta operator-(Offset a, Offset b) {
    return OffsetDelta(a.value_ - b.value_);
  }

  template <typename H>
  friend H AbslHashValue(H state, Offset o) {
    return H::combine(std::move(state), o.value_);
  }

 private:
  int64_t value_;
};

using TopicId = Uuid;
using ClusterId = Uuid;    // Kafka lets it be any string; ours are uuids, others are kept as text.
using DirectoryId = Uuid;  // One per log directory (KIP-858).
using IncarnationId = Uuid;  // One per process start or replica creation.

using PartitionId = StrongId<struct PartitionIdTag, int32_t>;
using BrokerId = StrongId<struct BrokerIdTag, int32_t>;
using BrokerEpoch = StrongId<struct BrokerEpochTag, int64_t>;
using LeaderEpoch = StrongId<struct LeaderEpochTag, int32_t>;
using PartitionEpoch = StrongId<struct PartitionEpochTag, int32_t>;
using ProducerId = StrongId<struct ProducerIdTag, int64_t>;
using ProducerEpoch = StrongId<struct ProducerEpochTag, int16_t>;
using Sequence = StrongId<struct SequenceTag, int32_t>;  // Wraps from 2147483647 to 0.
using RaftTerm = StrongId<struct RaftTermTag, int64_t>;
using RaftIndex = StrongId<struct RaftIndexTag, int64_t>;
using ShardId = StrongId<struct ShardIdTag, uint32_t>;

// Identifies a partition for as long as its topic lives; a topic created again has another id.
struct TopicPartitionId {
  TopicId topic_id;
  PartitionId partition;
  friend constexpr auto operator<=>(const TopicPartitionId&, const TopicPartitionId&) = default;

  template <typename H>
  friend H AbslHashValue(H state, const TopicPartitionId& id) {
    return H::combine(std::move(state), id.topic_id, id.partition);
  }
};

}  // namespace millrace

template <>
struct std::hash<millrace::TopicPartitionId> {
  size_t operator()(const millrace::TopicPartitionId& id) const {
    return std::hash<millrace::Uuid>()(id.topic_id) * 31 +
           static_cast<size_t>(id.partition.value());
  }
};

template <>
struct fmt::formatter<millrace::Offset> : millrace::PlainFormatter {
  static auto format(millrace::Offset offset, fmt::format_context& context) {
    return Write(offset.value(), context);
  }
};

template <>
struct fmt::formatter<millrace::OffsetDelta> : millrace::PlainFormatter {
  static auto format(millrace::OffsetDelta delta, fmt::format_context& context) {
    return Write(delta.value(), context);
  }
};
