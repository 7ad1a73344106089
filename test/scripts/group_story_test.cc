// Every story of test/scripts/groups/ goes as it is written (classic_group_story.h says what the
// commands do). `groups_test "[rewrite]"` writes them as they go now: read what changed, and
// defend each line in the commit.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "broker/groups/classic_group_story.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> Stories() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(MILLRACE_GROUP_STORIES)) {
    if (entry.path().extension() == ".txt") paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  return paths;
}

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path);
  REQUIRE(file.good());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("Group stories: each goes as it is written") {
  REQUIRE(Stories().size() >= 10);
  for (const fs::path& path : Stories()) {
    INFO(path.filename().string());
    const std::string story = ReadAll(path);
    CHECK(RunGroupStory(story) == story);
  }
}

TEST_CASE("Group stories: written as they go now", "[.][rewrite]") {
  for (const fs::path& path : Stories()) {
    const std::string story = RunGroupStory(ReadAll(path));
    std::ofstream(path) << story;
  }
}

}  // namespace millrace
