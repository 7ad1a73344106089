#include "test/sim/checkers.h"

#include <algorithm>
#include <charconv>

namespace millrace::simtest {

std::optional<SentValue> ParseSentValue(const std::string& text) {
  SentValue value{0, 0};
  const char* const end = text.data() + text.size();
  auto [slash, error] = std::from_chars(text.data(), end, value.producer);
  if (error != std::errc() || slash == end || *slash != '/') return std::nullopt;
  auto [rest, number_error] = std::from_chars(slash + 1, end, value.number);
  if (number_error != std::errc()) return std::nullopt;
  // Behind the number only padding.
  if (std::any_of(rest, end, [](char c) { return c != '.'; })) return std::nullopt;
  return value;
}

void AcknowledgedIsReadable::OnAcknowledged(const TopicPartition& partition, int64_t offset,
                                            SentValue value) {
  acknowledged_[partition].emplace(offset, value);
}

void AcknowledgedIsReadable::OnFinalLog(int replica, const TopicPartition& partition,
                                        const std::vector<ReadRecord>& records) {
  seen_.insert(partition);
  std::map<int64_t, SentValue> log;
  for (const ReadRecord& record : records) log.emplace(record.offset, record.value);
  for (const auto& [offset, value] : acknowledged_[partition]) {
    auto found = log.find(offset);
    if (found == log.end()) {
      Violated("{}: {} was acknowledged at {} and is gone on replica {} (log ends at {})",
               partition.ToString(), value.ToString(), offset, replica,
               log.empty() ? 0 : log.rbegin()->first + 1);
    } else if (found->second != value) {
      Violated("{}: {} was acknowledged at {}, where replica {} has {}", partition.ToString(),
               value.ToString(), offset, replica, found->second.ToString());
    }
  }
}

void AcknowledgedIsReadable::AtEnd() {
  for (const auto& [partition, values] : acknowledged_) {
    if (!values.empty() && !seen_.contains(partition)) {
      Violated("{}: could not be read at the end", partition.ToString());
    }
  }
}

void OneValuePerOffset::Learn(const TopicPartition& partition, int64_t offset, SentValue value,
                              const char* how) {
  auto [known, is_new] = values_.emplace(Place{partition, offset}, value);
  if (!is_new && known->second != value) {
    Violated("{}: offset {} was {} and is now {} ({})", partition.ToString(), offset,
             known->second.ToString(), value.ToString(), how);
  }
}

void OneValuePerOffset::OnAcknowledged(const TopicPartition& partition, int64_t offset,
                                       SentValue value) {
  Learn(partition, offset, value, "acknowledged");
}

void OneValuePerOffset::OnRead(int, const TopicPartition& partition, const ReadRecord& record) {
  Learn(partition, record.offset, record.value, "read");
}

void OneValuePerOffset::OnFinalLog(int, const TopicPartition& partition,
                                   const std::vector<ReadRecord>& records) {
  for (const ReadRecord& record : records) {
    Learn(partition, record.offset, record.value, "at the end");
  }
}

void OneOffsetPerValue::Learn(const TopicPartition& partition, int64_t offset, SentValue value) {
  auto [known, is_new] = offsets_.emplace(std::pair(partition, value), offset);
  if (!is_new && known->second != offset) {
    Violated("{}: {} is at {} and at {}", partition.ToString(), value.ToString(), known->second,
             offset);
  }
}

void OneOffsetPerValue::OnAcknowledged(const TopicPartition& partition, int64_t offset,
                                       SentValue value) {
  Learn(partition, offset, value);
}

void OneOffsetPerValue::OnFinalLog(int, const TopicPartition& partition,
                                   const std::vector<ReadRecord>& records) {
  for (const ReadRecord& record : records) Learn(partition, record.offset, record.value);
}

void HighWatermarkNeverRegresses::OnHighWatermark(int consumer, const TopicPartition& partition,
                                                  int64_t value) {
  auto [seen, is_new] = seen_.emplace(std::pair(consumer, partition), value);
  if (value < seen->second) {
    Violated("{}: consumer {} saw {} after {}", partition.ToString(), consumer, value,
             seen->second);
  }
  seen->second = std::max(seen->second, value);
}

void WhatWasReadStays::OnRead(int, const TopicPartition& partition, const ReadRecord& record) {
  read_[partition].emplace(record.offset, record.value);
}

void WhatWasReadStays::OnFinalLog(int replica, const TopicPartition& partition,
                                  const std::vector<ReadRecord>& records) {
  std::set<int64_t> offsets;
  for (const ReadRecord& record : records) offsets.insert(record.offset);
  for (const auto& [offset, value] : read_[partition]) {
    if (!offsets.contains(offset)) {
      Violated("{}: {} was read at {} and is gone on replica {}", partition.ToString(),
               value.ToString(), offset, replica);
    }
  }
}

void OnlyWhatWasSentIsRead::OnSent(const TopicPartition& partition, SentValue value) {
  sent_.emplace(partition, value);
}

void OnlyWhatWasSentIsRead::OnRead(int consumer, const TopicPartition& partition,
                                   const ReadRecord& record) {
  if (!sent_.contains({partition, record.value})) {
    Violated("{}: consumer {} read {} at {}, which nobody sent there", partition.ToString(),
             consumer, record.value.ToString(), record.offset);
  }
}

void ReadsAreMonotonic::OnSeek(int consumer, const TopicPartition& partition, int64_t offset) {
  next_[{consumer, partition}] = offset;
}

void ReadsAreMonotonic::OnRead(int consumer, const TopicPartition& partition,
                               const ReadRecord& record) {
  int64_t& next = next_[{consumer, partition}];
  if (record.offset != next) {
    Violated("{}: consumer {} got {} where {} was next", partition.ToString(), consumer,
             record.offset, next);
  }
  next = record.offset + 1;
}

void ReplicasAreIdentical::OnFinalLog(int replica, const TopicPartition& partition,
                                      const std::vector<ReadRecord>& records) {
  std::vector<std::pair<int64_t, SentValue>> log;
  for (const ReadRecord& record : records) log.emplace_back(record.offset, record.value);
  auto [first, is_new] = first_.emplace(partition, log);
  if (!is_new && first->second != log) {
    Violated("{}: replica {} has {} records, another {}, or others", partition.ToString(), replica,
             log.size(), first->second.size());
  }
}

void NoDuplicatePerSequence::OnFinalLog(int, const TopicPartition& partition,
                                        const std::vector<ReadRecord>& records) {
  std::map<std::tuple<int64_t, int16_t, int32_t>, int64_t> seen;
  for (const ReadRecord& record : records) {
    if (record.producer_id < 0) continue;
    auto [known, is_new] = seen.emplace(
        std::tuple(record.producer_id, record.producer_epoch, record.sequence), record.offset);
    if (!is_new) {
      Violated("{}: sequence {} of producer {} is at {} and at {}", partition.ToString(),
               record.sequence, record.producer_id, known->second, record.offset);
    }
  }
}

void ProducerOrderIsKept::OnFinalLog(int, const TopicPartition& partition,
                                     const std::vector<ReadRecord>& records) {
  std::map<int, uint64_t> last;
  for (const ReadRecord& record : records) {
    auto [known, is_new] = last.emplace(record.value.producer, record.value.number);
    if (!is_new && record.value.number <= known->second) {
      Violated("{}: {} stands behind {}/{}", partition.ToString(), record.value.ToString(),
               record.value.producer, known->second);
    }
    known->second = std::max(known->second, record.value.number);
  }
}

void OneOwnerPerGeneration::OnAssigned(int32_t generation, const std::string& member,
                                       const TopicPartition& partition) {
  auto [owner, first] = owners_.try_emplace({generation, partition}, member);
  if (first || owner->second == member) return;
  Violated("{} of generation {} was given to {} and to {}", partition.ToString(), generation,
           owner->second, member);
}

void StaleGenerationCommitsNothing::OnAssigned(int32_t generation, const std::string&,
                                               const TopicPartition&) {
  newest_ = std::max(newest_, generation);
}

void StaleGenerationCommitsNothing::OnCommitSent(const TopicPartition& partition, int64_t position,
                                                 int32_t generation) {
  if (generation >= newest_) return;
  stale_.emplace(std::pair(partition, position), Stale{generation, newest_});
}

void StaleGenerationCommitsNothing::OnCommitAcknowledged(const TopicPartition& partition,
                                                         int64_t position) {
  const auto stale = stale_.find({partition, position});
  if (stale == stale_.end()) return;
  Violated("{}: generation {} committed {}, and generation {} was under way", partition.ToString(),
           stale->second.generation, position, stale->second.newest);
}

void CommittedPositionNeverGoesBack::OnCommitSent(const TopicPartition& partition, int64_t position,
                                                  int32_t) {
  sent_.emplace(partition, position);
}

void CommittedPositionNeverGoesBack::OnPositionTold(const TopicPartition& partition,
                                                    int64_t position, int64_t floor) {
  if (position < floor) {
    Violated("{}: position {} was acknowledged, {} is told", partition.ToString(), floor, position);
  } else if (position >= 0 && !sent_.contains({partition, position})) {
    Violated("{}: position {} is told, which nobody committed", partition.ToString(), position);
  }
}

}  // namespace millrace::simtest
