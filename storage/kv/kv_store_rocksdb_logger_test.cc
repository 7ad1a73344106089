#include "storage/kv/kv_store_rocksdb_logger.h"

#include <rocksdb/env.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/log/capturing_logger.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/kv/kv_store_rocksdb.h"
#include "storage/kv/kv_store_rocksdb_test_folder.h"

namespace millrace {
namespace {

TEST_CASE("RocksDbLogger: errors are warnings of ours, without their line ends; chatter is none") {
  CapturingLogger ours(LogLevel::kInfo);
  auto logger = std::make_shared<RocksDbLogger>(ours);
  rocksdb::Log(rocksdb::InfoLogLevel::HEADER_LEVEL, logger, "options: %d", 1);
  rocksdb::Log(rocksdb::InfoLogLevel::INFO_LEVEL, logger, "compacted %d", 2);
  rocksdb::Log(rocksdb::InfoLogLevel::WARN_LEVEL, logger, "stalled %d", 3);
  rocksdb::Log(rocksdb::InfoLogLevel::ERROR_LEVEL, logger, "no %s\n", "room");
  rocksdb::Log(rocksdb::InfoLogLevel::FATAL_LEVEL, logger, "%s", std::string(5000, 'x').c_str());
  REQUIRE(ours.Lines().size() == 2);
  CHECK(ours.Lines()[0] == "WARN  key-value store: no room");
  CHECK(ours.Lines()[1].size() < 1100);
}

TEST_CASE(
    "RocksDB: a store has no log file of its own, which would end the process on a full disk") {
  SimWorld world(1);
  Env& env = world.AddNode("n1").Boot(/*shards=*/1);
  RocksDbTestFolder folder;
  auto opened = world.Run(env, OpenRocksDb(env, folder.store(), RocksDbOptions()));
  REQUIRE(opened.ok());
  std::unique_ptr<KvStore> store = *std::move(opened);
  std::vector<std::string> names;
  REQUIRE(rocksdb::Env::Default()->GetChildren(folder.store(), &names).ok());
  CHECK(std::ranges::count(names, "CURRENT") == 1);
  CHECK(
      std::ranges::none_of(names, [](const std::string& name) { return name.starts_with("LOG"); }));
  REQUIRE(world.Run(env, store->Close()).ok());
}

}  // namespace
}  // namespace millrace
