// Every story of test/scripts/replication/ goes as it is written (replication_story.h says what the
// commands do). `replication_test "[rewrite]"` writes them as they go now: read what changed, and
// defend each line in the commit.
#include "replication/replication_story.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> Stories() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(MILLRACE_REPLICATION_STORIES)) {
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

TEST_CASE("Replication stories: each goes as it is written") {
  REQUIRE(Stories().size() >= 10);
  for (const fs::path& path : Stories()) {
    INFO(path.filename().string());
    const std::string story = ReadAll(path);
    CHECK(RunStory(story) == story);
  }
}

TEST_CASE("Replication stories: written as they go now", "[.][rewrite]") {
  for (const fs::path& path : Stories()) {
    const std::string story = RunStory(ReadAll(path));
    std::ofstream(path) << story;
  }
}

}  // namespace millrace
