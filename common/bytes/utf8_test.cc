#include "common/bytes/utf8.h"

#include <catch2/catch.hpp>
#include <string>

using millrace::IsValidUtf8;

namespace {

bool Valid(const std::string& text) {
  return IsValidUtf8({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

// The code point's bytes by the plain rule, valid or not.
std::string Encoded(uint32_t code, int bytes) {
  if (bytes == 1) return std::string(1, static_cast<char>(code));
  std::string text;
  for (int i = bytes - 1; i > 0; --i, code >>= 6) {
    text.insert(text.begin(), static_cast<char>(0x80 | (code & 0x3f)));
  }
  text.insert(text.begin(), static_cast<char>((0xf00 >> bytes & 0xff) | code));
  return text;
}

}  // namespace

TEST_CASE("Utf8: every code point is valid in its shortest form and in no other") {
  for (uint32_t code = 0; code <= 0x110fff; code += code < 0x11000 ? 1 : 97) {
    int shortest = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    bool exists = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    if (Valid(Encoded(code, shortest)) != exists) FAIL("code point " << code);
    for (int longer = shortest + 1; longer <= 4; ++longer) {
      if (Valid(Encoded(code, longer))) FAIL("overlong " << code);
    }
  }
}

TEST_CASE("Utf8: lone and missing continuation bytes are invalid wherever they stand") {
  for (size_t before = 0; before < 20; ++before) {
    std::string text(before, 'a');
    CHECK(Valid(text + "\xe2\x82\xac" + "tail"));
    CHECK_FALSE(Valid(text + "\x80"));
    CHECK_FALSE(Valid(text + "\xe2\x82"));
    CHECK_FALSE(Valid(text + "\xe2\x82" + "tail"));
    CHECK_FALSE(Valid(text + "\xff"));
  }
}
