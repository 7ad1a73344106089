#include "common/persistent_map.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
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

namespace {

// The hash by which this map was once balanced: a name's place in the tree followed from it.
uint64_t FormerPriority(std::string_view key) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (unsigned char c : key) hash = (hash ^ c) * 0x100000001b3ULL;
  hash ^= hash >> 32;
  hash *= 0x9E3779B97F4A7C15ULL;
  return hash ^ (hash >> 29);
}

// Names in their order, each with a lower priority than the one before: a client finds the next by
// trying suffixes, and the tree was a list.
std::vector<std::string> NamesOfAList(size_t count) {
  std::vector<std::string> names;
  uint64_t below = ~uint64_t{0};
  const uint64_t step = below / (count + 1);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t high = below - i * step;
    for (uint64_t attempt = 0;; ++attempt) {
      std::string name = std::to_string(100000 + i) + "-" + std::to_string(attempt);
      const uint64_t priority = FormerPriority(name);
      if (priority > high || priority <= high - step) continue;
      names.push_back(std::move(name));
      break;
    }
  }
  return names;
}

size_t HeightMax(size_t size) {
  return static_cast<size_t>(2.41 * std::log2(static_cast<double>(size + 1))) + 1;
}

}  // namespace

TEST_CASE("PersistentMap: names that somebody chose do not make it a list") {
  const std::vector<std::string> names = NamesOfAList(600);
  PersistentMap<std::string, int> map;
  for (size_t i = 0; i < names.size(); ++i) map = map.With(names[i], static_cast<int>(i));
  CHECK(map.height() <= HeightMax(names.size()));
  for (size_t i = 0; i < names.size(); ++i) REQUIRE(*map.Find(names[i]) == static_cast<int>(i));
}

TEST_CASE("PersistentMap: stays balanced in whatever order keys come and go") {
  const auto check = [](const PersistentMap<int, int>& map) {
    REQUIRE(map.height() <= HeightMax(map.size()));
  };
  constexpr int kKeys = 1000;
  for (int pattern = 0; pattern < 4; ++pattern) {
    CAPTURE(pattern);
    PersistentMap<int, int> map;
    for (int i = 0; i < kKeys; ++i) {
      // Up, down, from both ends, from the middle.
      const int keys[] = {i, kKeys - i, i % 2 == 0 ? i : 10 * kKeys - i,
                          i % 2 == 0 ? 5 * kKeys - i : 5 * kKeys + i};
      map = map.With(keys[pattern], i);
      if (i % 50 == 0) check(map);
    }
    REQUIRE(map.size() == kKeys);
    // From one end, so that all the rest is on the other side.
    while (!map.empty()) {
      int first = 0;
      map.ForEach([&first](int key, int) {
        first = key;
        return false;
      });
      map = map.Without(first);
      if (map.size() % 50 == 0) check(map);
    }
  }
}

TEST_CASE("PersistentMap: random changes keep every subtree in balance") {
  std::mt19937 random(11);
  PersistentMap<int, int> map;
  for (int step = 0; step < 20'000; ++step) {
    const int key = static_cast<int>(random() % 3000);
    // Waves: it grows, then nearly empties.
    map = (step / 2500 % 2 == 0) == (random() % 5 != 0) ? map.With(key, step) : map.Without(key);
    if (step % 100 == 0) REQUIRE(map.height() <= HeightMax(map.size()));
  }
}
