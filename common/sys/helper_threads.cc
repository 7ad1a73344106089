#include "common/sys/helper_threads.h"

#include <pthread.h>

#include "common/check.h"

namespace millrace {

HelperThreads::HelperThreads(size_t threads_max) : threads_max_(threads_max) {
  CPU_ZERO(&cpus_);
  if (::sched_getaffinity(0, sizeof(cpus_), &cpus_) != 0) CPU_ZERO(&cpus_);
}

HelperThreads::~HelperThreads() {
  {
    std::lock_guard lock(mutex_);
    MR_CHECK(head_ == nullptr);
    stopping_ = true;
  }
  work_or_stop_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void HelperThreads::Submit(HelperJob& job) {
  std::lock_guard lock(mutex_);
  MR_CHECK(!stopping_);
  job.next_job_ = nullptr;
  (tail_ == nullptr ? head_ : tail_->next_job_) = &job;
  tail_ = &job;
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
    work_or_stop_.wait(lock, [this] { return stopping_ || head_ != nullptr; });
    --idle_;
    if (head_ == nullptr) return;
    HelperJob* job = head_;
    head_ = job->next_job_;
    if (head_ == nullptr) tail_ = nullptr;
    --queued_;
    lock.unlock();
    LoopReactor& home = job->home();
    job->Work();
    home.PostItem(*job);  // The job may be gone from here on.
    lock.lock();
  }
}

}  // namespace millrace
