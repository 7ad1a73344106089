// IntrusiveList: a doubly linked list whose links lie in its elements, so that being in it costs no
// allocation and leaving it from the middle no search. For lists of dirty logs, of silent producers.
//
// Shard:    one.
// Lifetime: an element leaves the list before it is destroyed, the list is empty before it is
// (CHECKed).
#pragma once

#include "common/check.h"

namespace millrace {

template <typename T>
struct ListHook {
  T* previous = nullptr;
  T* next = nullptr;
  bool linked = false;
};

template <typename T, ListHook<T> T::* kHook>
class IntrusiveList {
 public:
  IntrusiveList() = default;
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() { MR_CHECK(front_ == nullptr); }

  bool empty() const { return front_ == nullptr; }
  // REQUIRES: not empty.
  T& front() { return *front_; }
  T* Next(T& element) { return (element.*kHook).next; }
  static bool Contains(const T& element) { return (element.*kHook).linked; }

  void PushBack(T& element) {
    ListHook<T>& hook = element.*kHook;
    MR_CHECK(!hook.linked);
    hook = {back_, nullptr, true};
    (back_ == nullptr ? front_ : (back_->*kHook).next) = &element;
    back_ = &element;
  }

  // No-op when it is not in the list.
  void Remove(T& element) {
    ListHook<T>& hook = element.*kHook;
    if (!hook.linked) return;
    (hook.previous == nullptr ? front_ : (hook.previous->*kHook).next) = hook.next;
    (hook.next == nullptr ? back_ : (hook.next->*kHook).previous) = hook.previous;
    hook = {};
  }

  T& PopFront() {
    T& element = *front_;
    Remove(element);
    return element;
  }

 private:
  T* front_ = nullptr;
  T* back_ = nullptr;
};

}  // namespace millrace
