// FetchBudget: memory for the Fetch requests of one shard. Five lines:
//
//   records    what is read and sent, and the answers that are put together for it
//   oversize   a turn, for a first batch that is larger than what one answer is granted of `records`
//              (KIP-74 wants it whole): such batches wait for each other, and for nobody else
//   surveys    what a poll of many partitions takes while it looks which of them have something.
//              Nobody keeps it for longer than that takes: it is never waited for a client with it
//   answers    answers of many partitions without records, until they are sent: those who want none, or
//              cannot get any, do not wait behind those who read records slowly
//   waiting    what polls of many partitions keep while they wait, for records or for their turn. A
//              poll that is not granted it waits a moment only: its answer leaves with what there is
//
// Shard:    one.
// Lifetime: outlives every request.
// Bound:    `bytes_max` of records, as much of waiting, a quarter each for surveys and answers, and one
//           batch.
#pragma once

#include <cstddef>

#include "broker/server/memory_line.h"

namespace millrace {

class FetchBudget {
 public:
  FetchBudget(Reactor& reactor, size_t bytes_max)
      : records_(reactor, bytes_max),
        oversize_(reactor, 1),
        surveys_(reactor, bytes_max / kAnswersPart),
        answers_(reactor, bytes_max / kAnswersPart),
        waiting_(reactor, bytes_max) {}

  MemoryLine& records() { return records_; }
  MemoryLine& oversize() { return oversize_; }  // Of 1: a turn.
  MemoryLine& surveys() { return surveys_; }
  MemoryLine& answers() { return answers_; }
  MemoryLine& waiting() { return waiting_; }

  size_t used() const {
    return records_.used() + surveys_.used() + answers_.used() + waiting_.used();
  }

 private:
  static constexpr size_t kAnswersPart = 4;

  MemoryLine records_;
  MemoryLine oversize_;
  MemoryLine surveys_;
  MemoryLine answers_;
  MemoryLine waiting_;
};

}  // namespace millrace
