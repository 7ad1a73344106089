// What the tests of moves between log directories share: a store with two of them, and where a log of
// one of them moves to.
#pragma once

#include <string>

#include "storage/log_store.h"

namespace millrace {

// Moves go as fast as they can.
inline LogStoreOptions TwoDirectories() {
  LogStoreOptions options;
  options.log_dirs = {"/a", "/b"};
  options.move_bytes_per_second = 0;
  options.scrub_bytes_per_second = 0;
  return options;
}

inline std::string OtherThan(const std::string& directory) {
  return directory == "/a" ? "/b" : "/a";
}

}  // namespace millrace
