// FetchPart: the partitions of one Fetch request that belong to one shard, and what that shard does
// with them: look, read, wait. The request itself, with what it shares out and puts together again,
// is 01_fetch.cc.
//
// Shard:    made on the request's shard; the three steps run on the shard of the partitions, one at
// a
//           time, and it belongs to that shard while one runs.
// Lifetime: the answers, lent by the request, outlive it. A step looks its partitions up anew after
//           each wait.
// Bound:    Read() takes at most its limit, and one batch more where it is told so. While it waits
//           it keeps of each partition what Park() says, and no answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/api/await_leadership.h"
#include "broker/broker.h"
#include "broker/fetch/fetch_session.h"
#include "common/ids.h"
#include "common/runtime/cancellation.h"
#include "common/runtime/task.h"
#include "common/time.h"
#include "proto/kafka/fetch_response.h"

namespace millrace {

// A partition's answer in the making.
struct FetchAnswer {
  FetchTarget target;
  TopicPartitionId id{Uuid(0, 0), PartitionId(0)};  // Or that of nothing: an unknown target.
  kafka::FetchResponse::PartitionData data{};
  Offset bound{0};        // Where reading ends.
  Offset committed{0};    // The high watermark, also while the consumer is not told it.
  bool readable = false;  // There is something between the fetch offset and the bound.
};

// What all partitions of a request have in common.
struct FetchTerms {
  int16_t version;
  bool read_committed;
  std::string rack = {};  // The consumer's; empty: it did not say.
};

// Of FetchReading::first_batch_max.
inline constexpr size_t kAnyBatchSize = SIZE_MAX;

// How much is read, and for whom.
struct FetchReading {
  size_t bytes_max;
  // The first batch may be so large although that is above `bytes_max` (KIP-74); 0: it may not.
  size_t first_batch_max;
  bool for_other_shard;  // As copies in memory of their own.
};

class FetchPart {
 public:
  FetchPart(ShardId shard, FetchTerms terms) : shard_(shard), terms_(terms) {}

  ShardId shard() const { return shard_; }
  void Add(FetchAnswer* answer) { answers_.push_back(answer); }
  const std::vector<FetchAnswer*>& answers() const { return answers_; }

  // Without reading: errors, watermarks, whether there is something to read.
  void Survey(Broker& broker);
  // Of what the last Survey() refused: where the client knows of a newer leadership than this broker.
  std::vector<LeadershipClaim> Claims(const Broker& broker) const;
  // Fills in records of what is readable.
  Task<void> Read(Broker* broker, FetchReading how);
  // The answers go: only what WaitForProgress() needs is kept.
  void Park();
  // After Park(): until there is something new in any of them, or `deadline`, or `enough`.
  Task<void> WaitForProgress(Broker* broker, Instant deadline, CancellationToken enough);

  // What the last Survey() and Read() found.
  size_t readable() const { return readable_; }  // Partitions.
  // An error, a diverging epoch, or another replica to read from: answer now.
  bool urgent() const { return urgent_; }
  size_t bytes() const { return bytes_; }
  bool full() const { return full_; }  // The limit left something unread.
  // The first batch is larger than `first_batch_max`: it, and what follows it, was not read.
  bool oversize() const { return oversize_; }

 private:
  void SurveyOne(Broker& broker, FetchAnswer* answer);
  absl::Status MayRead(const Partition& partition, const FetchAnswer& answer) const;
  // Where the consumer is to read instead, if anywhere (KIP-392).
  std::optional<BrokerId> Elsewhere(Broker& broker, const Partition& partition,
                                    Offset offset) const;
  bool Diverges(Partition& partition, FetchAnswer* answer, absl::Status* status) const;
  // Of a readable partition: false when the limits end the reading here.
  Task<bool> ReadOne(Broker* broker, FetchReading how, FetchAnswer* answer);

  // What is waited for of a partition.
  struct Awaited {
    TopicPartitionId id;
    Offset next;
  };

  const ShardId shard_;
  const FetchTerms terms_;
  std::vector<FetchAnswer*> answers_;
  std::vector<Awaited> awaited_;
  size_t readable_ = 0;
  bool urgent_ = false;
  size_t bytes_ = 0;
  bool full_ = false;
  bool oversize_ = false;
};

// What a partition that is refused answers.
void RefuseFetch(const absl::Status& status, FetchAnswer* answer);

}  // namespace millrace
