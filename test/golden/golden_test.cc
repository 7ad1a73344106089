// Kafka's own bytes (test/golden/README.md) against ours.
#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "proto/kafka/testing/golden_filler.h"
#include "proto/kafka/testing/registry.h"

using millrace::Chain;
using millrace::Slice;
using namespace millrace::kafka;

namespace {

struct GoldenLine {
  std::string name;
  int16_t version;
  std::string values;
  std::string skeleton;  // "-": Kafka cannot write it.
};

std::vector<GoldenLine> ReadGoldenLines() {
  std::ifstream file(MILLRACE_GOLDEN_FILE);
  std::vector<GoldenLine> lines;
  std::string text;
  while (std::getline(file, text)) {
    std::istringstream words(text);
    GoldenLine line;
    words >> line.name >> line.version >> line.values >> line.skeleton;
    lines.push_back(line);
  }
  return lines;
}

std::string ToHex(const Slice& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (uint8_t byte : bytes.span()) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

Slice FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return Slice::Copy(bytes);
}

// Our message filled by `filler` has Kafka's bytes, and those decode to an equal message.
void CheckBothWays(const GoldenLine& line, Filler& filler, const std::string& hex) {
  auto info = std::find_if(Messages().begin(), Messages().end(),
                           [&](const MessageInfo& i) { return line.name == i.name; });
  REQUIRE(info != Messages().end());
  std::unique_ptr<AnyMessage> expected = info->make();
  expected->FillWith(filler);

  Writer out;
  expected->Encode(out, line.version);
  absl::StatusOr<Chain> ours = std::move(out).Finish();
  REQUIRE(ours.ok());
  CHECK(ToHex(ours->Flatten()) == hex);

  std::unique_ptr<AnyMessage> decoded = info->make();
  Reader in(FromHex(hex));
  decoded->Decode(in, line.version);
  CHECK(in.Finish().ok());
  CHECK(decoded->Equals(*expected));
}

}  // namespace

TEST_CASE(
    "Golden: our bytes are Kafka's bytes, and Kafka's bytes decode to the values that made them") {
  std::vector<GoldenLine> lines = ReadGoldenLines();
  REQUIRE(lines.size() > 700);
  for (const GoldenLine& line : lines) {
    INFO(line.name << " v" << line.version);
    GoldenFiller filler(line.name, line.version);
    CheckBothWays(line, filler, line.values);
  }
}

TEST_CASE("Golden: our defaults are Kafka's defaults") {
  size_t checked = 0;
  for (const GoldenLine& line : ReadGoldenLines()) {
    if (line.skeleton == "-") continue;
    INFO(line.name << " v" << line.version);
    SkeletonFiller filler(line.name, line.version);
    CheckBothWays(line, filler, line.skeleton);
    ++checked;
  }
  CHECK(checked > 650);
}

TEST_CASE("Golden: every version that Kafka 4.4 serves has its bytes") {
  std::set<std::pair<std::string, int>> have;
  for (const GoldenLine& line : ReadGoldenLines()) have.emplace(line.name, line.version);
  for (const MessageInfo& info : Messages()) {
    for (int version = info.first_served; version <= info.last_served; ++version) {
      INFO(info.name << " v" << version);
      CHECK(have.contains({info.name, version}));
    }
  }
}
