// FdCache: open files of segments and indexes, the least recently used closed when there are too
// many.
//
// Shard:    one.
// Lifetime: Stop() must have finished before destruction (CHECKed); no handle may be left by then.
// Errors:   as Disk::Open().
// Bounds:   files_max open files; files in use count, and are not closed, so a moment of many users
// may
//           exceed it.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/disk.h"
#include "common/runtime/event.h"
#include "common/runtime/reactor.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"

namespace millrace {

class FdCache {
  struct Entry;

 public:
  // A file in use: it stays open while a handle lives.
  class Handle {
   public:
    Handle() = default;
    Handle(FdCache& cache, std::shared_ptr<Entry> entry)
        : cache_(&cache), entry_(std::move(entry)) {}
    Handle(Handle&& other) noexcept
        : cache_(std::exchange(other.cache_, nullptr)), entry_(std::move(other.entry_)) {}
    Handle& operator=(Handle&& other) noexcept {
      std::swap(cache_, other.cache_);
      std::swap(entry_, other.entry_);
      return *this;
    }
    ~Handle();
    File& operator*() const;
    File* operator->() const { return &**this; }

   private:
    FdCache* cache_ = nullptr;
    std::shared_ptr<Entry> entry_;
  };

  FdCache(Reactor& reactor, Disk& disk, size_t files_max);
  ~FdCache();

  // The file at `path`, open for reading and writing; made when absent and `create`. Or, `direct`, for
  // reading alone and past the page cache, beside the other.
  Task<absl::StatusOr<Handle>> Acquire(std::string path, bool create, bool direct = false);

  // Forgets a file that is renamed or removed; it closes when its last user is gone.
  void Forget(const std::string& path);

  size_t open_files() const { return entries_.size(); }

  Task<void> Stop();

 private:
  // A path, and whether it is open past the page cache.
  using Key = std::pair<std::string, bool>;
  struct Entry {
    Key key;
    std::unique_ptr<File> file;  // Null while it is being opened.
    absl::Status status;
    size_t users = 0;
    bool forgotten = false;
    bool idle = false;  // In idle_, at `position`.
    std::list<Entry*>::iterator position;
    Event opened;
    explicit Entry(Reactor& reactor) : opened(reactor) {}
  };

  void ForgetOne(const Key& key);
  void Unuse(std::shared_ptr<Entry> entry);
  void CloseExcess();
  void StartClosing(std::unique_ptr<File> file);
  static Task<void> CloseFile(std::unique_ptr<File> file);

  // Constant after construction.
  const size_t files_max_;

  // Borrowed.
  Reactor& reactor_;
  Disk& disk_;

  // State.
  std::map<Key, std::shared_ptr<Entry>> entries_;
  std::list<Entry*> idle_;  // Front: least recently used.
  TaskScope closing_;
  bool stopped_ = false;
};

}  // namespace millrace
