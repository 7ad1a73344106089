// ContractWorld: what the one suite over Reactor, Disk, Network and HelperPool needs of a world, so
// that it runs on io_uring, on epoll and in the simulator (contract_test_suite.h).
//
// Shard: one, the thread of the test.
#pragma once

#include <string>

#include "common/env.h"
#include "common/runtime/task.h"

namespace millrace {

class ContractWorld {
 public:
  virtual ~ContractWorld() = default;
  virtual Env& env() = 0;
  // Returns when `task` has ended.
  virtual void RunUntilDone(Task<void> task) = 0;
  // An empty folder that is there, without a '/' at its end; gone with the world.
  virtual std::string folder() = 0;
  // Where this world can listen and connect to itself.
  virtual std::string host() = 0;
  // Whether time is real and other threads exist.
  virtual bool is_real() const = 0;
};

}  // namespace millrace
