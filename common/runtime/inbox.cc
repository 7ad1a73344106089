#include "common/runtime/inbox.h"

#include <memory>
#include <utility>

namespace millrace {

class Inbox::PostedWork final : public InboxItem {
 public:
  PostedWork(Inbox& inbox, std::move_only_function<void()> work)
      : inbox_(inbox), work_(std::move(work)) {}
  void Run() override {
    std::unique_ptr<PostedWork> self(this);
    inbox_.posted_.fetch_sub(1, std::memory_order_relaxed);
    work_();
  }
  void Drop() override { delete this; }

 private:
  Inbox& inbox_;
  std::move_only_function<void()> work_;
};

Inbox::~Inbox() {
  for (InboxItem* item = TakeAll(); item != nullptr;) {
    InboxItem* next = item->next_;
    item->Drop();
    item = next;
  }
}

void Inbox::Push(InboxItem& item, bool* wake) {
  item.next_ = head_.load(std::memory_order_relaxed);
  while (!head_.compare_exchange_weak(item.next_, &item, std::memory_order_seq_cst)) {
  }
  // The load first: while the shard is awake the flag's cache line stays shared.
  *wake = sleeping_.load(std::memory_order_seq_cst) &&
          sleeping_.exchange(false, std::memory_order_seq_cst);
}

bool Inbox::Post(std::move_only_function<void()>& work, bool* wake) {
  *wake = false;
  if (posted_.fetch_add(1, std::memory_order_relaxed) >= posted_max_) {
    posted_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  Push(*new PostedWork(*this, std::move(work)), wake);
  return true;
}

InboxItem* Inbox::TakeAll() {
  InboxItem* item = head_.exchange(nullptr, std::memory_order_seq_cst);
  InboxItem* oldest_first = nullptr;
  while (item != nullptr) {
    InboxItem* next = item->next_;
    item->next_ = oldest_first;
    oldest_first = item;
    item = next;
  }
  return oldest_first;
}

size_t Inbox::Drain() {
  if (head_.load(std::memory_order_relaxed) == nullptr) return 0;
  size_t ran = 0;
  for (InboxItem* item = TakeAll(); item != nullptr; ++ran) {
    InboxItem* next = item->next_;  // Read first: Run() may end the item.
    item->Run();
    item = next;
  }
  return ran;
}

bool Inbox::FallAsleep() {
  sleeping_.store(true, std::memory_order_seq_cst);
  if (empty()) return true;
  Awake();
  return false;
}

}  // namespace millrace
