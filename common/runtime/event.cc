#include "common/runtime/event.h"

#include "common/check.h"

namespace millrace {

Event::~Event() { MR_CHECK(head_ == nullptr); }

void Event::Set() {
  set_ = true;
  Pulse();
}

void Event::Pulse() {
  while (head_ != nullptr) head_->Finish(WaitResult::kSignalled);
}

Event::Waiter Event::Wait(std::optional<Instant> deadline, CancellationToken token) {
  return {*this, deadline, token};
}

void Event::Unlink(Waiter& waiter) {
  (waiter.previous_ == nullptr ? head_ : waiter.previous_->next_) = waiter.next_;
  (waiter.next_ == nullptr ? tail_ : waiter.next_->previous_) = waiter.previous_;
  waiter.previous_ = waiter.next_ = nullptr;
}

bool Event::Waiter::await_ready() {
  if (event_.set_) return true;
  if (token_.cancelled()) {
    result_ = WaitResult::kCancelled;
    return true;
  }
  if (deadline_.has_value() && *deadline_ <= event_.reactor_.Now()) {
    result_ = WaitResult::kTimedOut;
    return true;
  }
  return false;
}

void Event::Waiter::await_suspend(std::coroutine_handle<> handle) {
  handle_ = handle;
  waiting_ = true;
  sched_class_ = event_.reactor_.current_class();
  previous_ = event_.tail_;
  (event_.tail_ == nullptr ? event_.head_ : event_.tail_->next_) = this;
  event_.tail_ = this;
  if (deadline_.has_value()) event_.reactor_.Arm(*this, *deadline_);
  token_.Register(*this);
}

void Event::Waiter::Fire() { Finish(WaitResult::kTimedOut); }
void Event::Waiter::OnCancel() { Finish(WaitResult::kCancelled); }

void Event::Waiter::Finish(WaitResult result) {
  if (!waiting_) return;
  waiting_ = false;
  result_ = result;
  event_.Unlink(*this);
  if (armed()) event_.reactor_.Disarm(*this);
  CancellationCallback::Unlink();
  event_.reactor_.Ready(handle_, sched_class_);
}

void Sleep::await_suspend(std::coroutine_handle<> handle) {
  handle_ = handle;
  sched_class_ = reactor_.current_class();
  reactor_.Arm(*this, until_);
  token_.Register(*this);
}

void Sleep::Fire() {
  CancellationCallback::Unlink();
  reactor_.Ready(handle_, sched_class_);
}

void Sleep::OnCancel() {
  result_ = WaitResult::kCancelled;
  reactor_.Disarm(*this);
  reactor_.Ready(handle_, sched_class_);
}

}  // namespace millrace
