#include "test/sim/scenarios.h"
#include "test/sim/toy_broker.h"

namespace millrace::simtest {
namespace {

StoryOptions ToyStory(ToyBug bug, const RunOptions& run) {
  StoryOptions options;
  options.broker = [bug](SimProcess& process) {
    return std::make_unique<ToyBroker>(process, kBrokerPort, bug);
  };
  options.trace = run.trace;
  options.logger = run.logger;
  return options;
}

}  // namespace

void AddToyScenarios(std::vector<Scenario>* scenarios) {
  scenarios->push_back(
      {"toy", "the toy broker, which keeps its promises", [](uint64_t seed, const RunOptions& run) {
         StoryOptions options = ToyStory(ToyBug::kNone, run);
         return Story(seed, options).Run();
       }});
  for (ToyBug bug : kToyBugs) {
    scenarios->push_back({fmt::format("toy-{}", ToyBugName(bug)),
                          "the toy broker with a planted bug, which must be found",
                          [bug](uint64_t seed, const RunOptions& run) {
                            StoryOptions options = ToyStory(bug, run);
                            return Story(seed, options).Run();
                          },
                          /*must_fail=*/true});
  }
}

}  // namespace millrace::simtest
