#include "common/config/config_keys.h"

#include <catch2/catch.hpp>
#include <set>

#include "common/config/edit_distance.h"

namespace millrace {
namespace {

TEST_CASE("ConfigKeys: every name stands in the table once") {
  std::set<std::string_view> names;
  for (const ConfigKey& key : BrokerConfigKeys()) {
    INFO(key.name);
    CHECK(names.insert(key.name).second);
    CHECK(FindBrokerConfigKey(key.name)->about == key.about);
  }
  CHECK(names.size() > 400);
  CHECK(FindBrokerConfigKey("num.partition") == nullptr);
}

TEST_CASE("ConfigKeys: every default is a value the key accepts") {
  for (const ConfigKey& key : BrokerConfigKeys()) {
    if (!key.default_text.has_value()) continue;
    std::expected<ConfigValue, std::string> value =
        ParseConfigValue(key.name, key.type, key.rule, *key.default_text);
    INFO((value.has_value() ? "" : value.error()));
    CHECK(value.has_value());
  }
}

TEST_CASE("ConfigKeys: every key has one line of meaning, and a note unless it is used") {
  auto is_sentence = [](std::string_view text) { return text.size() > 9 && text.back() == '.'; };
  for (const ConfigKey& key : BrokerConfigKeys()) {
    INFO(key.name);
    bool is_listing = key.about.ends_with("...");  // "NAME:PROTOCOL, ..."
    CHECK((is_listing || is_sentence(key.about)));
    CHECK(key.about.find('\n') == std::string_view::npos);
    bool used = key.use.kind == KeyUse::Kind::kUsed;
    CHECK(used == key.use.note.empty());
    CHECK((used || is_sentence(key.use.note)));
  }
}

TEST_CASE("ConfigKeys: families are known by their prefix") {
  CHECK(FindKeyFamily("zookeeper.ssl.keystore.location")->use.kind == KeyUse::Kind::kRemoved);
  CHECK(FindKeyFamily("listener.name.internal.ssl.key.password").has_value());
  CHECK_FALSE(FindKeyFamily("num.partitions").has_value());
}

TEST_CASE("ConfigKeys: a misspelt name finds the one that was meant") {
  CHECK(NearestBrokerConfigKey("num.partition") == "num.partitions");
  CHECK(NearestBrokerConfigKey("log.retention.hour") == "log.retention.hours");
  CHECK(NearestBrokerConfigKey("advertized.listeners") == "advertised.listeners");
  CHECK(NearestBrokerConfigKey("millrace.durabilty") == "millrace.durability");
  CHECK_FALSE(NearestBrokerConfigKey("something.else.entirely").has_value());
  CHECK_FALSE(NearestBrokerConfigKey(std::string(10000, 'a')).has_value());
}

TEST_CASE("EditDistance: insertions, deletions, replacements and swaps count one each") {
  CHECK(EditDistance("", "") == 0);
  CHECK(EditDistance("abc", "") == 3);
  CHECK(EditDistance("kitten", "sitting") == 3);
  CHECK(EditDistance("ab", "ba") == 1);
  CHECK(EditDistance("ca", "abc") == 3);  // 2 if a piece could be edited twice.
  CHECK(EditDistance("num.io.threads", "num.io.thraeds") == 1);
}

TEST_CASE("NearestName: a short name may differ in one character only") {
  constexpr std::string_view kNames[] = {"cat", "house"};
  CHECK(NearestName("cut", kNames) == "cat");
  CHECK_FALSE(NearestName("cup", kNames).has_value());
  CHECK_FALSE(NearestName("mouth", kNames).has_value());
}

}  // namespace
}  // namespace millrace
