#include "storage/checkpoint_round.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/runtime/task_scope.h"
#include "storage/log_checkpoint.h"
#include "storage/log_directory.h"
#include "storage/segment_sync.h"

namespace millrace {
namespace {

// Of all logs in a round, because each checkpoint holds its log's.
constexpr size_t kProducersInRoundMax = 1 << 15;

// At most so many files are open from its writing to its sync.
size_t FilesToSync(const Log::State& state) {
  size_t files = 1;
  for (auto segment = state.segments.rbegin();
       segment != state.segments.rend() && segment->base > state.synced_end; ++segment) {
    ++files;
  }
  return files;
}

}  // namespace

bool CheckpointRound::HasRoom(size_t logs_max) const {
  if (items_.size() >= logs_max) return false;
  return items_.size() < context_.options.checkpoints_max ||
         (producers_ < kProducersInRoundMax && files_ < context_.options.open_files_max / 2);
}

void CheckpointRound::Add(Log::State& state, Gate::Holder inside, IoLock lock) {
  producers_ += state.producers.size();
  files_ += FilesToSync(state);
  items_.emplace_back(&state, std::move(inside), std::move(lock));
}

Task<absl::Status> CheckpointRound::Run(bool complete) {
  co_await ForEach(&CheckpointRound::Write, complete);
  if (items_.size() > context_.options.checkpoints_max) co_await SyncAll();
  co_await ForEach(&CheckpointRound::Finish, complete);
  co_return co_await Store();
}

Task<void> CheckpointRound::ForEach(Step step, bool complete) {
  TaskScope group(context_.env.reactor);
  size_t next = 0;
  const size_t count = std::min(items_.size(), context_.options.checkpoints_max);
  for (size_t i = 0; i < count; ++i) group.Spawn(TakeItems(&next, step, complete));
  co_await group.Join();
}

Task<void> CheckpointRound::TakeItems(size_t* next, Step step, bool complete) {
  while (*next < items_.size()) {
    Item& item = items_[(*next)++];
    co_await (this->*step)(&item, complete);
  }
}

Task<void> CheckpointRound::Write(Item* item, bool complete) {
  if (!item->lock) item->lock = co_await LockIo(*item->state);
  if (!item->state->failure.ok()) {
    item->written = item->state->failure;
    co_return;
  }
  item->written = co_await context_.writer->WriteForCheckpoint(*item->state, complete);
}

Task<void> CheckpointRound::SyncAll() {
  for (LogDirectory* directory : context_.directories) {
    std::vector<Item*> here;
    std::vector<LogSync*> syncs;
    for (Item& item : items_) {
      if (!item.written.ok() || item.state->directory != directory) continue;
      here.push_back(&item);
      syncs.push_back(&item.written->sync);
    }
    if (syncs.empty()) continue;
    const absl::Status synced = co_await SyncTogether(std::move(syncs));
    if (absl::IsUnimplemented(synced)) continue;
    for (Item* item : here) item->synced = synced;
  }
}

Task<void> CheckpointRound::Finish(Item* item, bool complete) {
  absl::Status status = item->written.status();
  if (status.ok()) status = item->synced;
  if (status.ok()) status = co_await SyncFiles(item->written->sync);
  if (status.ok()) {
    item->checkpoint =
        co_await context_.writer->FinishCheckpoint(*std::move(item->written), complete);
    co_return;
  }
  item->state->checkpointing = false;
  item->checkpoint = status;
}

Task<absl::Status> CheckpointRound::Store() {
  SegmentWriter& writer = *context_.writer;
  absl::Status result;
  KvBatch batch;
  for (Item& item : items_) {
    if (item.checkpoint.ok()) {
      batch.Put(KvSpace::kLogCheckpoint, LogCheckpointKey(item.state->id),
                EncodeLogCheckpoint(*item.checkpoint));
    } else if (item.state->failure.ok()) {
      writer.HandleFailure(*item.state, item.checkpoint.status());
      result.Update(item.checkpoint.status());
    }
  }
  if (batch.empty()) co_return result;
  const absl::Status stored =
      co_await context_.kv.Write(std::move(batch), KvWriteOptions{.sync = true});
  for (Item& item : items_) {
    if (!item.checkpoint.ok()) continue;
    item.state->checkpointing = false;
    if (stored.ok()) {
      writer.Stored(*item.state, *item.checkpoint);
    } else {
      writer.HandleFailure(*item.state, stored);
    }
  }
  result.Update(stored);
  co_return result;
}

}  // namespace millrace
