#include "common/config/meta_properties.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

TEST_CASE("MetaProperties: a version 1 file as Kafka writes it") {
  absl::StatusOr<MetaProperties> meta = ParseMetaProperties(
      "#\n#Sat Nov 21 23:00:00 UTC 2026\ncluster.id=4L6g3nShT-eMCtK--X86sw\n"
      "directory.id=e6aHGG1TTJG5Ys5ED8nklQ\nnode.id=1\nversion=1\n");
  REQUIRE(meta.ok());
  CHECK(meta->version == 1);
  CHECK(meta->cluster_id == "4L6g3nShT-eMCtK--X86sw");
  CHECK(meta->node_id == BrokerId(1));
  CHECK(meta->directory_id->ToString() == "e6aHGG1TTJG5Ys5ED8nklQ");
}

TEST_CASE("MetaProperties: version 0 needs no id, and broker.id=-1 is none") {
  absl::StatusOr<MetaProperties> meta = ParseMetaProperties("version=0\nbroker.id=3");
  REQUIRE(meta.ok());
  CHECK(meta->node_id == BrokerId(3));
  CHECK_FALSE(meta->cluster_id.has_value());
  CHECK_FALSE(ParseMetaProperties("version=0\nbroker.id=-1")->node_id.has_value());
}

TEST_CASE("MetaProperties: what is missing or wrong is named") {
  auto message = [](std::string_view text) {
    return std::string(ParseMetaProperties(text).status().message());
  };
  CHECK(message("cluster.id=x\nnode.id=1") == "version is missing: expected 0 or 1");
  CHECK(message("version=1\nnode.id=1") == "cluster.id is missing: version 1 must have it");
  CHECK(message("version=1\ncluster.id=x") == "node.id is missing: version 1 must have it");
  CHECK(message("version=2") == "line 1: version=2: expected 0 or 1");
  CHECK(message("version=1\nnode.id=-1") ==
        "line 2: node.id=-1: expected a whole number from 0 to 2147483647");
  CHECK(message("version=1\nnode.id=1\nbroker.id=2") ==
        "line 3: broker.id=2: expected the same as the other id key, 1");
  CHECK(message("version=1\ncluster.id=") == "line 2: cluster.id=: expected a cluster id");
  CHECK(message("directory.id=AAAAAAAAAAAAAAAAAAAAAQ").starts_with("line 1: directory.id="));
  CHECK(message("directory.id=x").ends_with("22 base64url characters that is not reserved"));
}

TEST_CASE("MetaProperties: printed and read back is the same, unknown keys included") {
  MetaProperties meta{.version = 1,
                      .cluster_id = "my cluster=1",
                      .node_id = BrokerId(7),
                      .directory_id = Uuid(1, 2),
                      .others = {{"of.another.version", " x "}}};
  absl::StatusOr<MetaProperties> back = ParseMetaProperties(PrintMetaProperties(meta));
  REQUIRE(back.ok());
  CHECK(*back == meta);
  MetaProperties old;
  old.version = 0;
  old.node_id = BrokerId(7);
  CHECK(*ParseMetaProperties(PrintMetaProperties(old)) == old);
}

}  // namespace
}  // namespace millrace
