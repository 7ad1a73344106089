// Inbox: how other threads reach a shard. Many producers push, the shard drains.
//
// Shard:    Push(), Post() from any thread; everything else on the owning shard.
// Lifetime: an InboxItem stays alive until it has run or was dropped.
// Bound:    Post() takes at most `posted_max` closures at a time and then refuses; items pushed
//           belong to operations that have bounds of their own (helper jobs, calls between shards).
// Waking:   the shard announces that it sleeps, and looks once more before it does; a producer
//           pushes, and then looks whether it sleeps. In the one order of both (seq_cst) at least
//           one of them sees the other, so no item is left to a sleeper:
//             1. shard: sleeping = true      2. producer: push
//             3. shard: sees the push, stays awake, or 3'. producer: sees sleeping, wakes it.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>

namespace millrace {

// Something to run on a shard; a node of the inbox's list, embedded in the operation it ends.
class InboxItem {
 public:
  InboxItem() = default;
  InboxItem(const InboxItem&) = delete;
  InboxItem& operator=(const InboxItem&) = delete;
  // On the shard, once. May destroy the item.
  virtual void Run() = 0;
  // Instead of Run(), when the inbox goes away first.
  virtual void Drop() {}

 protected:
  ~InboxItem() = default;

 private:
  friend class Inbox;  // The intrusive list is the inbox's business alone.
  InboxItem* next_ = nullptr;
};

class Inbox {
 public:
  explicit Inbox(size_t posted_max) : posted_max_(posted_max) {}
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;
  ~Inbox();

  // Both say in `*wake` whether the shard sleeps and the caller must wake it (true once per sleep).
  void Push(InboxItem& item, bool* wake);
  // False when full; `work` was not taken then.
  bool Post(std::move_only_function<void()>& work, bool* wake);

  // Runs what was there at the call, in the order of its arrival; returns how many.
  size_t Drain();
  bool empty() const { return head_.load(std::memory_order_seq_cst) == nullptr; }

  // Announces sleep. False when there is something to do instead.
  bool FallAsleep();
  void Awake() { sleeping_.store(false, std::memory_order_seq_cst); }

 private:
  class PostedWork;
  InboxItem* TakeAll();

  const size_t posted_max_;
  std::atomic<InboxItem*> head_{nullptr};  // Newest first.
  std::atomic<size_t> posted_{0};
  std::atomic<bool> sleeping_{false};
};

}  // namespace millrace
