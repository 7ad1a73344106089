// A world of one quiet shard, for verbs that need no more.
//
// Shard: the process's only one.
#pragma once

#include <memory>

#include "cli/client_verb.h"
#include "common/log/spdlog_logger.h"
#include "common/sys/real_world.h"

namespace millrace {

// Runs the task `make(env, &exit_status)` to its end; gives the exit status.
template <typename Make>
int RunOnQuietShard(Make make) {
  SpdlogLogger logger(LogLevel::kWarning);
  absl::StatusOr<std::unique_ptr<RealWorld>> world =
      RealWorld::Create({.io = IoBackend::kEpoll}, logger);
  if (!world.ok()) {
    PrintError(world.status());
    return kExitFailed;
  }
  int exit_status = kExitFailed;
  (*world)->Run(make(&(*world)->env(ShardId(0)), &exit_status));
  return exit_status;
}

}  // namespace millrace
