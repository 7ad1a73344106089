// This machine's name: what an advertised listener without a host stands for.
#pragma once

#include <string>

namespace millrace {

// "localhost" where the machine has none.
std::string HostName();

}  // namespace millrace
