#include "common/sys/text_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace millrace {

absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t bytes_max) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
  if (file == nullptr) {
    std::string message = fmt::format("{}: {}", path, std::strerror(errno));
    if (errno == ENOENT) return absl::NotFoundError(message);
    if (errno == EACCES) return absl::PermissionDeniedError(message);
    return absl::UnavailableError(message);
  }
  std::string text;
  char piece[4096];
  while (size_t count = std::fread(piece, 1, sizeof(piece), file.get())) {
    text.append(piece, count);
    if (text.size() > bytes_max) {
      return absl::OutOfRangeError(fmt::format("{}: more than {} bytes", path, bytes_max));
    }
  }
  if (std::ferror(file.get()) != 0)
    return absl::UnavailableError(fmt::format("{}: cannot be read", path));
  return text;
}

}  // namespace millrace
