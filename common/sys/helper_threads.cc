#include "common/sys/helper_threads.h"

#include <pthread.h>

#include <algorithm>

#include "common/check.h"

namespace millrace {

HelperThreads::HelperThreads(size_t threads_max)
    : threads_max_(threads_max), computing_max_(std::max<size_t>(1, threads_max / 2)) {
  CPU_ZERO(&cpus_);
  if (::sched_getaffinity(0, sizeof(cpus_), &cpus_) != 0) CPU_ZERO(&cpus_);
}

HelperThreads::~HelperThreads() {
  {
    std::lock_guard lock(mutex_);
    MR_CHECK(queued_ == 0);
    stopping_ = true;
  }
  work_or_stop_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void HelperThreads::Queue::Push(HelperJob& job) {
  job.next_job_ = nullptr;
  (tail == nullptr ? head : tail->next_job_) = &job;
  tail = &job;
}

HelperJob* HelperThreads::Queue::Pop() {
  HelperJob* job = head;
  head = job->next_job_;
  if (head == nullptr) tail = nullptr;
  return job;
}

void HelperThreads::Submit(HelperJob& job) {
  std::lock_guard lock(mutex_);
  MR_CHECK(!stopping_);
  (job.kind_ == HelperWork::kComputing ? computing_ : blocking_).Push(job);
  ++queued_;
  if (queued_ > idle_ && threads_.size() < threads_max_) {
    threads_.emplace_back([this] { Serve(); });
  }
  work_or_stop_.notify_one();
}

void HelperThreads::Serve() {
  ::pthread_setname_np(::pthread_self(), "helper");
  if (CPU_COUNT(&cpus_) > 0) ::pthread_setaffinity_np(::pthread_self(), sizeof(cpus_), &cpus_);
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    work_or_stop_.wait(lock, [this] { return stopping_ || MayTake(); });
    --idle_;
    if (!MayTake()) return;
    const bool computes = blocking_.head == nullptr;
    HelperJob* job = (computes ? computing_ : blocking_).Pop();
    --queued_;
    if (computes) ++computing_now_;
    lock.unlock();
    LoopReactor& home = job->home();
    job->Work();
    home.PostItem(*job);  // The job may be gone from here on.
    lock.lock();
    if (computes) --computing_now_;
  }
}

}  // namespace millrace
