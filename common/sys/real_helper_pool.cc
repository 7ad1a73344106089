#include "common/sys/real_helper_pool.h"

#include <utility>

#include "common/check.h"

namespace millrace {

// The awaitable of one call; lives in the frame of Run().
class RealHelperPool::Job final : public HelperJob {
 public:
  Job(LoopReactor& reactor, HelperThreads& threads, HelperWork kind,
      std::move_only_function<void()> work)
      : HelperJob(reactor, kind), threads_(threads), work_(std::move(work)) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    sched_class_ = home().current_class();
    threads_.Submit(*this);
  }
  void await_resume() const {}

  void Work() override { work_(); }
  void Run() override { home().Ready(handle_, sched_class_); }

 private:
  HelperThreads& threads_;
  std::move_only_function<void()> work_;
  std::coroutine_handle<> handle_;
  SchedClass sched_class_ = SchedClass::kHousekeeping;
};

RealHelperPool::~RealHelperPool() { MR_CHECK(jobs_ == 0); }

Task<void> RealHelperPool::RunAs(HelperWork kind, std::move_only_function<void()> work) {
  while (jobs_ >= jobs_max_) co_await freed_.Wait();
  ++jobs_;
  {
    Job job(reactor_, threads_, kind, std::move(work));
    co_await job;
  }
  --jobs_;
  if (freed_.has_waiters()) freed_.Pulse();
}

}  // namespace millrace
