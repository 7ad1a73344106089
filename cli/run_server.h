// Runs a node until SIGTERM or SIGINT: what `millrace server` does once it knows its settings.
#pragma once

#include "cli/node_settings.h"

namespace millrace {

// The exit status: 0 after a clean stop.
int RunServer(NodeSettings settings);

}  // namespace millrace
