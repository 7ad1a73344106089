#include "storage/kv/kv_store_queue.h"

#include <utility>

#include "common/check.h"

namespace millrace {

Task<absl::Status> KvWriteQueue::Submit(KvBatch batch, bool sync) {
  Gate::Holder hold = gate_.TryEnter();
  if (!hold) co_return absl::UnavailableError("the key-value store is closed");
  Waiting waiting{.batch = std::move(batch), .sync = sync, .status = {}};
  line_.push_back(&waiting);
  while (!waiting.done) {
    if (committing_) {
      co_await turn_.Wait();
    } else {
      // The first in line commits for those behind it, and leaves the rest to the next one.
      co_await CommitGroup();
    }
  }
  co_return waiting.status;
}

Task<void> KvWriteQueue::CommitGroup() {
  MR_CHECK(!committing_);
  committing_ = true;
  std::vector<Waiting*> group;
  std::vector<KvBatch> batches;
  bool sync = false;
  size_t bytes = 0;
  while (!line_.empty()) {
    Waiting* next = line_.front();
    if (!group.empty() && bytes + next->batch.bytes() > kGroupBytesMax) break;
    line_.pop_front();
    bytes += next->batch.bytes();
    sync |= next->sync;
    if (!next->batch.empty()) batches.push_back(std::move(next->batch));
    group.push_back(next);
  }
  // Writes that were in line when another one failed have not begun: they fail with it.
  if (status_.ok()) status_ = co_await sink_.Commit(std::move(batches), sync);
  for (Waiting* waiting : group) {
    waiting->status = status_;
    waiting->done = true;
  }
  committing_ = false;
  turn_.Pulse();
}

}  // namespace millrace
