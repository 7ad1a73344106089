#include "common/sys/machine.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

namespace millrace {
namespace {

std::optional<std::string> FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<int64_t> Number(const std::optional<std::string>& text) {
  if (!text.has_value()) return std::nullopt;
  int64_t value = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end == text->data()) return std::nullopt;
  return value;
}

// The folder of our cgroup for a v1 controller ("cpu"), or of the v2 tree (""). In a container the
// tree is usually mounted so that "/" is our own.
std::string CgroupFolder(const std::string& controller) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // "4:memory:/path", v2 "0::/path".
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::stringstream controllers(line.substr(first + 1, second - first - 1));
    std::string path = line.substr(second + 1);
    if (controller.empty() && second == first + 1) return "/sys/fs/cgroup" + path;
    for (std::string each; std::getline(controllers, each, ',');) {
      if (each == controller) return "/sys/fs/cgroup/" + controller + path;
    }
  }
  return controller.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controller;
}

// Reads `name` in our cgroup, or at the mount's root where a container hides the path.
std::optional<std::string> CgroupValue(const std::string& controller, const std::string& name) {
  std::optional<std::string> own = FirstLine(CgroupFolder(controller) + "/" + name);
  if (own.has_value()) return own;
  const std::string root = controller.empty() ? "" : "/" + controller;
  return FirstLine("/sys/fs/cgroup" + root + "/" + name);
}

// Processors' worth of time per period, if there is a quota.
std::optional<double> CpuQuota() {
  if (std::optional<std::string> line = CgroupValue("", "cpu.max"); line.has_value()) {
    std::stringstream fields(*line);  // "max 100000" or "150000 100000".
    double quota = 0;
    double period = 0;
    if (fields >> quota >> period && period > 0) return quota / period;
    return std::nullopt;
  }
  std::optional<int64_t> quota = Number(CgroupValue("cpu", "cpu.cfs_quota_us"));
  std::optional<int64_t> period = Number(CgroupValue("cpu", "cpu.cfs_period_us"));
  if (!quota.has_value() || !period.has_value() || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

}  // namespace

size_t UsableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  size_t cpus = 1;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
    cpus = static_cast<size_t>(CPU_COUNT(&set));
  } else if (const long online = ::sysconf(_SC_NPROCESSORS_ONLN); online > 0) {
    cpus = static_cast<size_t>(online);  // More processors than the set has room for.
  }
  if (std::optional<double> quota = CpuQuota(); quota.has_value()) {
    cpus = std::min(cpus, static_cast<size_t>(*quota));
  }
  return std::max<size_t>(cpus, 1);
}

uint64_t UsableMemory() {
  const auto pages = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES));
  uint64_t bytes = pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  for (std::optional<int64_t> limit : {Number(CgroupValue("", "memory.max")),
                                       Number(CgroupValue("memory", "memory.limit_in_bytes"))}) {
    if (limit.has_value() && *limit > 0) bytes = std::min(bytes, static_cast<uint64_t>(*limit));
  }
  return bytes;
}

uint64_t ResidentMemory() {
  std::ifstream file("/proc/self/statm");
  uint64_t size = 0;
  uint64_t resident = 0;
  if (!(file >> size >> resident)) return 0;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

uint64_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < limit.rlim_max) {
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
  }
  return static_cast<uint64_t>(limit.rlim_cur);
}

}  // namespace millrace
