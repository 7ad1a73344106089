#include "test/sim/history.h"

#include <algorithm>

#include "test/sim/checkers.h"

namespace millrace::simtest {

History::History(Promises promises) {
  if (promises.survives_power_loss) {
    checkers_.push_back(std::make_unique<AcknowledgedIsReadable>());
    checkers_.push_back(std::make_unique<OneValuePerOffset>());
    checkers_.push_back(std::make_unique<HighWatermarkNeverRegresses>());
    checkers_.push_back(std::make_unique<WhatWasReadStays>());
    checkers_.push_back(std::make_unique<ReadsAreMonotonic>());
  }
  checkers_.push_back(std::make_unique<OnlyWhatWasSentIsRead>());
  checkers_.push_back(std::make_unique<OneOwnerPerGeneration>());
  checkers_.push_back(std::make_unique<StaleGenerationCommitsNothing>());
  checkers_.push_back(std::make_unique<CommittedPositionNeverGoesBack>());
  checkers_.push_back(std::make_unique<ReplicasAreIdentical>());
  if (promises.idempotent) {
    checkers_.push_back(std::make_unique<NoDuplicatePerSequence>());
    checkers_.push_back(std::make_unique<OneOffsetPerValue>());
    checkers_.push_back(std::make_unique<ProducerOrderIsKept>());
  }
}

History::~History() = default;

void History::Sent(const TopicPartition& partition, SentValue value) {
  ++sent_;
  for (auto& checker : checkers_) checker->OnSent(partition, value);
}

void History::Acknowledged(const TopicPartition& partition, int64_t offset, SentValue value) {
  ++acknowledged_;
  int64_t& end = acknowledged_ends_[partition];
  end = std::max(end, offset + 1);
  for (auto& checker : checkers_) checker->OnAcknowledged(partition, offset, value);
}

void History::Seek(int consumer, const TopicPartition& partition, int64_t offset) {
  for (auto& checker : checkers_) checker->OnSeek(consumer, partition, offset);
}

void History::Read(int consumer, const TopicPartition& partition, const ReadRecord& record) {
  ++read_;
  for (auto& checker : checkers_) checker->OnRead(consumer, partition, record);
}

void History::HighWatermark(int consumer, const TopicPartition& partition, int64_t high_watermark) {
  for (auto& checker : checkers_) checker->OnHighWatermark(consumer, partition, high_watermark);
}

void History::FinalLog(int replica, const TopicPartition& partition,
                       const std::vector<ReadRecord>& records) {
  for (auto& checker : checkers_) checker->OnFinalLog(replica, partition, records);
}

void History::Assigned(int32_t generation, const std::string& member,
                       const TopicPartition& partition) {
  for (auto& checker : checkers_) checker->OnAssigned(generation, member, partition);
}

int64_t History::CommitSent(const TopicPartition& partition, int32_t generation) {
  const int64_t position = next_position_++;
  for (auto& checker : checkers_) checker->OnCommitSent(partition, position, generation);
  return position;
}

void History::CommitAcknowledged(const TopicPartition& partition, int64_t position) {
  ++committed_;
  int64_t& floor = floors_.try_emplace(partition, -1).first->second;
  floor = std::max(floor, position);
  for (auto& checker : checkers_) checker->OnCommitAcknowledged(partition, position);
}

int64_t History::CommitFloor(const TopicPartition& partition) const {
  auto found = floors_.find(partition);
  return found == floors_.end() ? -1 : found->second;
}

void History::PositionTold(const TopicPartition& partition, int64_t position, int64_t floor) {
  for (auto& checker : checkers_) checker->OnPositionTold(partition, position, floor);
  // What was told is committed.
  int64_t& known = floors_.try_emplace(partition, -1).first->second;
  known = std::max(known, position);
}

int64_t History::AcknowledgedEnd(const TopicPartition& partition) const {
  auto found = acknowledged_ends_.find(partition);
  return found == acknowledged_ends_.end() ? 0 : found->second;
}

std::vector<std::string> History::Finish() {
  std::vector<std::string> violations = wrong_;
  for (auto& checker : checkers_) {
    checker->AtEnd();
    for (const std::string& violation : checker->violations()) {
      violations.push_back(fmt::format("NOT TRUE: {}: {}", checker->sentence(), violation));
    }
  }
  return violations;
}

}  // namespace millrace::simtest
