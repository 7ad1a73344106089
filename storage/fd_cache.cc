#include "storage/fd_cache.h"

#include "common/check.h"
#include "common/status_macros.h"

namespace millrace {

FdCache::Handle::~Handle() {
  if (cache_ != nullptr) cache_->Unuse(std::move(entry_));
}

File& FdCache::Handle::operator*() const { return *entry_->file; }

FdCache::FdCache(Reactor& reactor, Disk& disk, size_t files_max)
    : files_max_(files_max), reactor_(reactor), disk_(disk), closing_(reactor) {}

FdCache::~FdCache() { MR_CHECK(entries_.empty()); }

Task<absl::StatusOr<FdCache::Handle>> FdCache::Acquire(std::string path, bool create, bool direct) {
  const Key key(path, direct);
  auto found = entries_.find(key);
  if (found != entries_.end()) {
    std::shared_ptr<Entry> entry = found->second;
    if (entry->idle) {
      idle_.erase(entry->position);
      entry->idle = false;
    }
    ++entry->users;
    Handle handle(*this, entry);
    if (entry->file == nullptr) co_await entry->opened.Wait();
    // Whoever opened it may have looked for a file that must exist, and we are here to make it.
    if (entry->status.ok()) co_return handle;
    if (!create || !absl::IsNotFound(entry->status)) co_return entry->status;
    handle = Handle();
    co_return co_await Acquire(std::move(path), create, direct);
  }
  auto entry = std::make_shared<Entry>(reactor_);
  entry->key = key;
  entry->users = 1;
  entries_.emplace(key, entry);
  Handle handle(*this, entry);
  absl::StatusOr<std::unique_ptr<File>> file = co_await disk_.Open(
      path, OpenOptions{.create = create, .read_only = direct, .direct = direct});
  if (file.ok()) {
    entry->file = *std::move(file);
  } else {
    entry->status = file.status();
    if (!entry->forgotten) entries_.erase(key);
    entry->forgotten = true;
  }
  entry->opened.Set();
  if (!entry->status.ok()) co_return entry->status;
  CloseExcess();
  co_return handle;
}

void FdCache::Forget(const std::string& path) {
  ForgetOne({path, false});
  ForgetOne({path, true});
}

void FdCache::ForgetOne(const Key& key) {
  auto found = entries_.find(key);
  if (found == entries_.end()) return;
  std::shared_ptr<Entry> entry = found->second;
  entries_.erase(found);
  entry->forgotten = true;
  if (entry->idle) {
    idle_.erase(entry->position);
    entry->idle = false;
    StartClosing(std::move(entry->file));
  }
}

void FdCache::Unuse(std::shared_ptr<Entry> entry) {
  MR_CHECK(entry->users > 0);
  if (--entry->users > 0) return;
  if (entry->forgotten) {
    if (entry->file != nullptr) StartClosing(std::move(entry->file));
    return;
  }
  idle_.push_back(entry.get());
  entry->position = std::prev(idle_.end());
  entry->idle = true;
  CloseExcess();
}

void FdCache::CloseExcess() {
  while (entries_.size() > files_max_ && !idle_.empty()) {
    Entry* oldest = idle_.front();
    idle_.pop_front();
    std::unique_ptr<File> file = std::move(oldest->file);
    entries_.erase(oldest->key);  // The last reference: destroys the entry.
    StartClosing(std::move(file));
  }
}

void FdCache::StartClosing(std::unique_ptr<File> file) {
  MR_CHECK(!stopped_);
  closing_.Spawn(CloseFile(std::move(file)), SchedClass::kHousekeeping);
}

Task<void> FdCache::CloseFile(std::unique_ptr<File> file) {
  // What was written was synced through this or another descriptor where it mattered; a failing
  // close tells us nothing that Sync() has not.
  (void)co_await file->Close();
}

Task<void> FdCache::Stop() {
  if (stopped_) co_return;
  while (!idle_.empty()) {
    Entry* entry = idle_.front();
    idle_.pop_front();
    std::unique_ptr<File> file = std::move(entry->file);
    entries_.erase(entry->key);
    co_await CloseFile(std::move(file));
  }
  co_await closing_.Join();
  co_await closing_.Stop();
  stopped_ = true;
}

}  // namespace millrace
