#include "common/persistent_map.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <string>
#include <vector>

using millrace::PersistentMap;

TEST_CASE("PersistentMap: behaves as std::map, and old versions stay as they were") {
  std::mt19937 random(7);
  std::map<std::string, int> model;
  PersistentMap<std::string, int> map;
  std::vector<std::pair<PersistentMap<std::string, int>, std::map<std::string, int>>> history;
  for (int step = 0; step < 3000; ++step) {
    std::string key = "k" + std::to_string(random() % 200);
    if (random() % 3 == 0) {
      map = map.Without(key);
      model.erase(key);
    } else {
      map = map.With(key, step);
      model[key] = step;
    }
    if (step % 500 == 0) history.emplace_back(map, model);
  }
  history.emplace_back(map, model);
  for (const auto& [version, expected] : history) {
    REQUIRE(version.size() == expected.size());
    std::map<std::string, int> seen;
    version.ForEach([&](const std::string& key, int value) {
      seen[key] = value;
      return true;
    });
    REQUIRE(seen == expected);
    for (const auto& [key, value] : expected) REQUIRE(*version.Find(key) == value);
  }
}

TEST_CASE("PersistentMap: walks start where they are told and stop when told") {
  PersistentMap<std::string, int> map;
  for (int i = 0; i < 9; ++i) map = map.With("k" + std::to_string(i), i);
  std::vector<int> seen;
  map.ForEachFrom(std::string("k5"), [&](const std::string&, int value) {
    seen.push_back(value);
    return value < 7;
  });
  CHECK(seen == std::vector<int>{5, 6, 7});
}
