#include <fmt/format.h>

#include "test/sim/raft_cluster.h"
#include "test/sim/scenarios.h"

namespace millrace::simtest {

void AddRaftScenarios(std::vector<Scenario>* scenarios) {
  scenarios->push_back({"raft",
                        "Raft cores without machines: every schedule of messages and writes",
                        [](uint64_t seed, const RunOptions& run) {
                          return RaftCluster(seed, RaftBug::kNone, run.trace).Run();
                        }});
  for (RaftBug bug : kRaftBugs) {
    scenarios->push_back({fmt::format("raft-{}", RaftBugName(bug)),
                          "Raft cores with a planted bug, which must be found",
                          [bug](uint64_t seed, const RunOptions& run) {
                            return RaftCluster(seed, bug, run.trace).Run();
                          },
                          /*must_fail=*/true});
  }
}

}  // namespace millrace::simtest
