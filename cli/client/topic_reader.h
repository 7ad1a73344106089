// TopicReader: reads partitions of a topic from a place on and hands the records to a sink, until
// the sink has enough, the ends are reached, or somebody stops it.
//
// One loop per leading broker keeps one Fetch in flight; records of a partition come in order,
// those of different partitions as they arrive. When leaders change, all loops end and begin anew
// from fresh metadata.
//
// Shard:    one.
// Lifetime: `client` and `sink` outlive it. Run() must have ended before destruction.
// Errors:   kNotFound: no such topic. kInvalidArgument: no such partition, an offset outside the
//           partition. kDeadlineExceeded: no success for `patience`. kDataLoss and the kinds of
//           FetchedRecords: the records are damaged. kCancelled: the client was shut down.
// Bounds:   one answer per broker in memory: answer_bytes_max, or one batch if that is larger.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/client/fetched_records.h"
#include "cli/client/kafka_client.h"
#include "cli/client/offset_spec.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "proto/kafka/fetch_response.h"

namespace millrace {

class RecordSink {
 public:
  virtual ~RecordSink() = default;
  // False: enough; no more is wanted.
  virtual bool OnRecord(PartitionId partition, const FetchedRecord& record) = 0;
  // After a run of records: what was held back for efficiency may go out. False: enough.
  virtual bool OnPause() = 0;
  // Something a person may want to know: records that are gone before they were read.
  virtual void OnWarning(std::string message) = 0;
};

struct TopicReaderOptions {
  std::string topic;
  std::vector<PartitionId> partitions;  // Empty: all.
  OffsetSpec from = FromBeginning{};
  std::map<PartitionId, Offset> starts;  // Where to begin instead, in these.
  bool stop_at_end = false;
  // How long to go on without any success, leaders being elected or brokers away.
  Duration patience = seconds(30);
  // How long a broker may wait for news. Higher: fewer requests on an idle topic.
  Duration wait_max = milliseconds(500);
  int32_t answer_bytes_max = 16 << 20;
  int32_t partition_bytes_max = 1 << 20;
};

class TopicReader {
 public:
  TopicReader(KafkaClient& client, RecordSink& sink, TopicReaderOptions options);

  // Returns OK when the sink has enough, the ends are reached, or Interrupt() was called.
  Task<absl::Status> Run();

  // Run() returns soon: the sink gets nothing more. It keeps what it has.
  void Interrupt() {
    if (!enough_) interrupted_ = true;
    enough_ = true;
  }
  // Whether that is why it returned.
  bool interrupted() const { return interrupted_; }

  // Behind the last record that the sink was given, or where reading begins.
  std::map<PartitionId, Offset> positions() const;

 private:
  struct Position {
    Offset next{0};
    bool at_end = false;  // Everything there was has been read, and that is all that was wanted.
  };
  using PartitionAnswer = kafka::FetchResponse::PartitionData;

  Task<absl::Status> FindStart();
  // One round of loops over the leaders as they are known, and the metadata for the next.
  Task<absl::Status> ReadUntilInterrupted();
  // The offset that ListOffsets gives for a special or real timestamp; nothing if there is none.
  Task<absl::StatusOr<std::optional<Offset>>> ListOffset(PartitionId partition, int64_t timestamp,
                                                         Instant deadline);
  Task<absl::StatusOr<Offset>> Resolve(PartitionId partition, Instant deadline);
  Task<void> FetchLoop(BrokerId broker, std::vector<PartitionId> partitions);
  Task<absl::Status> FetchOnce(BrokerId broker, std::vector<PartitionId>* partitions);
  absl::Status Take(const PartitionAnswer& answer);
  Task<absl::Status> MoveIntoRange(PartitionId partition);
  bool finished() const;
  Instant Deadline() const;

  // Constant after construction.
  const TopicReaderOptions options_;

  // Borrowed.
  KafkaClient& client_;
  RecordSink& sink_;

  // State.
  TaskScope scope_;
  TopicView topic_;
  std::map<PartitionId, Position> positions_;
  bool enough_ = false;
  bool interrupted_ = false;
  bool begun_ = false;         // An answer has come: what was asked for is there.
  absl::Status interruption_;  // Why the loops end, if they must.
  Instant last_success_;
};

}  // namespace millrace
