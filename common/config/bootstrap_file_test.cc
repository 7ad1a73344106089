#include "common/config/bootstrap_file.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

const DirectoryId kFirst(1, 1000);
const DirectoryId kSecond(2, 2000);

}  // namespace

TEST_CASE("BootstrapFile: what is printed is read back the same") {
  BootstrapFile file;
  CHECK(*ParseBootstrapFile(PrintBootstrapFile(file)) == file);
  file.quorum = InitialQuorum::kVoters;
  file.voters = {{BrokerId(1), kFirst, {"a", 9093}}, {BrokerId(2), kSecond, {"::1", 19093}}};
  file.features = {{"kraft.version", 1}, {"metadata.version", 33}};
  CHECK(*ParseBootstrapFile(PrintBootstrapFile(file)) == file);
  file.quorum = InitialQuorum::kNone;
  file.voters.clear();
  CHECK(*ParseBootstrapFile(PrintBootstrapFile(file)) == file);
}

TEST_CASE("BootstrapFile: what cannot be meant is refused by line and key") {
  for (const char* text :
       {"", "version=2\nquorum=none", "version=1", "quorum=none", "version=1\nquorum=some",
        "version=1\nquorum=voters", "version=1\nquorum=none\nvoters=1@a:1:AAAAAAAAAAEAAAAAAAAD6A",
        "version=1\nquorum=none\nother=1", "version=1\nquorum=none\nfeature.=1",
        "version=1\nquorum=none\nfeature.x=0", "version=1\nquorum=none\nfeature.x=40000",
        "version=1\nquorum=none\nfeature.x=-1"}) {
    CAPTURE(text);
    CHECK(absl::IsInvalidArgument(ParseBootstrapFile(text).status()));
  }
  CHECK(std::string(ParseBootstrapFile("version=1\nquorum=none\nfeature.x=y").status().message())
            .find("line 3: feature.x=y: expected a whole number") == 0);
}

TEST_CASE("BootstrapFile: initial voters as --initial-controllers has them") {
  const std::string one = "3000@controller-0:1234:" + kFirst.ToString();
  auto voters = ParseInitialVoters(one + ", 3001@[::1]:9:" + kSecond.ToString());
  REQUIRE(voters.has_value());
  CHECK(*voters == std::vector<InitialVoter>{{BrokerId(3000), kFirst, {"controller-0", 1234}},
                                             {BrokerId(3001), kSecond, {"::1", 9}}});
  CHECK(PrintInitialVoter(voters->front()) == one);
  for (const std::string& text :
       {std::string(), one + ",", one + "," + one, std::string("1@a:1"), std::string("1@a:1:zz"),
        std::string("a:1:") + kFirst.ToString(), "x@a:1:" + kFirst.ToString(),
        "1@a:" + kFirst.ToString(), "-1@a:1:" + kFirst.ToString(),
        "1@a:1:" + DirectoryId(0, 5).ToString(), one + ",7@b:1:" + kFirst.ToString()}) {
    CAPTURE(text);
    CHECK(!ParseInitialVoters(text).has_value());
  }
}

}  // namespace millrace
