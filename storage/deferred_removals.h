// DeferredRemovals: files and folders that nobody looks up any more and that go a while later. What
// is left when the process ends is found by its name and removed at the next start. Large files go
// in parts: a file system may hold up everybody while it lets one go. One at a time in each log
// directory, and each directory for itself: one that hangs keeps nothing that lies in another.
//
// Shard:    one.
// Lifetime: Stop() must have finished before destruction.
// Errors:   a removal that fails is logged; the next start tries again.
// Bounds:   one entry per file or folder that was removed within the delay. Each directory that hangs
//           keeps one of the node's helper threads.
// Source:   docs/storage.md, Files; Kafka's file.delete.delay.ms.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/env.h"
#include "common/runtime/event.h"
#include "common/runtime/task.h"
#include "common/runtime/task_scope.h"
#include "common/time.h"

namespace millrace {

class DeferredRemovals {
 public:
  // `directories`: the log directories.
  DeferredRemovals(Env& env, const std::vector<std::string>& directories);

  void Start();
  // Leaves what is not due yet.
  Task<void> Stop();

  // Removes the file, or the folder with the files in it, `delay_ms` from now.
  void Add(std::string path, int64_t delay_ms);

  size_t size() const;

 private:
  struct Lane {  // Of a log directory.
    Lane(std::string path, Reactor& reactor) : directory(std::move(path)), changed(reactor) {}
    const std::string directory;
    std::multimap<Instant, std::string> waiting;
    Event changed;
  };
  Lane& LaneOf(const std::string& path);
  Task<void> Run(Lane* lane);
  // The file, or the folder and what is in it.
  Task<absl::Status> RemovePath(std::string path);
  // Lets a large file go but for its first part.
  Task<void> Shrink(std::string path);

  // Borrowed.
  Env& env_;

  // State.
  std::deque<Lane> lanes_;
  TaskScope scope_;
};

}  // namespace millrace
