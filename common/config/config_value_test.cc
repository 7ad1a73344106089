#include "common/config/config_value.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

using List = std::vector<std::string>;

std::string ErrorOf(ConfigType type, const ValueRule& rule, std::string_view text) {
  std::expected<ConfigValue, std::string> value = ParseConfigValue("k", type, rule, text);
  return value.has_value() ? "accepted: " + ConfigValueText(*value) : value.error();
}

TEST_CASE("ConfigValue: numbers trim, take a plus, and stay within type and rule") {
  CHECK(ParseConfigValue("k", ConfigType::kInt, AtLeast(1), " +5\t") == ConfigValue(int64_t{5}));
  CHECK(ErrorOf(ConfigType::kInt, AtLeast(1), "0") ==
        "Invalid value 0 for configuration k: Value must be at least 1");
  CHECK(ErrorOf(ConfigType::kInt, Between(1, 17), "18") ==
        "Invalid value 18 for configuration k: Value must be no more than 17");
  CHECK(ErrorOf(ConfigType::kInt, MinusOneOrBetween(1, 9), "0") ==
        "Invalid value 0 for configuration k: Value must be between 1 and 9 or equal to -1");
  CHECK(ErrorOf(ConfigType::kInt, MinusOneOrBetween(1, 9), "-1") == "accepted: -1");
  for (std::string_view bad : {"", "abc", "1.5", "0x10", "2147483648", "1 2", "+", "+-1", "++1"}) {
    CHECK(ErrorOf(ConfigType::kInt, Any(), bad) ==
          "Invalid value " + std::string(bad) + " for configuration k: Not a number of type INT");
  }
  CHECK(ErrorOf(ConfigType::kInt, Any(), "-2147483648") == "accepted: -2147483648");
  CHECK(ErrorOf(ConfigType::kShort, Any(), "32768").ends_with("Not a number of type SHORT"));
  CHECK(ErrorOf(ConfigType::kLong, Any(), "9223372036854775807") ==
        "accepted: 9223372036854775807");
  CHECK(ErrorOf(ConfigType::kLong, Any(), "9223372036854775808").ends_with("of type LONG"));
}

TEST_CASE("ConfigValue: doubles are read as Java reads them, but must be finite") {
  CHECK(ErrorOf(ConfigType::kDouble, Between(0, 1), "0.5f") == "accepted: 0.5");
  CHECK(ErrorOf(ConfigType::kDouble, Between(0, 1), "1e-1") == "accepted: 0.1");
  CHECK(ErrorOf(ConfigType::kDouble, Between(0, 1), "1") == "accepted: 1.0");
  CHECK(ErrorOf(ConfigType::kDouble, Between(0, 1), "2") ==
        "Invalid value 2.0 for configuration k: Value must be no more than 1");
  for (std::string_view bad : {"NaN", "nan", "inf", "Infinity", "x", "", "f"}) {
    CHECK(ErrorOf(ConfigType::kDouble, Any(), bad).ends_with("Not a number of type DOUBLE"));
  }
}

TEST_CASE("ConfigValue: booleans in any case, nothing else") {
  CHECK(ErrorOf(ConfigType::kBoolean, Any(), " TRUE ") == "accepted: true");
  CHECK(ErrorOf(ConfigType::kBoolean, Any(), "False") == "accepted: false");
  for (std::string_view bad : {"yes", "1", ""}) {
    CHECK(ErrorOf(ConfigType::kBoolean, Any(), bad)
              .ends_with("Expected value to be either true or false"));
  }
}

TEST_CASE("ConfigValue: lists drop blanks and repetitions, refuse empty elements") {
  CHECK(ParseConfigValue("k", ConfigType::kList, Any(), " a , b,a ") ==
        ConfigValue(List{"a", "b"}));
  CHECK(ParseConfigValue("k", ConfigType::kList, Any(), "  ") == ConfigValue(List{}));
  CHECK(ErrorOf(ConfigType::kList, Any(), "a,,b") == "Configuration 'k' values must not be empty.");
  CHECK(ErrorOf(ConfigType::kList, Any(), "a,") == "Configuration 'k' values must not be empty.");
  CHECK(ErrorOf(ConfigType::kList, Any().NotEmpty(), "")
            .starts_with("Configuration 'k' must not be empty."));
  CHECK(ErrorOf(ConfigType::kList, OneOf("compact|delete"), "delete,foo") ==
        "Invalid value foo for configuration k: String must be one of: compact, delete");
}

TEST_CASE("ConfigValue: words are exact unless the rule says otherwise") {
  CHECK(ErrorOf(ConfigType::kString, OneOf("gzip|zstd"), "GZIP") ==
        "Invalid value GZIP for configuration k: String must be one of: gzip, zstd");
  CHECK(ErrorOf(ConfigType::kString, OneOfAnyCase("UPGRADE|DISABLED"), "upgrade") ==
        "accepted: upgrade");
}

TEST_CASE("ConfigValue: a list of throttled replicas is a star or pairs of numbers") {
  for (std::string_view good : {"", "*", "0:1", "0:1, 10:22"}) {
    CHECK(ErrorOf(ConfigType::kList, ReplicaList(), good).starts_with("accepted"));
  }
  for (std::string_view bad : {"1", "a:b", "1:-1", "0:1,*", "1:", ":1"}) {
    CHECK(ErrorOf(ConfigType::kList, ReplicaList(), bad).find("must be the literal '*'") !=
          std::string::npos);
  }
}

TEST_CASE("ConfigValue: a password keeps its blanks") {
  CHECK(ParseConfigValue("k", ConfigType::kPassword, Any(), " a ") ==
        ConfigValue(std::string(" a ")));
}

TEST_CASE("ConfigValue: what is accepted reads as a sentence") {
  CHECK(AcceptedValues(ConfigType::kInt, AtLeast(1)) == "a whole number of at least 1");
  CHECK(AcceptedValues(ConfigType::kDouble, Between(0, 1)) == "a number from 0 to 1");
  CHECK(AcceptedValues(ConfigType::kString, OneOf("a|b")) == "one of a, b");
  CHECK(AcceptedValues(ConfigType::kList, OneOf("a|b").NotEmpty()) ==
        "a list of a, b, at least one of them");
  CHECK(AcceptedValues(ConfigType::kBoolean, Any()) == "true or false");
  CHECK(AcceptedValues(ConfigType::kShort, Any()) == "a whole number from -32768 to 32767");
}

}  // namespace
}  // namespace millrace
