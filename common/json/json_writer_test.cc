#include "common/json/json_writer.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

std::string Quoted(std::string_view text) {
  JsonWriter json;
  return json.String(text).Take();
}

std::string InBase64(std::string_view text) {
  return Base64({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

}  // namespace

TEST_CASE("JsonWriter: commas stand between things and nowhere else") {
  JsonWriter json;
  json.BeginObject().Key("a").Number(-1).Key("b").BeginArray().EndArray();
  json.Key("c").BeginArray().Number(1).BeginObject().EndObject().Null().EndArray();
  json.Key("d").Bool(true).Key("e").OptionalNumber(std::nullopt).EndObject();
  CHECK(json.text() == R"({"a":-1,"b":[],"c":[1,{},null],"d":true,"e":null})");
}

TEST_CASE("JsonWriter: strings are escaped") {
  CHECK(Quoted("plain") == R"("plain")");
  CHECK(Quoted("\"\\\n\r\t") == R"("\"\\\n\r\t")");
  CHECK(Quoted(std::string_view("\0\x1f\x7f", 3)) == R"("\u0000\u001f\u007f")");
  CHECK(Quoted("gr\xC3\xBC\xC3\x9F") == "\"gr\xC3\xBC\xC3\x9F\"");
}

TEST_CASE("JsonWriter: what is no UTF-8 is replaced, what is beside it stays") {
  CHECK(Quoted("a\xFF\xC3\xBC\xC3") == "\"a\xEF\xBF\xBD\xC3\xBC\xEF\xBF\xBD\"");
  CHECK(Quoted("\xED\xA0\x80") == "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");  // A surrogate.
}

TEST_CASE("Base64: the vectors of RFC 4648") {
  CHECK(InBase64("") == "");
  CHECK(InBase64("f") == "Zg==");
  CHECK(InBase64("fo") == "Zm8=");
  CHECK(InBase64("foo") == "Zm9v");
  CHECK(InBase64("foob") == "Zm9vYg==");
  CHECK(InBase64("fooba") == "Zm9vYmE=");
  CHECK(InBase64("foobar") == "Zm9vYmFy");
  CHECK(InBase64("\xFF\xFE\xFD") == "//79");
}

}  // namespace millrace
