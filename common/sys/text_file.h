// Reading a small text file before the world exists: the configuration decides what the world looks
// like.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <string>

namespace millrace {

// Blocks. kNotFound, kPermissionDenied, kOutOfRange above `bytes_max`, kUnavailable otherwise;
// names the path.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t bytes_max);

}  // namespace millrace
