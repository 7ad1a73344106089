// Cancellation as a request: a source asks, tokens hear, and whoever waits still awaits the end.
//
// Shard:    one; source, tokens and callbacks live on the same shard.
// Lifetime: a token is a borrowed pointer: the source must outlive it. A default token is never
// cancelled. Note:     a cancelled write may have happened; interfaces that take a token say so
// under Errors.
#pragma once

#include "common/check.h"

namespace millrace {

class CancellationSource;

// Something to run when cancellation is requested; an intrusive list node, unlinked by its
// destructor.
class CancellationCallback {
 public:
  CancellationCallback() = default;
  CancellationCallback(const CancellationCallback&) = delete;
  CancellationCallback& operator=(const CancellationCallback&) = delete;
  virtual void OnCancel() = 0;
  void Unlink() {
    if (previous_ == nullptr) return;
    previous_->next_ = next_;
    if (next_ != nullptr) next_->previous_ = previous_;
    previous_ = next_ = nullptr;
  }

 protected:
  ~CancellationCallback() { Unlink(); }

 private:
  friend class CancellationSource;
  CancellationCallback* previous_ = nullptr;
  CancellationCallback* next_ = nullptr;
};

class CancellationToken {
 public:
  CancellationToken() = default;
  explicit CancellationToken(CancellationSource& source) : source_(&source) {}
  bool cancelled() const;
  // Runs `callback.OnCancel()` once when cancelled (at once if it is already). No-op for a default
  // token.
  void Register(CancellationCallback& callback) const;

 private:
  CancellationSource* source_ = nullptr;
};

class CancellationSource {
 public:
  CancellationSource() = default;
  CancellationSource(const CancellationSource&) = delete;
  CancellationSource& operator=(const CancellationSource&) = delete;
  ~CancellationSource() { MR_CHECK(head_.next_ == nullptr); }

  CancellationToken token() { return CancellationToken(*this); }
  bool cancelled() const { return cancelled_; }

  // Runs every registered callback once; later registrations run at once. Idempotent.
  void Cancel() {
    if (cancelled_) return;
    cancelled_ = true;
    while (head_.next_ != nullptr) {
      CancellationCallback* callback = head_.next_;
      callback->Unlink();
      callback->OnCancel();  // May unlink others: the head is read anew each time.
    }
  }

 private:
  friend class CancellationToken;
  void Link(CancellationCallback& callback) {
    callback.next_ = head_.next_;
    callback.previous_ = &head_;
    if (head_.next_ != nullptr) head_.next_->previous_ = &callback;
    head_.next_ = &callback;
  }
  // The list's sentinel: linked first, never called.
  struct Head final : CancellationCallback {
    void OnCancel() override {}
  };
  Head head_;
  bool cancelled_ = false;
};

inline bool CancellationToken::cancelled() const {
  return source_ != nullptr && source_->cancelled();
}

inline void CancellationToken::Register(CancellationCallback& callback) const {
  if (source_ == nullptr) return;
  if (source_->cancelled()) {
    callback.OnCancel();
    return;
  }
  source_->Link(callback);
}

}  // namespace millrace
