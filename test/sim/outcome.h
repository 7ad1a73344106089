// What one seed of a scenario came to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::simtest {

struct Outcome {
  std::vector<std::string> violations;  // Empty: everything held.
  uint64_t trace_hash = 0;
  uint64_t events = 0;
  std::string summary;
};

}  // namespace millrace::simtest
