// Asks a node's admin endpoint for a page (docs/operations.md, The admin endpoint).
//
// Shard: one. Bounds: an answer of 16 MiB, five seconds.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include "common/env.h"
#include "common/http/http_response.h"
#include "common/network.h"
#include "common/runtime/task.h"

namespace millrace {

// Status and body of `path`. Errors: those of Network::Connect(); kDeadlineExceeded or kUnavailable:
// it does not answer; kOutOfRange: the answer is too long; ParseHttpAnswer()'s.
Task<absl::StatusOr<HttpAnswer>> AskAdmin(Env* env, SocketAddress address, std::string path);

// What is wrong with "host:port" as an option's value, or nothing.
std::string CheckAdminAddress(const std::string& text);

}  // namespace millrace
