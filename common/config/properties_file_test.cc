#include "common/config/properties_file.h"

#include <catch2/catch.hpp>
#include <cstdint>

namespace millrace {
namespace {

using Properties = std::vector<Property>;

// A fixed sequence of numbers below `bound` (a 64-bit linear congruential generator).
class Sequence {
 public:
  size_t Below(size_t bound) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state_ >> 33) % bound;
  }
  std::string Text(std::string_view alphabet, size_t length_bound) {
    std::string out(Below(length_bound), ' ');
    for (char& c : out) c = alphabet[Below(alphabet.size())];
    return out;
  }

 private:
  uint64_t state_ = 1;
};

Properties Parse(std::string_view text) {
  PropertiesFile file = ParseProperties(text);
  CHECK(file.errors.empty());
  return file.properties;
}

TEST_CASE("Properties: '=', ':' and blanks separate, and blanks around a separator do not count") {
  CHECK(Parse("a=1\nb:2\nc 3\nd = 4\ne\t:\t5\n  f =6\ng==7\nh=: 8\ni  j=9") ==
        Properties{{"a", "1", 1},
                   {"b", "2", 2},
                   {"c", "3", 3},
                   {"d", "4", 4},
                   {"e", "5", 5},
                   {"f", "6", 6},
                   {"g", "=7", 7},
                   {"h", ": 8", 8},
                   {"i", "j=9", 9}});
}

TEST_CASE("Properties: a key without a value has the empty value") {
  CHECK(Parse("a\nb=\nc:  \n=d") ==
        Properties{{"a", "", 1}, {"b", "", 2}, {"c", "", 3}, {"", "d", 4}});
}

TEST_CASE("Properties: comments and blank lines are skipped, a later # is part of the value") {
  CHECK(Parse("# x=1\n  ! y=2\n\n \t\nz=3 # no comment") == Properties{{"z", "3 # no comment", 5}});
}

TEST_CASE("Properties: an odd number of backslashes continues the line") {
  CHECK(Parse("a=1,\\\n   2,\\\r\n\t3\nb=\\\\\nc=x") ==
        Properties{{"a", "1,2,3", 1}, {"b", "\\", 4}, {"c", "x", 5}});
  // A comment line cannot be continued, and within a continued line # is nothing special.
  CHECK(Parse("# a \\\nb=1\\\n#2") == Properties{{"b", "1#2", 2}});
  CHECK(Parse("a=1\\") == Properties{{"a", "1", 1}});
}

TEST_CASE("Properties: every line ending counts one line") {
  CHECK(Parse("a=1\r\nb=2\rc=3\n\r\nd=4") ==
        Properties{{"a", "1", 1}, {"b", "2", 2}, {"c", "3", 3}, {"d", "4", 5}});
}

TEST_CASE("Properties: escapes work in keys and values") {
  CHECK(Parse(R"(a\=b\:c\ d=\t\n\r\f\q\\)") == Properties{{"a=b:c d", "\t\n\r\fq\\", 1}});
  CHECK(Parse(R"(k=\u0041\u00e9\u20AC)") == Properties{{"k", "A\xC3\xA9\xE2\x82\xAC", 1}});
  CHECK(Parse(R"(k=\uD83D\uDE00)") == Properties{{"k", "\xF0\x9F\x98\x80", 1}});
}

TEST_CASE("Properties: a malformed unicode escape is an error on its line") {
  for (std::string_view bad : {R"(\u12)", R"(\u12G4)", R"(\uD83D)", R"(\uD83Dx)", R"(\uDE00)",
                               R"(\uD83D\u0041)", R"(C:\users)"}) {
    PropertiesFile file = ParseProperties("a=1\nb=" + std::string(bad) + "\nc=2");
    REQUIRE(file.errors.size() == 1);
    CHECK(file.errors[0].line == 2);
  }
}

TEST_CASE("Properties: of a key set twice the last one stands, with a warning") {
  PropertiesFile file = ParseProperties("a=1\nb=2\na=3\na=4");
  CHECK(file.properties == Properties{{"b", "2", 2}, {"a", "4", 4}});
  REQUIRE(file.warnings.size() == 2);
  CHECK(file.warnings[0] ==
        PropertiesRemark{3, "a is set again: this one stands, line 1 does not count"});
  CHECK(file.warnings[1].text == "a is set again: this one stands, line 3 does not count");
}

TEST_CASE("Properties: a byte order mark is not part of the first key") {
  CHECK(Parse("\xEF\xBB\xBF"
              "a=1") == Properties{{"a", "1", 1}});
}

TEST_CASE("Properties: what is printed reads back, whatever the bytes") {
  Sequence sequence;
  constexpr std::string_view kAlphabet = "ab \t\n\r\f\\=:#!u0041\xC3\xA9";
  for (int i = 0; i < 5000; ++i) {
    std::string key = sequence.Text(kAlphabet, 8);
    std::string value = sequence.Text(kAlphabet, 8);
    REQUIRE(Parse(PrintProperty(key, value)) == Properties{{key, value, 1}});
  }
}

TEST_CASE("Properties: any text at all parses without harm") {
  Sequence sequence;
  constexpr std::string_view kAlphabet = "a=: \\\n\r#u0D8";
  for (int i = 0; i < 20000; ++i) {
    std::string text = sequence.Text(kAlphabet, 24);
    PropertiesFile file = ParseProperties(text);
    size_t bytes = 0;
    for (const Property& p : file.properties) bytes += p.key.size() + p.value.size();
    REQUIRE(bytes <= text.size());
  }
}

}  // namespace
}  // namespace millrace
