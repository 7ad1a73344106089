#include "common/runtime/stall_detector.h"

#include <dlfcn.h>

#include <string>

namespace millrace {
namespace {

// The address as the binary on disk counts it, which is what addr2line wants of a PIE.
std::string Place(const void* code) {
  if (code == nullptr) return {};
  Dl_info info{};
  if (dladdr(code, &info) == 0 || info.dli_fbase == nullptr) return fmt::format(" at {}", code);
  const auto offset =
      reinterpret_cast<uintptr_t>(code) - reinterpret_cast<uintptr_t>(info.dli_fbase);
  return fmt::format(" in {}+{:#x}{}{}", info.dli_fname, offset,
                     info.dli_sname == nullptr ? "" : " ",
                     info.dli_sname == nullptr ? "" : info.dli_sname);
}

}  // namespace

void StallDetector::Report(std::string_view what, Duration duration, const void* code,
                           Instant now) {
  ++stalls_;
  if (now < quiet_until_) {
    ++unreported_;
    return;
  }
  logger_.Warning("the shard stood still for {} ms: one turn of class {}{} ({} more unreported)",
                  duration.count() / 1'000'000, what, Place(code), unreported_);
  unreported_ = 0;
  quiet_until_ = now + options_.line_every;
}

}  // namespace millrace
