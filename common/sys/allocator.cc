#include "common/sys/allocator.h"

#include <malloc.h>

namespace millrace {
namespace {

// The largest the C library takes: every buffer below it comes from the heap, not from a mapping of
// its own.
constexpr int kMapBytes = 32 << 20;
constexpr int kKeepBytes = 64 << 20;

}  // namespace

void KeepFreedBuffers() {
  // A refusal changes speed only; the allocator goes on with its defaults.
  (void)::mallopt(M_MMAP_THRESHOLD, kMapBytes);
  (void)::mallopt(M_TRIM_THRESHOLD, kKeepBytes);
}

}  // namespace millrace
