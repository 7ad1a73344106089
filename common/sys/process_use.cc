#include "common/sys/process_use.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

namespace millrace {
namespace {

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

uint64_t OpenFiles() {
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  uint64_t entries = 0;
  while (::readdir(folder) != nullptr) ++entries;
  ::closedir(folder);
  return entries < 3 ? 0 : entries - 3;  // ".", "..", and the folder's own descriptor.
}

// When the machine was booted, since 1970.
double BootSeconds() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double seconds = 0;
    if (word == "btime" && file >> seconds) return seconds;
  }
  return 0;
}

// The fields of /proc/self/stat behind the program's name, which may have blanks and brackets.
void ReadStat(ProcessUse& use) {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int i = 3; i < 20; ++i) fields >> skipped;  // proc(5) counts from 1; the state is field 3.
  uint64_t start_ticks = 0;
  uint64_t resident_pages = 0;
  fields >> use.threads >> skipped >> start_ticks >> use.virtual_bytes >> resident_pages;
  if (!fields) return;
  use.resident_bytes = resident_pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  use.start_seconds = BootSeconds() + static_cast<double>(start_ticks) /
                                          static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

ProcessUse ReadProcessUse() {
  ProcessUse use;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    use.cpu_seconds = Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  }
  ReadStat(use);
  use.open_files = OpenFiles();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) use.open_files_max = limit.rlim_cur;
  return use;
}

}  // namespace millrace
