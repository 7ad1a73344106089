#include "common/config/config_value.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>

namespace millrace {
namespace {

using Kind = ValueRule::Kind;

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string_view JavaTypeName(ConfigType type) {
  switch (type) {
    case ConfigType::kBoolean:
      return "BOOLEAN";
    case ConfigType::kString:
      return "STRING";
    case ConfigType::kShort:
      return "SHORT";
    case ConfigType::kInt:
      return "INT";
    case ConfigType::kLong:
      return "LONG";
    case ConfigType::kDouble:
      return "DOUBLE";
    case ConfigType::kList:
      return "LIST";
    case ConfigType::kClass:
      return "CLASS";
    case ConfigType::kPassword:
      return "PASSWORD";
  }
  std::abort();
}

struct IntegerRange {
  int64_t min;
  int64_t max;
};

template <typename Int>
constexpr IntegerRange RangeOf() {
  return {std::numeric_limits<Int>::min(), std::numeric_limits<Int>::max()};
}

// The numbers an integer type can hold; nothing for other types.
std::optional<IntegerRange> IntegerRangeOf(ConfigType type) {
  if (type == ConfigType::kShort) return RangeOf<int16_t>();
  if (type == ConfigType::kInt) return RangeOf<int32_t>();
  if (type == ConfigType::kLong) return RangeOf<int64_t>();
  return std::nullopt;
}

// A plus sign is fine before a digit, as in Java; from_chars knows none.
std::string_view WithoutPlus(std::string_view text) {
  bool plus = text.size() >= 2 && text[0] == '+' && text[1] != '-' && text[1] != '+';
  return plus ? text.substr(1) : text;
}

std::optional<int64_t> ParseInteger(std::string_view text, IntegerRange range) {
  text = WithoutPlus(text);
  int64_t value = 0;
  const char* end = text.data() + text.size();
  auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stopped != end) return std::nullopt;
  if (value < range.min || value > range.max) return std::nullopt;
  return value;
}

// NaN and infinities are refused, unlike in Java: no bound can be checked against NaN.
std::optional<double> ParseDouble(std::string_view text) {
  text = WithoutPlus(text);
  if (!text.empty() && std::string_view("fFdD").find(text.back()) != std::string_view::npos) {
    text.remove_suffix(1);  // Java's literal suffixes.
  }
  double value = 0;
  const char* end = text.data() + text.size();
  auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stopped != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

// As Java prints a double: 2 is "2.0".
std::string DoubleText(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::vector<std::string> SplitList(std::string_view text) {
  std::vector<std::string> elements;
  if (text.empty()) return elements;
  while (true) {
    size_t comma = text.find(',');
    elements.emplace_back(TrimConfigText(text.substr(0, comma)));
    if (comma == std::string_view::npos) return elements;
    text.remove_prefix(comma + 1);
  }
}

// Why a number is out of its rule; nothing if it is not.
template <typename Number>
std::optional<std::string> CheckNumber(const ValueRule& rule, Number value) {
  auto below = [&](int64_t bound) { return value < static_cast<Number>(bound); };
  auto above = [&](int64_t bound) { return value > static_cast<Number>(bound); };
  switch (rule.kind) {
    case Kind::kAtLeast:
      if (below(rule.min)) return fmt::format("Value must be at least {}", rule.min);
      return std::nullopt;
    case Kind::kBetween:
      if (below(rule.min)) return fmt::format("Value must be at least {}", rule.min);
      if (above(rule.max)) return fmt::format("Value must be no more than {}", rule.max);
      return std::nullopt;
    case Kind::kMinusOneOrBetween:
      if (value == Number{-1}) return std::nullopt;
      if (!below(rule.min) && !above(rule.max)) return std::nullopt;
      return fmt::format("Value must be between {} and {} or equal to -1", rule.min, rule.max);
    case Kind::kAny:
    case Kind::kOneOf:
    case Kind::kOneOfAnyCase:
    case Kind::kReplicaList:
      return std::nullopt;
  }
  std::abort();
}

std::optional<std::string> CheckWord(const ValueRule& rule, std::string_view word) {
  bool any_case = rule.kind == Kind::kOneOfAnyCase;
  if (rule.kind != Kind::kOneOf && !any_case) return std::nullopt;
  std::vector<std::string_view> words = RuleWords(rule);
  for (std::string_view accepted : words) {
    if (any_case ? Lower(word) == Lower(accepted) : word == accepted) return std::nullopt;
  }
  return fmt::format("String must be one of{}: {}", any_case ? " (case insensitive)" : "",
                     fmt::join(words, ", "));
}

// partition:broker, both plain decimal numbers.
bool IsReplica(std::string_view text) {
  size_t colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  auto is_number = [](std::string_view digits) {
    return !digits.empty() && digits.size() <= 10 &&
           std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  };
  return is_number(text.substr(0, colon)) && is_number(text.substr(colon + 1));
}

std::string InvalidValue(std::string_view name, std::string_view value, std::string_view reason) {
  return fmt::format("Invalid value {} for configuration {}: {}", value, name, reason);
}

std::expected<ConfigValue, std::string> ParseList(std::string_view name, const ValueRule& rule,
                                                  std::string_view text) {
  std::vector<std::string> elements;
  std::set<std::string> seen;  // A list may have thousands.
  for (std::string& element : SplitList(text)) {
    if (element.empty()) {
      return std::unexpected(fmt::format("Configuration '{}' values must not be empty.", name));
    }
    if (std::optional<std::string> reason = CheckWord(rule, element)) {
      return std::unexpected(InvalidValue(name, element, *reason));
    }
    if (seen.insert(element).second) elements.push_back(std::move(element));
  }
  if (elements.empty() && !rule.may_be_empty) {
    return std::unexpected(fmt::format("Configuration '{}' must not be empty. Valid values: {}",
                                       name, AcceptedValues(ConfigType::kList, rule)));
  }
  bool is_star = elements.size() == 1 && elements[0] == "*";
  if (rule.kind == Kind::kReplicaList && !is_star && !std::ranges::all_of(elements, IsReplica)) {
    return std::unexpected(InvalidValue(
        name, fmt::format("[{}]", fmt::join(elements, ", ")),
        fmt::format("{} must be the literal '*' or a list of replicas in the following format: "
                    "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
                    name)));
  }
  return elements;
}

template <typename Number>
std::expected<ConfigValue, std::string> CheckedNumber(std::string_view name, ConfigType type,
                                                      const ValueRule& rule, std::string_view text,
                                                      std::optional<Number> value) {
  if (!value.has_value()) {
    return std::unexpected(
        InvalidValue(name, text, fmt::format("Not a number of type {}", JavaTypeName(type))));
  }
  if (std::optional<std::string> reason = CheckNumber(rule, *value)) {
    return std::unexpected(InvalidValue(name, ConfigValueText(*value), *reason));
  }
  return *value;
}

}  // namespace

std::string_view ConfigTypeName(ConfigType type) {
  switch (type) {
    case ConfigType::kBoolean:
      return "boolean";
    case ConfigType::kString:
      return "string";
    case ConfigType::kShort:
      return "short";
    case ConfigType::kInt:
      return "int";
    case ConfigType::kLong:
      return "long";
    case ConfigType::kDouble:
      return "double";
    case ConfigType::kList:
      return "list";
    case ConfigType::kClass:
      return "class";
    case ConfigType::kPassword:
      return "password";
  }
  std::abort();
}

std::vector<std::string_view> RuleWords(const ValueRule& rule) {
  std::vector<std::string_view> words;
  std::string_view rest = rule.words;
  while (!rest.empty()) {
    size_t bar = rest.find('|');
    words.push_back(rest.substr(0, bar));
    rest.remove_prefix(bar == std::string_view::npos ? rest.size() : bar + 1);
  }
  return words;
}

std::string_view TrimConfigText(std::string_view text) {
  auto is_blank = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::expected<ConfigValue, std::string> ParseConfigValue(std::string_view name, ConfigType type,
                                                         const ValueRule& rule,
                                                         std::string_view text) {
  std::string_view trimmed = TrimConfigText(text);
  switch (type) {
    case ConfigType::kBoolean: {
      std::string lower = Lower(trimmed);
      if (lower != "true" && lower != "false") {
        return std::unexpected(
            InvalidValue(name, text, "Expected value to be either true or false"));
      }
      return lower == "true";
    }
    case ConfigType::kShort:
    case ConfigType::kInt:
    case ConfigType::kLong:
      return CheckedNumber(name, type, rule, text, ParseInteger(trimmed, *IntegerRangeOf(type)));
    case ConfigType::kDouble:
      return CheckedNumber(name, type, rule, text, ParseDouble(trimmed));
    case ConfigType::kList:
      return ParseList(name, rule, trimmed);
    case ConfigType::kPassword:
      return std::string(text);  // Blanks may be part of a secret.
    case ConfigType::kString:
    case ConfigType::kClass:
      break;
  }
  if (trimmed.empty() && !rule.may_be_empty) {
    return std::unexpected(InvalidValue(name, trimmed, "String must be non-empty"));
  }
  if (std::optional<std::string> reason = CheckWord(rule, trimmed)) {
    return std::unexpected(InvalidValue(name, trimmed, *reason));
  }
  return std::string(trimmed);
}

std::string ConfigValueText(const ConfigValue& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using V = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<V, std::string>) {
          return v;
        } else if constexpr (std::is_same_v<V, std::vector<std::string>>) {
          return fmt::format("{}", fmt::join(v, ","));
        } else if constexpr (std::is_same_v<V, double>) {
          return DoubleText(v);
        } else {
          return fmt::format("{}", v);
        }
      },
      value);
}

std::string AcceptedValues(ConfigType type, const ValueRule& rule) {
  std::string words = fmt::format("{}", fmt::join(RuleWords(rule), ", "));
  switch (rule.kind) {
    case Kind::kAny:
      break;
    case Kind::kAtLeast:
      return fmt::format("a {}number of at least {}", type == ConfigType::kDouble ? "" : "whole ",
                         rule.min);
    case Kind::kBetween:
      return fmt::format("a {}number from {} to {}", type == ConfigType::kDouble ? "" : "whole ",
                         rule.min, rule.max);
    case Kind::kMinusOneOrBetween:
      return fmt::format("-1 or a whole number from {} to {}", rule.min, rule.max);
    case Kind::kOneOf:
    case Kind::kOneOfAnyCase:
      if (type == ConfigType::kList) {
        return fmt::format("a list of {}", words) +
               (rule.may_be_empty ? ", or nothing" : ", at least one of them");
      }
      return fmt::format("one of {}", words);
    case Kind::kReplicaList:
      return "*, or a list of partition:broker, or nothing";
  }
  switch (type) {
    case ConfigType::kBoolean:
      return "true or false";
    case ConfigType::kShort:
    case ConfigType::kInt:
    case ConfigType::kLong: {
      IntegerRange range = *IntegerRangeOf(type);
      return fmt::format("a whole number from {} to {}", range.min, range.max);
    }
    case ConfigType::kDouble:
      return "a number";
    case ConfigType::kList:
      return rule.may_be_empty ? "a comma-separated list without empty elements"
                               : "a comma-separated list of at least one element, none empty";
    case ConfigType::kString:
    case ConfigType::kClass:
    case ConfigType::kPassword:
      return rule.may_be_empty ? "any text" : "any text that is not empty";
  }
  std::abort();
}

}  // namespace millrace
