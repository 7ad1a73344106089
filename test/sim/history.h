// History: everything the clients of one simulated story saw, told to the checkers as it happens.
//
// Shard:    the one thread of the simulation. Calls come in the order in which clients learned
//           things.
// Lifetime: owned by the story; its checkers live in it.
#pragma once

#include <fmt/format.h>

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace millrace::simtest {

struct TopicPartition {
  std::string topic;
  int32_t partition;
  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
  std::string ToString() const { return fmt::format("{}-{}", topic, partition); }
};

// What one record is known by. Values are unique in a story: "<producer>/<number>", the number
// counting per producer and partition.
struct SentValue {
  int producer;
  uint64_t number;
  friend auto operator<=>(const SentValue&, const SentValue&) = default;
  std::string ToString() const { return fmt::format("{}/{}", producer, number); }
};

// Nothing when `text` is no value of ours.
std::optional<SentValue> ParseSentValue(const std::string& text);

// A record as a consumer got it.
struct ReadRecord {
  int64_t offset;
  SentValue value;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  int32_t sequence = -1;
};

// One property, as a class whose name is a sentence. Says what broke it, never stops the story.
class Checker {
 public:
  virtual ~Checker() = default;
  virtual const char* sentence() const = 0;

  // The producer is about to send it, for the first time: from now on it may be in the log.
  virtual void OnSent(const TopicPartition&, SentValue) {}
  // The broker said that it is at `offset`.
  virtual void OnAcknowledged(const TopicPartition&, int64_t /*offset*/, SentValue) {}
  // Consumer `consumer` began to read at `offset`, and expects every one from there.
  virtual void OnSeek(int /*consumer*/, const TopicPartition&, int64_t /*offset*/) {}
  virtual void OnRead(int /*consumer*/, const TopicPartition&, const ReadRecord&) {}
  virtual void OnHighWatermark(int /*consumer*/, const TopicPartition&, int64_t) {}
  // At rest, everything healed: the whole log, as replica `replica` has it.
  virtual void OnFinalLog(int /*replica*/, const TopicPartition&, const std::vector<ReadRecord>&) {}
  // Member `member` was told that it has `partition` in this generation of the group.
  virtual void OnAssigned(int32_t /*generation*/, const std::string& /*member*/,
                          const TopicPartition&) {}
  // A member of this generation is about to commit the group's position; positions are drawn from
  // one counter.
  virtual void OnCommitSent(const TopicPartition&, int64_t /*position*/, int32_t /*generation*/) {}
  virtual void OnCommitAcknowledged(const TopicPartition&, int64_t /*position*/) {}
  // The coordinator said where the group is. `floor`: the largest position that had been
  // acknowledged, or told to anybody, when it was asked.
  virtual void OnPositionTold(const TopicPartition&, int64_t /*position*/, int64_t /*floor*/) {}
  // After all of these.
  virtual void AtEnd() {}

  const std::vector<std::string>& violations() const { return violations_; }

 protected:
  template <typename... Args>
  void Violated(fmt::format_string<Args...> format, Args&&... args) {
    // The first few tell the story; a broken log would tell thousands.
    if (violations_.size() < kViolationsMax) {
      violations_.push_back(fmt::format(format, std::forward<Args>(args)...));
    }
  }

 private:
  static constexpr size_t kViolationsMax = 10;
  std::vector<std::string> violations_;
};

// Which promises the broker under test has made; a property that it did not promise is not checked.
struct Promises {
  // Acknowledged means durable: survives power loss (P2). Otherwise only kills (P1).
  bool survives_power_loss = true;
  bool idempotent = true;
};

class History {
 public:
  explicit History(Promises promises);
  ~History();

  void Sent(const TopicPartition& partition, SentValue value);
  void Acknowledged(const TopicPartition& partition, int64_t offset, SentValue value);
  void Seek(int consumer, const TopicPartition& partition, int64_t offset);
  void Read(int consumer, const TopicPartition& partition, const ReadRecord& record);
  void HighWatermark(int consumer, const TopicPartition& partition, int64_t high_watermark);
  void FinalLog(int replica, const TopicPartition& partition,
                const std::vector<ReadRecord>& records);
  void Assigned(int32_t generation, const std::string& member, const TopicPartition& partition);
  // Draws the position that is committed.
  int64_t CommitSent(const TopicPartition& partition, int32_t generation);
  void CommitAcknowledged(const TopicPartition& partition, int64_t position);
  // The largest position that was acknowledged or told; -1 before the first.
  int64_t CommitFloor(const TopicPartition& partition) const;
  void PositionTold(const TopicPartition& partition, int64_t position, int64_t floor);
  // Something outside the checkers' model went wrong: an undecodable answer, a story that hangs.
  void Wrong(std::string what) { wrong_.push_back(std::move(what)); }
  // All violations, each with its sentence. Ends the history.
  std::vector<std::string> Finish();

  // Behind the last record that was acknowledged.
  int64_t AcknowledgedEnd(const TopicPartition& partition) const;

  uint64_t sent() const { return sent_; }
  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t read() const { return read_; }
  uint64_t committed() const { return committed_; }

 private:
  std::vector<std::unique_ptr<Checker>> checkers_;
  std::vector<std::string> wrong_;
  uint64_t sent_ = 0;
  uint64_t acknowledged_ = 0;
  uint64_t read_ = 0;
  uint64_t committed_ = 0;  // Positions that were acknowledged.
  int64_t next_position_ = 1;
  std::map<TopicPartition, int64_t> floors_;
  std::map<TopicPartition, int64_t> acknowledged_ends_;
};

}  // namespace millrace::simtest
