#include "test/bench/process_use.h"

#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "test/bench/load_connection.h"

namespace millrace::bench {

ProcessUse ProcessUse::Of(int pid) {
  ProcessUse use;
  const std::string folder = "/proc/" + std::to_string(pid);
  std::ifstream stat(folder + "/stat");
  std::string line;
  std::getline(stat, line);
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) Fail("no process " + std::to_string(pid));
  std::istringstream fields(line.substr(name_end + 2));
  std::string field;
  for (int skipped = 0; skipped < 11; ++skipped) fields >> field;  // Up to utime, the 14th.
  double user = 0;
  double system = 0;
  fields >> user >> system;
  use.cpu_s = (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  std::ifstream io(folder + "/io");
  while (io >> field) {
    if (field == "write_bytes:") io >> use.written_bytes;
    if (field == "read_bytes:") io >> use.read_bytes;
  }
  return use;
}

ProcessUse ProcessUse::Of(std::span<const int> pids) {
  ProcessUse sum;
  for (int pid : pids) {
    const ProcessUse one = Of(pid);
    sum.cpu_s += one.cpu_s;
    sum.written_bytes += one.written_bytes;
    sum.read_bytes += one.read_bytes;
  }
  return sum;
}

}  // namespace millrace::bench
