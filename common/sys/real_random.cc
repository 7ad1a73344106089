#include "common/sys/real_random.h"

#include <sys/random.h>

#include "common/check.h"

namespace millrace {

uint64_t RealRandom::Next() {
  if (left_ == 0) {
    MR_CHECK(::getrandom(batch_.data(), sizeof(batch_), 0) == sizeof(batch_));
    left_ = batch_.size();
  }
  return batch_[--left_];
}

}  // namespace millrace
