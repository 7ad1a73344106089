// HelperThreads: a few threads for calls that block (open, rename, fsync, name resolution,
// RocksDB).
//
// Threads:  Submit() from any shard; HelperJob::Work() on a helper; HelperJob::Run() (of InboxItem)
//           on the job's shard.
// Lifetime: outlives no reactor it serves: destroyed (joined) first, with no job in it (CHECKed). A
//           job stays alive until it has run on its shard.
// Bound:    jobs live in their submitters, each of which has a bound of its own.
#pragma once

#include <sched.h>

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#include "common/runtime/loop_reactor.h"

namespace millrace {

class HelperJob : public InboxItem {
 public:
  explicit HelperJob(LoopReactor& home) : home_(home) {}
  // On a helper thread: must not throw and must touch nothing of the shard.
  virtual void Work() = 0;
  LoopReactor& home() const { return home_; }

 protected:
  ~HelperJob() = default;

 private:
  friend class HelperThreads;  // The intrusive queue is its business alone.
  LoopReactor& home_;
  HelperJob* next_job_ = nullptr;
};

class HelperThreads {
 public:
  // Threads are started when they are first needed.
  explicit HelperThreads(size_t threads_max);
  HelperThreads(const HelperThreads&) = delete;
  HelperThreads& operator=(const HelperThreads&) = delete;
  ~HelperThreads();

  void Submit(HelperJob& job);

  // The processors that the constructing thread might use. Helpers may use them all, also when a
  // pinned shard starts them.
  const cpu_set_t& cpus() const { return cpus_; }

 private:
  void Serve();

  const size_t threads_max_;
  cpu_set_t cpus_;    // Constant after construction.
  std::mutex mutex_;  // Guards everything below.
  std::condition_variable work_or_stop_;
  HelperJob* head_ = nullptr;
  HelperJob* tail_ = nullptr;
  size_t idle_ = 0;    // Threads that wait.
  size_t queued_ = 0;  // Jobs that wait.
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace millrace
