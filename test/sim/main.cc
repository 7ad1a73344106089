// millrace_simtest: runs scenarios of the simulated world over a range of seeds.
//
//   millrace_simtest [--seeds A..B] [--scenario NAME]... [--trace-hash] [--trace FILE-less: lines
//   to stdout] [--log] [--list]
//
// Exit status: 0 when every seed held (or, for a planted bug, one seed found it), else 1. A failure
// prints "seed=N commit=C scenario=S" and what was not true; the same line stands before the report
// of a CHECK or a sanitizer, so that any end of the process names its seed.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "sim_commit.h"
#include "test/sim/scenarios.h"

namespace millrace::simtest {
namespace {

struct Arguments {
  uint64_t first = 1;
  uint64_t last = 20;
  std::vector<std::string> scenarios;
  bool trace_hash = false;
  bool trace = false;
  bool log = false;
  bool list = false;
  bool verbose = false;
};

// What the signal handler prints: set before each seed.
char current_seed[256] = "";

extern "C" void OnAbort(int) {
  std::fputs(current_seed, stderr);
  std::fflush(stderr);
}

class StdoutLogger final : public Logger {
 public:
  void Log(LogLevel level, std::string message) override {
    fmt::print("{:<5} {}\n", LogLevelName(level), message);
  }
  bool Enabled(LogLevel) const override { return true; }
};

std::optional<Arguments> Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const bool has_value = i + 1 < argc;
    if (word == "--seeds" && has_value) {
      const std::string range = argv[++i];
      const size_t dots = range.find("..");
      arguments.first = std::strtoull(range.c_str(), nullptr, 10);
      arguments.last = dots == std::string::npos
                           ? arguments.first
                           : std::strtoull(range.c_str() + dots + 2, nullptr, 10);
    } else if (word == "--scenario" && has_value) {
      arguments.scenarios.push_back(argv[++i]);
    } else if (word == "--trace-hash") {
      arguments.trace_hash = true;
    } else if (word == "--trace") {
      arguments.trace = true;
    } else if (word == "--log") {
      arguments.log = true;
    } else if (word == "--list") {
      arguments.list = true;
    } else if (word == "--verbose") {
      arguments.verbose = true;
    } else {
      fmt::print(stderr,
                 "unknown argument {}\nusage: millrace_simtest [--seeds A..B] [--scenario NAME]... "
                 "[--trace-hash] [--trace] [--log] [--verbose] [--list]\n",
                 word);
      return std::nullopt;
    }
  }
  return arguments;
}

// Runs the seeds of one scenario; true when it went as it should.
bool RunScenario(const Scenario& scenario, const Arguments& arguments) {
  StdoutLogger logger;
  RunOptions options;
  if (arguments.log) options.logger = &logger;
  if (arguments.trace) options.trace = [](std::string line) { fmt::print("{}\n", line); };
  uint64_t failed = 0;
  for (uint64_t seed = arguments.first; seed <= arguments.last; ++seed) {
    const std::string name =
        fmt::format("seed={} commit={} scenario={}", seed, kCommit, scenario.name);
    std::snprintf(current_seed, sizeof(current_seed), "%s: the process ended\n", name.c_str());
    const Outcome outcome = scenario.run(seed, options);
    if (arguments.trace_hash) {
      fmt::print("{} seed={} trace={:016x}\n", scenario.name, seed, outcome.trace_hash);
    }
    if (arguments.verbose) fmt::print("{}: {}\n", name, outcome.summary);
    std::fflush(stdout);
    if (outcome.violations.empty()) continue;
    ++failed;
    if (scenario.must_fail) {
      fmt::print("{}: found by seed {}:\n", scenario.name, seed);
      for (const std::string& violation : outcome.violations) fmt::print("  {}\n", violation);
      return true;
    }
    fmt::print("{}: {}\n", name, outcome.summary);
    for (const std::string& violation : outcome.violations) fmt::print("  {}\n", violation);
    std::fflush(stdout);
  }
  const uint64_t seeds = arguments.last - arguments.first + 1;
  if (scenario.must_fail) {
    fmt::print("{}: NOT FOUND in {} seeds: the simulator is blind for this bug\n", scenario.name,
               seeds);
    return false;
  }
  fmt::print("{}: {} of {} seeds held\n", scenario.name, seeds - failed, seeds);
  return failed == 0;
}

int Main(int argc, char** argv) {
  std::optional<Arguments> arguments = Parse(argc, argv);
  if (!arguments.has_value()) return 2;
  std::signal(SIGABRT, OnAbort);
  const std::vector<Scenario> scenarios = AllScenarios();
  if (arguments->list) {
    for (const Scenario& scenario : scenarios) {
      fmt::print("{:<36} {}\n", scenario.name, scenario.about);
    }
    return 0;
  }
  bool all_well = true;
  for (const std::string& wanted : arguments->scenarios) {
    bool known = false;
    for (const Scenario& scenario : scenarios) known = known || scenario.name == wanted;
    if (!known) {
      fmt::print(stderr, "no scenario is named {} (--list shows them)\n", wanted);
      return 2;
    }
  }
  for (const Scenario& scenario : scenarios) {
    bool chosen = arguments->scenarios.empty();
    for (const std::string& wanted : arguments->scenarios) chosen |= wanted == scenario.name;
    if (chosen) all_well = RunScenario(scenario, *arguments) && all_well;
  }
  return all_well ? 0 : 1;
}

}  // namespace

std::vector<Scenario> AllScenarios() {
  std::vector<Scenario> scenarios;
  AddToyScenarios(&scenarios);
  AddStorageScenarios(&scenarios);
  AddCompactionScenarios(&scenarios);
  AddRaftScenarios(&scenarios);
  AddQuorumScenarios(&scenarios);
  AddNodeScenarios(&scenarios);
  AddControlScenarios(&scenarios);
  AddClusterScenarios(&scenarios);
  AddGroupScenarios(&scenarios);
  return scenarios;
}

}  // namespace millrace::simtest

int main(int argc, char** argv) { return millrace::simtest::Main(argc, argv); }
