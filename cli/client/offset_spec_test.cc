#include "cli/client/offset_spec.h"

#include <catch2/catch.hpp>
#include <optional>
#include <string>

namespace millrace {
namespace {

constexpr Timestamp kNow(1'700'000'000'000);

std::optional<OffsetSpec> Parse(std::string_view text) {
  absl::StatusOr<OffsetSpec> spec = ParseOffsetSpec(text, kNow);
  if (!spec.ok()) return std::nullopt;
  return *spec;
}

}  // namespace

TEST_CASE("OffsetSpec: the ends, and counts from either") {
  CHECK(Parse("beginning") == OffsetSpec(FromBeginning{}));
  CHECK(Parse("start") == OffsetSpec(FromBeginning{}));
  CHECK(Parse("end") == OffsetSpec(FromEnd{}));
  CHECK(Parse("0") == OffsetSpec(Offset(0)));
  CHECK(Parse("12") == OffsetSpec(Offset(12)));
  CHECK(Parse("9223372036854775807") == OffsetSpec(Offset(INT64_MAX)));
  CHECK(Parse("-5") == OffsetSpec(FromEnd{5}));
}

TEST_CASE("OffsetSpec: times, absolute and relative") {
  CHECK(Parse("@1234") == OffsetSpec(FromTime{Timestamp(1234)}));
  CHECK(Parse("s@1234") == OffsetSpec(FromTime{Timestamp(1234)}));
  CHECK(Parse("@now") == OffsetSpec(FromTime{kNow}));
  CHECK(Parse("@-1h") == OffsetSpec(FromTime{Timestamp(kNow.ms() - 3'600'000)}));
  CHECK(Parse("@-250ms") == OffsetSpec(FromTime{Timestamp(kNow.ms() - 250)}));
  CHECK(Parse("@1970-01-02") == OffsetSpec(FromTime{Timestamp(86'400'000)}));
  CHECK(Parse("@1970-01-01T01:02") == OffsetSpec(FromTime{Timestamp(3'720'000)}));
  CHECK(Parse("@1970-01-01T01:02:03Z") == OffsetSpec(FromTime{Timestamp(3'723'000)}));
  CHECK(Parse("@2024-02-29 12:00") == OffsetSpec(FromTime{Timestamp(1'709'208'000'000)}));
}

TEST_CASE("OffsetSpec: fractions of seconds and zones of time") {
  CHECK(Parse("@1970-01-01T00:00:01.250") == OffsetSpec(FromTime{Timestamp(1'250)}));
  CHECK(Parse("@1970-01-01T00:00:01.5Z") == OffsetSpec(FromTime{Timestamp(1'500)}));
  CHECK(Parse("@1970-01-01T02:00:00.000+02:00") == OffsetSpec(FromTime{Timestamp(0)}));
  CHECK(Parse("@1970-01-01T00:00-0130") == OffsetSpec(FromTime{Timestamp(5'400'000)}));
}

TEST_CASE("OffsetSpec: anything else is refused with what is accepted") {
  for (const char* text :
       {"", "begin", "1x", "--1", "-", "-9223372036854775808", "9223372036854775808", "@", "@x",
        "@-", "@-1y", "@2023-02-29", "@2023-13-01", "@2023-01-01T24:00", "@2023-01-01T10",
        "@2023-01-01T10:00:00+01", "@2023-1-1", "@2023-01-01T10:00:00.1234",
        "@2023-01-01T10:00+19:00"}) {
    CAPTURE(text);
    absl::StatusOr<OffsetSpec> spec = ParseOffsetSpec(text, kNow);
    CHECK(absl::IsInvalidArgument(spec.status()));
    CHECK(std::string(spec.status().message()).find("beginning, end, N, -N") != std::string::npos);
  }
}

TEST_CASE("ParseDuration: units, and seconds without one") {
  CHECK(ParseDuration("250ms") == milliseconds(250));
  CHECK(ParseDuration("30s") == seconds(30));
  CHECK(ParseDuration("30") == seconds(30));
  CHECK(ParseDuration("2m") == seconds(120));
  CHECK(ParseDuration("1h") == seconds(3600));
  CHECK(ParseDuration("7d") == seconds(7 * 86'400));
  for (const char* text : {"", "s", "-1s", "1.5s", "1w", "ms", "99999999999d"}) {
    CAPTURE(text);
    CHECK(!ParseDuration(text).has_value());
  }
}

TEST_CASE("ParseIsoDuration: what Java reads") {
  CHECK(ParseIsoDuration("PT15M") == seconds(900));
  CHECK(ParseIsoDuration("P1DT2H3M4.5S") == seconds(93'784) + milliseconds(500));
  CHECK(ParseIsoDuration("P2D") == seconds(172'800));
  CHECK(ParseIsoDuration("PT0S") == seconds(0));
  for (const char* text : {"", "P", "PT", "1H", "PT1", "P1H", "PT1D", "PT1M1H", "PT1.5H", "-PT1S",
                           "PT1S ", "PT99999999999999H", "PT.S"}) {
    CAPTURE(text);
    CHECK(!ParseIsoDuration(text).has_value());
  }
}

}  // namespace millrace
