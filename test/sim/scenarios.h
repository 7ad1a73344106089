// The scenarios that millrace_simtest can run, by name.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "test/sim/story.h"

namespace millrace::simtest {

struct RunOptions {
  std::function<void(std::string)> trace;
  Logger* logger = nullptr;
};

struct Scenario {
  std::string name;
  std::string about;
  std::function<Outcome(uint64_t seed, const RunOptions&)> run;
  // The scenario plants a bug: some seed must find it, and it is an error if none does.
  bool must_fail = false;
};

std::vector<Scenario> AllScenarios();

// The parts, each in a file of its own.
void AddToyScenarios(std::vector<Scenario>* scenarios);
void AddStorageScenarios(std::vector<Scenario>* scenarios);
void AddCompactionScenarios(std::vector<Scenario>* scenarios);
void AddRaftScenarios(std::vector<Scenario>* scenarios);
void AddQuorumScenarios(std::vector<Scenario>* scenarios);
void AddNodeScenarios(std::vector<Scenario>* scenarios);
void AddControlScenarios(std::vector<Scenario>* scenarios);
void AddClusterScenarios(std::vector<Scenario>* scenarios);
void AddGroupScenarios(std::vector<Scenario>* scenarios);

}  // namespace millrace::simtest
