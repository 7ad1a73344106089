// Env: the world as one shard sees it. Only main() and the simulator build one; everything else is
// lent it.
//
// Shard:    one Env per shard; its members belong to that shard.
// Lifetime: outlives everything that was given it.
#pragma once

#include "common/clock.h"
#include "common/disk.h"
#include "common/log/log.h"
#include "common/network.h"
#include "common/random.h"
#include "common/runtime/helper_pool.h"
#include "common/runtime/reactor.h"

namespace millrace {

struct Env {
  Reactor& reactor;
  Clock& clock;
  Random& random;
  Disk& disk;
  Network& network;
  HelperPool& helpers;
  Logger& logger;
};

}  // namespace millrace
