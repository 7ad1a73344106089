// OffsetSpec: where reading begins, as a person writes it.
//
//   beginning, start   the first record that is there
//   end                behind the last one
//   12                 that offset
//   -5                 five offsets before the end, or the first record
//   @1700000000000     the first record that is not older (milliseconds since 1970)
//   @-1h               the same, an hour ago (units: ms, s, m, h, d)
//   @2026-11-21T10:00  the same, in UTC; seconds, fractions of them and a date alone work too, and
//                      behind a time of day +02:00 or -0730
//
// Shard: any; pure.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "common/ids.h"
#include "common/time.h"

namespace millrace {

struct FromBeginning {
  friend bool operator==(FromBeginning, FromBeginning) = default;
};
struct FromEnd {
  int64_t before = 0;  // So many offsets before it.
  friend bool operator==(FromEnd, FromEnd) = default;
};
struct FromTime {
  Timestamp time;
  friend bool operator==(FromTime, FromTime) = default;
};
using OffsetSpec = std::variant<FromBeginning, FromEnd, Offset, FromTime>;

// kInvalidArgument: a sentence that says what is accepted. `now` is for relative times.
absl::StatusOr<OffsetSpec> ParseOffsetSpec(std::string_view text, Timestamp now);

// What may stand behind the @: "1700000000000", "-1h", "now", "2026-11-21T10:00:00.000".
std::optional<Timestamp> ParseTimestamp(std::string_view text, Timestamp now);

// "250ms", "30s", "2m", "1h", "7d"; a bare number counts seconds. Nothing for anything else.
std::optional<Duration> ParseDuration(std::string_view text);

// ISO 8601, as Java reads durations: "P1DT2H30M0.5S", "PT15M". A sign is not accepted.
std::optional<Duration> ParseIsoDuration(std::string_view text);

}  // namespace millrace
