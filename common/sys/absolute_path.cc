#include "common/sys/absolute_path.h"

#include <unistd.h>

#include <climits>

namespace millrace {

std::string AbsolutePath(const std::string& path) {
  char folder[PATH_MAX];
  if (path.starts_with('/') || ::getcwd(folder, sizeof(folder)) == nullptr) return path;
  return std::string(folder) + "/" + path;
}

}  // namespace millrace
