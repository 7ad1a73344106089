// HelperThreads: a few threads for calls that block (open, rename, fsync, name resolution,
// RocksDB), and for long computations, which at most half of them do at a time.
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

#include "common/runtime/helper_pool.h"
#include "common/runtime/loop_reactor.h"

namespace millrace {

class HelperJob : public InboxItem {
 public:
  HelperJob(LoopReactor& home, HelperWork kind) : home_(home), kind_(kind) {}
  // On a helper thread: must not throw and must touch nothing of the shard.
  virtual void Work() = 0;
  LoopReactor& home() const { return home_; }

 protected:
  ~HelperJob() = default;

 private:
  friend class HelperThreads;  // The intrusive queue is its business alone.
  LoopReactor& home_;
  const HelperWork kind_;
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
  // First come first served.
  struct Queue {
    HelperJob* head = nullptr;
    HelperJob* tail = nullptr;
    void Push(HelperJob& job);
    HelperJob* Pop();
  };

  void Serve();
  bool MayTake() const {
    return blocking_.head != nullptr ||
           (computing_.head != nullptr && computing_now_ < computing_max_);
  }

  const size_t threads_max_;
  const size_t computing_max_;  // Threads that compute at a time.
  cpu_set_t cpus_;              // Constant after construction.
  std::mutex mutex_;            // Guards everything below.
  std::condition_variable work_or_stop_;
  Queue blocking_;
  Queue computing_;
  size_t idle_ = 0;           // Threads that wait.
  size_t queued_ = 0;         // Jobs that wait.
  size_t computing_now_ = 0;  // Threads that compute.
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace millrace
