// What simulated clients do in a story: idempotent producers that write unique values, consumers
// that read everything in order, and the one reader that looks at the end.
//
// Shard:    each runs on its client node's one shard.
// Lifetime: `env`, the story's plan and history outlive them. Stop() before destruction.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/env.h"
#include "common/runtime/task_scope.h"
#include "proto/kafka/produce_request.h"
#include "test/sim/history.h"
#include "test/sim/kafka_client.h"

namespace millrace::simtest {

// What the members of the story's group ask for, and do.
struct GroupPlan {
  Duration session = seconds(6);
  Duration rebalance = seconds(10);
  bool ghosts = false;  // Who vanished may come back and go on as if nothing had been.
};

// Drawn once per seed and shared by all clients of the story.
struct WorkloadPlan {
  std::string topic = "story";
  int32_t partitions = 1;
  int16_t replication = 1;
  std::map<std::string, std::string> topic_configs;
  std::vector<SocketAddress> bootstrap;
  int16_t produce_version = 12;
  int16_t fetch_version = 12;
  int in_flight_max = 5;  // Batches per producer and partition.
  int records_per_batch_max = 5;
  size_t padding_max = 200;  // Bytes added to a value.
  uint64_t sent_max = 5000;  // Records in all; then producers rest, and only faults go on.
  Duration think_max = milliseconds(50);
  Duration patience = seconds(5);
  GroupPlan group;
  // Producers begin epochs of their own now and then, and go on in the old one too (P16).
  bool epochs = false;
};

// Metadata of the topic, asked for anew when something fails.
struct TopicView {
  Uuid topic_id{0, 0};
  std::map<int32_t, SocketAddress> leaders;  // By partition.
  std::map<int32_t, int32_t> epochs;         // Theirs.
};
// Connects `client` to some bootstrap address, asks, and creates the topic where it is absent.
Task<absl::StatusOr<TopicView>> FindTopic(KafkaClient* client, const WorkloadPlan* plan,
                                          size_t bootstrap, bool create);

// Sends batches of one partition, up to in_flight_max at a time, each until it is acknowledged,
// with the same sequence: what was sent once keeps its place.
class SimProducer {
 public:
  SimProducer(Env& env, const WorkloadPlan& plan, History& history, int number);
  void Start() { scope_.Spawn(Run()); }
  // No new batches; what was sent is still brought to its end.
  void Drain() { draining_ = true; }
  bool done() const { return draining_ && outstanding() == 0; }
  size_t outstanding() const;
  std::string state() const { return last_problem_; }
  Task<void> Stop();

 private:
  struct Batch {
    int32_t first_sequence;
    std::vector<SentValue> values;
    std::vector<std::string> texts;
    bool acknowledged = false;
  };
  struct Lane {
    std::deque<std::unique_ptr<Batch>> batches;  // Not acknowledged, in order.
    int32_t next_sequence = 0;
    uint64_t next_number = 1;
    bool known = false;     // Something was acknowledged, so every leader knows the producer.
    bool in_epoch = false;  // In the newest one.
  };

  Task<void> Run();
  // One connected stretch; returns when something broke.
  Task<absl::Status> Session();
  Task<absl::Status> Identify();
  void MakeBatches(int32_t partition);
  // All that was sent is acknowledged: the next batch is the first of a new epoch.
  void BeginEpoch();
  // A batch of the epoch before, where one of the new epoch was acknowledged: must be refused.
  Task<absl::Status> SendStale(int32_t partition);
  // Sends the lane's window, all at once, and takes the answers.
  Task<absl::Status> Round(int32_t partition);
  Task<void> SendBatch(int32_t partition, Batch* batch, absl::Status* result);
  kafka::ProduceRequest Request(int32_t partition, int16_t epoch, const Batch& batch) const;
  absl::Status TakeAnswer(int32_t partition, Batch* batch, int16_t error, int64_t base_offset);

  Env& env_;
  const WorkloadPlan& plan_;
  History& history_;
  const int number_;
  TaskScope scope_;
  KafkaClient client_;
  TopicView view_;
  std::optional<std::pair<int64_t, int16_t>> producer_id_;  // Id and epoch.
  std::map<int32_t, Lane> lanes_;                           // By partition.
  bool draining_ = false;
  std::string last_problem_;
};

// Reads every partition from its start, over and over from where it was.
class SimConsumer {
 public:
  SimConsumer(Env& env, const WorkloadPlan& plan, History& history, int number);
  void Start() { scope_.Spawn(Run()); }
  Task<void> Stop();
  // From now on it takes one partition after the other, not by chance, and does not begin anew: over
  // a slow network it would never come to the end.
  void ReadToTheEnd() { to_the_end_ = true; }
  // Everything below was read, in order (ReadsAreMonotonic).
  int64_t reached(int32_t partition) const;
  std::string state() const { return last_problem_; }
  // Reads the whole topic, to the high watermark, at rest.
  Task<absl::StatusOr<std::map<TopicPartition, std::vector<ReadRecord>>>> ReadAll();

 private:
  Task<void> Run();
  Task<absl::Status> Session();
  struct Fetched {
    std::vector<ReadRecord> records;
    int64_t high_watermark;
    int64_t next_offset;
  };
  Task<absl::Status> ConnectToLeader(int32_t partition);
  Task<absl::StatusOr<Fetched>> Fetch(int32_t partition, int64_t offset, Duration wait);

  Env& env_;
  const WorkloadPlan& plan_;
  History& history_;
  const int number_;
  TaskScope scope_;
  KafkaClient client_;
  TopicView view_;
  // By partition.
  std::map<int32_t, int64_t> next_;
  std::map<int32_t, int64_t> reached_;
  std::string last_problem_;
  bool to_the_end_ = false;
  uint64_t sessions_ = 0;
};

}  // namespace millrace::simtest
