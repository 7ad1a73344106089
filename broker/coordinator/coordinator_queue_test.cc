#include "broker/coordinator/coordinator_queue.h"

#include <catch2/catch.hpp>
#include <string>

namespace millrace {
namespace {

std::vector<CoordinatorRecord> Decision(size_t records, size_t bytes_each) {
  return {records, {"k", std::string(bytes_each - 1, 'v')}};
}

// How many records each batch has, until nothing is left.
std::vector<int32_t> Batches(CoordinatorQueue& queue) {
  std::vector<int32_t> counts;
  while (!queue.empty()) {
    const absl::StatusOr<BatchView> batch = queue.TakeBatch(Timestamp(1));
    REQUIRE(batch.ok());
    counts.push_back(batch->header().record_count);
  }
  CHECK(queue.bytes() == 0);
  return counts;
}

TEST_CASE("CoordinatorQueue: what was decided at once is in one batch, however the cut falls") {
  CoordinatorQueue queue;
  queue.Add({});
  CHECK(queue.empty());
  queue.Add(Decision(1, 300 << 10));
  queue.Add(Decision(3, 200 << 10));
  queue.Add(Decision(2, 100));
  queue.Add(Decision(10, 100 << 10));
  queue.Add(Decision(1, 100));
  // 300 KiB leave room for another decision, which comes whole: 900 KiB. 1 MiB is by itself more than
  // a batch usually has.
  CHECK(Batches(queue) == std::vector<int32_t>{4, 12, 1});
}

TEST_CASE("CoordinatorQueue: many small decisions are cut into batches of the usual size") {
  CoordinatorQueue queue;
  for (int i = 0; i < 10; ++i) queue.Add(Decision(1, 128 << 10));
  CHECK(queue.bytes() == 10 * (128 << 10));
  CHECK(Batches(queue) == std::vector<int32_t>{4, 4, 2});
}

TEST_CASE("CoordinatorQueue: no decision makes a batch that a follower would not take") {
  CoordinatorQueue queue;
  queue.Add(Decision(6, CoordinatorQueue::kDecisionBytesMax / 4));
  queue.Add(Decision(1, 100));
  CHECK(Batches(queue) == std::vector<int32_t>{4, 2, 1});
}

TEST_CASE("CoordinatorQueue: what is cleared in the middle of a decision leaves nothing") {
  CoordinatorQueue queue;
  queue.Add(Decision(6, CoordinatorQueue::kDecisionBytesMax / 4));
  REQUIRE(queue.TakeBatch(Timestamp(1)).ok());
  queue.Clear();
  queue.Add(Decision(2, 100));
  CHECK(Batches(queue) == std::vector<int32_t>{2});
}

}  // namespace
}  // namespace millrace
