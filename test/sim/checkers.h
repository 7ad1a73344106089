// The properties of RELIABILITY §A that clients can see, one class each.
//
// Shard: the one thread of the simulation. Bound: what a story's clients sent and read.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "test/sim/history.h"

namespace millrace::simtest {

using Place = std::pair<TopicPartition, int64_t>;

// P1, P2.
class AcknowledgedIsReadable final : public Checker {
 public:
  const char* sentence() const override { return "an acknowledged record can be read for ever"; }
  void OnAcknowledged(const TopicPartition& partition, int64_t offset, SentValue value) override;
  void OnFinalLog(int replica, const TopicPartition& partition,
                  const std::vector<ReadRecord>& records) override;
  void AtEnd() override;

 private:
  std::map<TopicPartition, std::map<int64_t, SentValue>> acknowledged_;
  std::set<TopicPartition> seen_;
};

// P3, P4.
class OneValuePerOffset final : public Checker {
 public:
  const char* sentence() const override {
    return "an offset has one value, for every reader and for the producer, ever";
  }
  void OnAcknowledged(const TopicPartition& partition, int64_t offset, SentValue value) override;
  void OnRead(int consumer, const TopicPartition& partition, const ReadRecord& record) override;
  void OnFinalLog(int replica, const TopicPartition& partition,
                  const std::vector<ReadRecord>& records) override;

 private:
  void Learn(const TopicPartition& partition, int64_t offset, SentValue value, const char* how);
  std::map<Place, SentValue> values_;
};

// P4, P14: also for retries whose first answer was lost.
class OneOffsetPerValue final : public Checker {
 public:
  const char* sentence() const override {
    return "a value is at one offset, the acknowledged one: retries do not double it";
  }
  void OnAcknowledged(const TopicPartition& partition, int64_t offset, SentValue value) override;
  void OnFinalLog(int replica, const TopicPartition& partition,
                  const std::vector<ReadRecord>& records) override;

 private:
  void Learn(const TopicPartition& partition, int64_t offset, SentValue value);
  std::map<std::pair<TopicPartition, SentValue>, int64_t> offsets_;
};

// P5.
class HighWatermarkNeverRegresses final : public Checker {
 public:
  const char* sentence() const override { return "a high watermark never goes back"; }
  void OnHighWatermark(int consumer, const TopicPartition& partition, int64_t value) override;

 private:
  std::map<std::pair<int, TopicPartition>, int64_t> seen_;
};

// P6.
class WhatWasReadStays final : public Checker {
 public:
  const char* sentence() const override { return "what was read never vanishes"; }
  void OnRead(int consumer, const TopicPartition& partition, const ReadRecord& record) override;
  void OnFinalLog(int replica, const TopicPartition& partition,
                  const std::vector<ReadRecord>& records) override;

 private:
  std::map<TopicPartition, std::map<int64_t, SentValue>> read_;
};

// P6: nothing above the high watermark is served, nothing nobody sent is served.
class OnlyWhatWasSentIsRead final : public Checker {
 public:
  const char* sentence() const override { return "a record that is read was sent by a producer"; }
  void OnSent(const TopicPartition& partition, SentValue value) override;
  void OnRead(int consumer, const TopicPartition& partition, const ReadRecord& record) override;

 private:
  std::set<std::pair<TopicPartition, SentValue>> sent_;
};

// P7.
class ReadsAreMonotonic final : public Checker {
 public:
  const char* sentence() const override {
    return "a consumer reads each offset once, in order, without skips";
  }
  void OnSeek(int consumer, const TopicPartition& partition, int64_t offset) override;
  void OnRead(int consumer, const TopicPartition& partition, const ReadRecord& record) override;

 private:
  std::map<std::pair<int, TopicPartition>, int64_t> next_;
};

// P8.
class ReplicasAreIdentical final : public Checker {
 public:
  const char* sentence() const override { return "at rest all replicas have the same records"; }
  void OnFinalLog(int replica, const TopicPartition& partition,
                  const std::vector<ReadRecord>& records) override;

 private:
  std::map<TopicPartition, std::vector<std::pair<int64_t, SentValue>>> first_;
};

// P14.
class NoDuplicatePerSequence final : public Checker {
 public:
  const char* sentence() const override {
    return "a producer's id, epoch and sequence stand for one record";
  }
  void OnFinalLog(int replica, const TopicPartition& partition,
                  const std::vector<ReadRecord>& records) override;
};

// P15.
class ProducerOrderIsKept final : public Checker {
 public:
  const char* sentence() const override {
    return "a producer's records are in the order in which it sent them";
  }
  void OnFinalLog(int replica, const TopicPartition& partition,
                  const std::vector<ReadRecord>& records) override;
};

// P25.
class OneOwnerPerGeneration final : public Checker {
 public:
  const char* sentence() const override {
    return "a partition has one owner in a generation of a group";
  }
  void OnAssigned(int32_t generation, const std::string& member,
                  const TopicPartition& partition) override;

 private:
  std::map<std::pair<int32_t, TopicPartition>, std::string> owners_;
};

// P26. Whoever commits must be in a generation of which nobody has seen the successor yet.
class StaleGenerationCommitsNothing final : public Checker {
 public:
  const char* sentence() const override {
    return "a commit of a generation that had ended when it was sent is not acknowledged";
  }
  void OnAssigned(int32_t generation, const std::string& member,
                  const TopicPartition& partition) override;
  void OnCommitSent(const TopicPartition& partition, int64_t position, int32_t generation) override;
  void OnCommitAcknowledged(const TopicPartition& partition, int64_t position) override;

 private:
  struct Stale {
    int32_t generation;
    int32_t newest;  // That a member had been given partitions in.
  };
  int32_t newest_ = -1;
  std::map<std::pair<TopicPartition, int64_t>, Stale> stale_;
};

// P26, P27: what was acknowledged stays, and whoever has lost a partition does not move it.
class CommittedPositionNeverGoesBack final : public Checker {
 public:
  const char* sentence() const override {
    return "a group's position is the last one that was acknowledged, or one that was sent since";
  }
  void OnCommitSent(const TopicPartition& partition, int64_t position, int32_t generation) override;
  void OnPositionTold(const TopicPartition& partition, int64_t position, int64_t floor) override;

 private:
  std::set<std::pair<TopicPartition, int64_t>> sent_;
};

}  // namespace millrace::simtest
