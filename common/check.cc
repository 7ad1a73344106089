#include "common/check.h"

#include <cstdio>
#include <cstdlib>

namespace millrace {

void CheckFailed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "CHECK failed: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace millrace
