// What Java calls the absolute path: the working directory in front of a relative one, nothing
// resolved.
//
// Shard: any.
#pragma once

#include <string>

namespace millrace {

std::string AbsolutePath(const std::string& path);

}  // namespace millrace
