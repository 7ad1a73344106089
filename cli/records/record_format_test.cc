#include "cli/records/record_format.h"

#include <catch2/catch.hpp>

#include "storage/record/batch_builder.h"

namespace millrace {
namespace {

using Bytes = std::span<const uint8_t>;

Bytes BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Sample {
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::vector<RecordHeaderView> headers;
};

// Prints a record at offset 7 of partition 3 with time 1234.
template <typename Print>
std::string Printed(const Sample& sample, Print print) {
  BatchBuilder builder({.base_offset = Offset(7)});
  builder.Append(Timestamp(1234), sample.key ? std::optional(BytesOf(*sample.key)) : std::nullopt,
                 sample.value ? std::optional(BytesOf(*sample.value)) : std::nullopt,
                 sample.headers);
  FetchedRecords records(builder.Build()->bytes(), Offset(0));
  FetchedRecord record;
  REQUIRE(*records.Next(record));
  std::string text;
  print(record, text);
  return text;
}

std::string Formatted(std::string_view format, const Sample& sample) {
  absl::StatusOr<RecordFormat> parsed = RecordFormat::Parse(format);
  REQUIRE(parsed.ok());
  return Printed(sample, [&](const FetchedRecord& record, std::string& text) {
    parsed->Print("top", PartitionId(3), record, text);
  });
}

std::string Json(const Sample& sample) {
  return Printed(sample, [](const FetchedRecord& record, std::string& text) {
    PrintJson("top", PartitionId(3), record, text);
  });
}

const Sample kFull{"key", "value", {{BytesOf("h"), BytesOf("x")}, {BytesOf("n"), std::nullopt}}};
const Sample kNulls{std::nullopt, std::nullopt, {}};

}  // namespace

TEST_CASE("RecordFormat: every field of kcat") {
  CHECK(Formatted("%t [%p] %o %k %s %h %T %K %S", kFull) ==
        "top [3] 7 key value h=x,n=NULL 1234 3 5");
  CHECK(Formatted("%k|%s|%h|%K|%S", kNulls) == "|||-1|-1");
}

TEST_CASE("RecordFormat: escapes and percent signs") {
  CHECK(Formatted("100%%\\n\\t\\\\\\x41\\x4g", kFull) == "100%\n\t\\A\x04g");
  CHECK(Formatted("\\0", kFull) == std::string(1, '\0'));
  CHECK(Formatted("", kFull).empty());
}

TEST_CASE("RecordFormat: what is not known is named") {
  for (const auto& [format, reason] : {std::pair("%x", "%x is not known"),
                                       {"a%", "a % stands at the end"},
                                       {"a\\", "a backslash stands at the end"},
                                       {"\\q", "\\q is not known"},
                                       {"\\xg", "\\x wants hexadecimal digits"}}) {
    absl::StatusOr<RecordFormat> parsed = RecordFormat::Parse(format);
    CHECK(absl::IsInvalidArgument(parsed.status()));
    CHECK(std::string(parsed.status().message()).starts_with(reason));
  }
}

TEST_CASE("PrintJson: an object per line, with kcat's names") {
  CHECK(Json(kFull) == R"({"topic":"top","partition":3,"offset":7,"tstype":"create","ts":1234,)"
                       R"("headers":["h","x","n",null],"key":"key","payload":"value"})"
                       "\n");
  CHECK(Json(kNulls) == R"({"topic":"top","partition":3,"offset":7,"tstype":"create","ts":1234,)"
                        R"("key":null,"payload":null})"
                        "\n");
}

TEST_CASE("PrintJson: bytes that are no text survive as base64") {
  const Sample binary{"\xFF", "a\"\n", {{BytesOf("h"), BytesOf("\xFE")}}};
  CHECK(Json(binary) ==
        R"({"topic":"top","partition":3,"offset":7,"tstype":"create","ts":1234,)"
        R"("headers":["h",{"base64":"/g=="}],"key_base64":"/w==","payload":"a\"\n"})"
        "\n");
}

}  // namespace millrace
