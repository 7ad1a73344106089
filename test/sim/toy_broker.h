// ToyBroker: the smallest broker that keeps the promises of RELIABILITY §A for one node, and, on
// request, breaks exactly one of them. It keeps the simulator honest: the story that tries a real
// node must find each of these bugs in the toy, or it is blind.
//
// One file of batches per partition, rewritten by nobody; a topic exists when its files do.
//
// Shard: one. Lifetime: `process` outlives it.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/env.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/task_scope.h"
#include "proto/kafka/fetch_request.h"
#include "proto/kafka/fetch_response.h"
#include "proto/kafka/header.h"
#include "proto/kafka/produce_request.h"
#include "proto/kafka/produce_response.h"
#include "storage/record/record_batch.h"

namespace millrace::simtest {

enum class ToyBug {
  kNone,
  kAcknowledgesBeforeSync,
  kNeverSyncsItsFolder,
  kTrustsARetriedSync,  // Calls Sync() again after it failed, and believes the second answer.
  kForgetsProducers,    // Knows no sequences after a restart.
  kIgnoresSequences,
  kServesBeforeSync,  // Reads what may yet be lost.
  kAcceptsGaps,       // Appends a batch although the one before it was refused.
  kKeepsTornTail,     // Does not check what a crash left at the end of a file.
};
const char* ToyBugName(ToyBug bug);
inline constexpr ToyBug kToyBugs[] = {
    ToyBug::kAcknowledgesBeforeSync,
    ToyBug::kNeverSyncsItsFolder,
    ToyBug::kTrustsARetriedSync,
    ToyBug::kForgetsProducers,
    ToyBug::kIgnoresSequences,
    ToyBug::kServesBeforeSync,
    ToyBug::kAcceptsGaps,
    ToyBug::kKeepsTornTail,
};

class ToyBroker final : public SimProgram {
 public:
  ToyBroker(SimProcess& process, uint16_t port, ToyBug bug);
  ~ToyBroker() override;

  Task<absl::Status> Start() override;
  Task<void> Stop() override;

 private:
  struct Partition;
  struct Client;

  Task<absl::Status> Recover();
  Task<absl::StatusOr<Partition*>> OpenPartition(std::string name);
  Task<void> AcceptLoop();
  Task<void> Serve(Client* client);
  Task<absl::StatusOr<Chain>> Answer(Slice frame);
  Task<absl::StatusOr<Chain>> Produce(kafka::ProduceRequest request, int16_t version,
                                      int32_t correlation);
  absl::StatusOr<Chain> Fetch(const kafka::FetchRequest& request, int16_t version,
                              int32_t correlation);
  Task<void> Append(Partition* partition, Slice records,
                    kafka::ProduceResponse::PartitionProduceResponse* answer);
  Task<absl::Status> Store(Partition* partition, BatchView batch);
  Partition* Find(const std::string& topic, int32_t partition);

  Env& env_;
  const std::string host_;
  const uint16_t port_;
  const ToyBug bug_;
  TaskScope scope_;
  std::unique_ptr<Listener> listener_;
  std::map<std::string, std::unique_ptr<Partition>> partitions_;  // By "<topic>-<number>".
  std::map<uint64_t, std::unique_ptr<Client>> clients_;
  uint64_t next_client_ = 0;
};

}  // namespace millrace::simtest
