// CancelForward: cancels a source of ours when somebody else's is cancelled.
//
// Shard:    one.
// Lifetime: `to` outlives it.
#pragma once

#include "common/runtime/cancellation.h"

namespace millrace {

class CancelForward final : public CancellationCallback {
 public:
  explicit CancelForward(CancellationSource& to) : to_(to) {}
  void OnCancel() override { to_.Cancel(); }

 private:
  CancellationSource& to_;
};

}  // namespace millrace
