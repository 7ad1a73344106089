#include <fmt/format.h>

#include "test/sim/quorum_story.h"
#include "test/sim/scenarios.h"

namespace millrace::simtest {

void AddQuorumScenarios(std::vector<Scenario>* scenarios) {
  scenarios->push_back({"quorum", "one to five controllers with disks and streams, every fault",
                        [](uint64_t seed, const RunOptions& run) {
                          return QuorumStory(seed, QuorumKind::kStatic, QuorumBug::kNone, run.trace,
                                             run.logger)
                              .Run();
                        }});
  scenarios->push_back({"quorum-join", "controllers that make themselves voters, every fault",
                        [](uint64_t seed, const RunOptions& run) {
                          return QuorumStory(seed, QuorumKind::kJoined, QuorumBug::kNone, run.trace,
                                             run.logger)
                              .Run();
                        }});
  for (QuorumBug bug : kQuorumBugs) {
    scenarios->push_back(
        {fmt::format("quorum-{}", QuorumBugName(bug)),
         "controllers with a planted bug, which must be found",
         [bug](uint64_t seed, const RunOptions& run) {
           return QuorumStory(seed, QuorumKind::kStatic, bug, run.trace, run.logger).Run();
         },
         /*must_fail=*/true});
  }
}

}  // namespace millrace::simtest
