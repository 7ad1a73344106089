// What an errno means to our callers: the codes promised by common/disk.h and common/network.h.
#pragma once

#include <absl/status/status.h>

#include <string>

namespace millrace {

// "<what>: <strerror> (ENAME)" with the code that fits. REQUIRES: error > 0.
absl::Status ErrnoStatus(int error, const std::string& what);

}  // namespace millrace
