// Every story of test/scripts/groups/ and test/scripts/migration/ goes as it is written
// (classic_group_story.h and migration_story.h say what the commands do). `groups_test "[rewrite]"` writes them as they go now: read what changed, and
// defend each line in the commit.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "broker/groups/classic_group_story.h"
#include "broker/groups/migration_story.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> Stories(const char* folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
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

using Teller = std::string (*)(const std::string&);

void Check(const char* folder, Teller tell, size_t count_min) {
  REQUIRE(Stories(folder).size() >= count_min);
  for (const fs::path& path : Stories(folder)) {
    INFO(path.filename().string());
    const std::string story = ReadAll(path);
    CHECK(tell(story) == story);
  }
}

void Rewrite(const char* folder, Teller tell) {
  for (const fs::path& path : Stories(folder)) {
    const std::string story = tell(ReadAll(path));
    std::ofstream(path) << story;
  }
}

}  // namespace

TEST_CASE("Group stories: each goes as it is written") {
  Check(MILLRACE_GROUP_STORIES, RunGroupStory, 10);
}

TEST_CASE("Migration stories: each goes as it is written") {
  Check(MILLRACE_MIGRATION_STORIES, RunMigrationStory, 5);
}

TEST_CASE("Group stories: written as they go now", "[.][rewrite]") {
  Rewrite(MILLRACE_GROUP_STORIES, RunGroupStory);
  Rewrite(MILLRACE_MIGRATION_STORIES, RunMigrationStory);
}

}  // namespace millrace
