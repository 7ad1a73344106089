#include "cli/client/offset_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <string>

namespace millrace {
namespace {

template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Takes `digits` digits off the front.
std::optional<int> TakeDigits(std::string_view& text, size_t digits) {
  if (text.size() < digits) return std::nullopt;
  std::string_view number = text.substr(0, digits);
  if (number.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  text.remove_prefix(digits);
  return ParseNumber<int>(number);
}

bool Take(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

// Minutes east of UTC: "+02:00", "-0730", "Z" and nothing. Nothing for anything else.
std::optional<int> TakeZone(std::string_view& text) {
  if (text.empty() || Take(text, 'Z')) return 0;
  const int sign = text.front() == '-' ? -1 : 1;
  if (!Take(text, '+') && !Take(text, '-')) return std::nullopt;
  std::optional<int> hours = TakeDigits(text, 2);
  Take(text, ':');
  std::optional<int> minutes = TakeDigits(text, 2);
  if (!hours.has_value() || !minutes.has_value() || *hours > 18 || *minutes > 59) {
    return std::nullopt;
  }
  return sign * (*hours * 60 + *minutes);
}

// hh:mm[:ss[.f[f[f]]]][ZONE], as milliseconds since midnight UTC of that day.
std::optional<int64_t> TakeTimeOfDay(std::string_view& text) {
  std::optional<int> hour = TakeDigits(text, 2);
  if (!hour.has_value() || *hour > 23 || !Take(text, ':')) return std::nullopt;
  std::optional<int> minute = TakeDigits(text, 2);
  if (!minute.has_value() || *minute > 59) return std::nullopt;
  std::optional<int> second = 0;
  int ms = 0;
  if (Take(text, ':')) {
    second = TakeDigits(text, 2);
    if (Take(text, '.')) {
      std::optional<int> digit;
      for (int unit = 100; (digit = TakeDigits(text, 1)).has_value(); unit /= 10) {
        if (unit == 0) return std::nullopt;
        ms += *digit * unit;
      }
    }
  }
  if (!second.has_value() || *second > 59) return std::nullopt;
  std::optional<int> zone = TakeZone(text);
  if (!zone.has_value()) return std::nullopt;
  return (*hour * int64_t{3600} + (*minute - *zone) * int64_t{60} + *second) * 1000 + ms;
}

// YYYY-MM-DD[Thh:mm...].
std::optional<Timestamp> ParseDate(std::string_view text) {
  std::optional<int> year = TakeDigits(text, 4);
  if (!year.has_value() || !Take(text, '-')) return std::nullopt;
  std::optional<int> month = TakeDigits(text, 2);
  if (!month.has_value() || !Take(text, '-')) return std::nullopt;
  std::optional<int> day = TakeDigits(text, 2);
  if (!day.has_value()) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  std::optional<int64_t> ms_of_day = 0;
  if (Take(text, 'T') || Take(text, ' ')) {
    ms_of_day = TakeTimeOfDay(text);
  } else {
    Take(text, 'Z');
  }
  if (!ms_of_day.has_value() || !text.empty()) return std::nullopt;
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return Timestamp(days * 86'400'000 + *ms_of_day);
}

}  // namespace

std::optional<Timestamp> ParseTimestamp(std::string_view text, Timestamp now) {
  if (text.starts_with('-')) {
    std::optional<Duration> ago = ParseDuration(text.substr(1));
    if (!ago.has_value()) return std::nullopt;
    return Timestamp(now.ms() - std::chrono::duration_cast<milliseconds>(*ago).count());
  }
  if (text == "now") return now;
  if (std::optional<int64_t> ms = ParseNumber<int64_t>(text); ms.has_value()) return Timestamp(*ms);
  return ParseDate(text);
}

std::optional<Duration> ParseDuration(std::string_view text) {
  struct Unit {
    std::string_view name;
    int64_t ns;
  };
  // "ms" before "s" and "m".
  constexpr Unit kUnits[] = {{"ms", 1'000'000},
                             {"s", 1'000'000'000},
                             {"m", 60'000'000'000},
                             {"h", 3'600'000'000'000},
                             {"d", 86'400'000'000'000}};
  int64_t unit = 1'000'000'000;
  for (const Unit& candidate : kUnits) {
    if (!text.ends_with(candidate.name)) continue;
    unit = candidate.ns;
    text.remove_suffix(candidate.name.size());
    break;
  }
  std::optional<int64_t> count = ParseNumber<int64_t>(text);
  int64_t ns = 0;
  if (!count.has_value() || *count < 0 || __builtin_mul_overflow(*count, unit, &ns)) {
    return std::nullopt;
  }
  return Duration(ns);
}

std::optional<Duration> ParseIsoDuration(std::string_view text) {
  struct Unit {
    char name;
    bool of_day;  // Behind the T.
    int64_t ns;
  };
  constexpr int64_t kSecond = 1'000'000'000;
  constexpr Unit kUnits[] = {{'D', false, 86'400 * kSecond},
                             {'H', true, 3'600 * kSecond},
                             {'M', true, 60 * kSecond},
                             {'S', true, kSecond}};
  if (!Take(text, 'P') || text.empty()) return std::nullopt;
  bool of_day = false;
  int64_t total = 0;
  for (const Unit& unit : kUnits) {
    if (!of_day && Take(text, 'T')) {
      of_day = true;
      if (text.empty()) return std::nullopt;
    }
    const size_t end = text.find_first_not_of("0123456789.");
    if (end == std::string_view::npos || text[end] != unit.name || unit.of_day != of_day) continue;
    const size_t dot = unit.name == 'S' ? std::min(text.find('.'), end) : end;
    std::optional<int64_t> count = ParseNumber<int64_t>(text.substr(0, dot));
    int64_t ns = 0;
    if (!count.has_value() || __builtin_mul_overflow(*count, unit.ns, &ns) ||
        __builtin_add_overflow(total, ns, &total)) {
      return std::nullopt;
    }
    int64_t place = kSecond / 10;
    for (size_t at = dot + 1; at < end; ++at, place /= 10) {
      if (text[at] == '.' || place == 0) return std::nullopt;
      total += (text[at] - '0') * place;
    }
    text.remove_prefix(end + 1);
  }
  if (!text.empty()) return std::nullopt;
  return Duration(total);
}

absl::StatusOr<OffsetSpec> ParseOffsetSpec(std::string_view text, Timestamp now) {
  if (text == "beginning" || text == "start" || text == "earliest") {
    return OffsetSpec(FromBeginning{});
  }
  if (text == "end" || text == "latest") return OffsetSpec(FromEnd{});
  // kcat writes a time as s@TIME.
  const bool is_time = text.starts_with('@') || text.starts_with("s@");
  if (is_time) {
    std::optional<Timestamp> time = ParseTimestamp(text.substr(text.find('@') + 1), now);
    if (time.has_value()) return OffsetSpec(FromTime{*time});
  } else if (std::optional<int64_t> number = ParseNumber<int64_t>(text); number.has_value()) {
    if (*number >= 0) return OffsetSpec(Offset(*number));
    if (*number != INT64_MIN) return OffsetSpec(FromEnd{-*number});
  }
  return absl::InvalidArgumentError(fmt::format(
      "'{}' is no offset: beginning, end, N, -N (N before the end), or @TIME (milliseconds since "
      "1970, -1h, or 2026-11-21T10:00 in UTC) are accepted",
      text));
}

}  // namespace millrace
