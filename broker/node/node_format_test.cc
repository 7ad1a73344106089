#include "broker/node/node_format.h"

#include <catch2/catch.hpp>

#include "common/check.h"
#include "common/config/broker_config.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"

namespace millrace {
namespace {

// A node of one, with two log directories; the first also holds the metadata.
BrokerConfig TwoDirectories() {
  BrokerConfigResult result = BuildBrokerConfig({{"node.id", "1", "test"},
                                                 {"process.roles", "broker,controller", "test"},
                                                 {"listeners", "PLAINTEXT://:1,C://:2", "test"},
                                                 {"controller.listener.names", "C", "test"},
                                                 {"controller.quorum.voters", "1@n:2", "test"},
                                                 {"log.dirs", "/a,/b", "test"}},
                                                /*strict=*/true);
  for (const std::string& error : result.report.errors) UNSCOPED_INFO(error);
  REQUIRE(result.config.has_value());
  return *std::move(result.config);
}

struct Machine {
  Machine() : world(1), node(world.AddNode("n1")), env(node.Boot()), config(TwoDirectories()) {}
  absl::StatusOr<NodeFormat> Format() {
    NodeFormatOptions options;
    options.may_make_cluster = true;
    return world.Run(env, FormatNode(&env, &config, options));
  }
  SimWorld world;
  SimNode& node;
  Env& env;
  BrokerConfig config;
};

}  // namespace

TEST_CASE("FormatNode: the second time everything is as the first time left it") {
  Machine m;
  auto first = m.Format();
  REQUIRE(first.ok());
  CHECK(first->directories.size() == 2);
  auto second = m.Format();
  REQUIRE(second.ok());
  CHECK(second->cluster_id == first->cluster_id);
  CHECK(second->directories == first->directories);
  CHECK(second->metadata_directory == first->metadata_directory);
}

TEST_CASE("FormatNode: what a controller was formatted with is read, and damage to it is told") {
  Machine m;
  REQUIRE(m.Format().ok());
  auto without = m.Format();
  REQUIRE(without.ok());
  REQUIRE(without->bootstrap.ok());
  CHECK_FALSE(without->bootstrap->has_value());
  BootstrapFile file;
  file.features = {{"metadata.version", 22}, {"group.version", 1}};
  const auto write = [&m](std::string text) {
    REQUIRE(m.world.Run(m.env, ReplaceFile(m.env.disk, "/a/bootstrap.properties", text)).ok());
  };
  write(PrintBootstrapFile(file));
  auto with = m.Format();
  REQUIRE(with.ok());
  REQUIRE(with->bootstrap.ok());
  CHECK(*with->bootstrap == file);
  // Where there is metadata already it does not count, so this is no reason not to start.
  write("version=2\n");
  auto damaged = m.Format();
  REQUIRE(damaged.ok());
  CHECK(absl::IsFailedPrecondition(damaged->bootstrap.status()));
  CHECK(std::string(damaged->bootstrap.status().message())
            .starts_with("/a/bootstrap.properties: line 1: version=2"));
  // A broker has no use for it.
  m.config.is_controller = false;
  auto broker = m.Format();
  REQUIRE(broker.ok());
  CHECK(broker->bootstrap.ok());
}

TEST_CASE("FormatNode: a controller whose own directory cannot be read does not begin as another") {
  Machine m;
  REQUIRE(m.Format().ok());
  m.node.disk().Break("/a", SimAccess::kRead, absl::DataLossError("EIO"));
  auto format = m.Format();
  CHECK(absl::IsDataLoss(format.status()));
  INFO(format.status().ToString());
  CHECK(format.status().ToString().find("EIO") != std::string::npos);
}

TEST_CASE("FormatNode: another directory that cannot be read is left to the log store") {
  Machine m;
  auto before = m.Format();
  REQUIRE(before.ok());
  m.node.disk().Break("/b", SimAccess::kRead, absl::DataLossError("EIO"));
  auto format = m.Format();
  REQUIRE(format.ok());
  CHECK(format->cluster_id == before->cluster_id);
  CHECK(format->directories.size() == 1);
  CHECK(format->directories.contains("/a"));
}

TEST_CASE("FormatNode: where nothing can be read no cluster is made") {
  Machine m;
  m.config.is_controller = false;
  REQUIRE(m.Format().ok());
  for (const char* path : {"/a", "/b"}) {
    m.node.disk().Break(path, SimAccess::kRead, absl::DataLossError("EIO"));
  }
  CHECK(absl::IsDataLoss(m.Format().status()));
}

}  // namespace millrace
