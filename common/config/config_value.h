// How one setting's text becomes a value: its type, what is accepted, and what to say when it is
// not. Shared by broker and topic keys.
//
// Messages are Kafka's own ("Invalid value 1 for configuration segment.bytes: Value must be at
// least 1048576"), because clients print them and people search for them. Source: behaviour of
// Kafka 4.3's configuration parser, observed.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace millrace {

enum class ConfigType {
  kBoolean,   // true or false, in any case
  kString,    //
  kShort,     // 16-bit
  kInt,       // 32-bit
  kLong,      // 64-bit
  kDouble,    // finite
  kList,      // comma-separated; blanks around commas do not count; repeated elements count once
  kClass,     // a JVM class name; never loaded
  kPassword,  // never printed
};

// "boolean", "string", ...: as the documentation of Kafka names types.
std::string_view ConfigTypeName(ConfigType type);

// What is accepted within a type. A rule is a constant of a table: `words` must be a literal.
struct ValueRule {
  enum class Kind {
    kAny,
    kAtLeast,            // >= min
    kBetween,            // min..max
    kMinusOneOrBetween,  // -1 or min..max
    kOneOf,              // a string, or each element of a list, is one of `words`
    kOneOfAnyCase,       // the same in any case
    kReplicaList,        // "*" or partition:broker,partition:broker,...
  };
  Kind kind = Kind::kAny;
  int64_t min = 0;
  int64_t max = 0;
  std::string_view words = {};  // "a|b|c"
  bool may_be_empty = true;     // For strings and lists.

  constexpr ValueRule NotEmpty() const {
    ValueRule rule = *this;
    rule.may_be_empty = false;
    return rule;
  }
};

constexpr ValueRule Any() { return {}; }
constexpr ValueRule AtLeast(int64_t min) { return {.kind = ValueRule::Kind::kAtLeast, .min = min}; }
constexpr ValueRule Between(int64_t min, int64_t max) {
  return {.kind = ValueRule::Kind::kBetween, .min = min, .max = max};
}
constexpr ValueRule MinusOneOrBetween(int64_t min, int64_t max) {
  return {.kind = ValueRule::Kind::kMinusOneOrBetween, .min = min, .max = max};
}
constexpr ValueRule OneOf(std::string_view words) {
  return {.kind = ValueRule::Kind::kOneOf, .words = words};
}
constexpr ValueRule OneOfAnyCase(std::string_view words) {
  return {.kind = ValueRule::Kind::kOneOfAnyCase, .words = words};
}
constexpr ValueRule ReplicaList() { return {.kind = ValueRule::Kind::kReplicaList}; }

// kBoolean: bool. kShort, kInt, kLong: int64_t. kDouble: double. kString, kClass, kPassword:
// string. kList: vector.
using ConfigValue = std::variant<bool, int64_t, double, std::string, std::vector<std::string>>;

// The value, or Kafka's message for why `text` is none.
std::expected<ConfigValue, std::string> ParseConfigValue(std::string_view name, ConfigType type,
                                                         const ValueRule& rule,
                                                         std::string_view text);

// The one spelling a value is shown with; ParseConfigValue reads it back.
std::string ConfigValueText(const ConfigValue& value);

// For people: "a whole number of at least 1", "one of delete, compact", ...
std::string AcceptedValues(ConfigType type, const ValueRule& rule);

// Splits "a|b|c".
std::vector<std::string_view> RuleWords(const ValueRule& rule);

// `text` without blanks and control characters at either end (Java's trim).
std::string_view TrimConfigText(std::string_view text);

}  // namespace millrace
