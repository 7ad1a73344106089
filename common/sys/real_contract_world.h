// RealContractWorld: this machine under the suite of contract_test_suite.h, on one kind of I/O.
//
// Shard: one, the thread of the test. A test that includes this links Catch2.
#pragma once

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/contract_world.h"
#include "common/sys/real_world.h"

namespace millrace {

class RealContractWorld final : public ContractWorld {
 public:
  explicit RealContractWorld(IoBackend io) {
    absl::StatusOr<std::unique_ptr<RealWorld>> world =
        RealWorld::Create(RealWorldOptions{.io = io}, logger_);
    if (!world.ok()) FAIL(std::string(world.status().message()));
    world_ = *std::move(world);
    std::string pattern = "/tmp/millrace-contract-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
  }
  ~RealContractWorld() override { RunUntilDone(RemoveAll(&env().disk, folder_)); }

  Env& env() override { return world_->env(ShardId(0)); }
  void RunUntilDone(Task<void> task) override { world_->Run(std::move(task)); }
  std::string folder() override { return folder_; }
  IoPort& port() { return world_->port(ShardId(0)); }
  std::string host() override { return "127.0.0.1"; }
  bool is_real() const override { return true; }

 private:
  static Task<void> RemoveAll(Disk* disk, std::string path) {
    absl::StatusOr<std::vector<DirectoryEntry>> entries = co_await disk->List(path);
    if (!entries.ok()) co_return;
    for (const DirectoryEntry& entry : *entries) {
      const std::string child = path + "/" + entry.name;
      if (entry.is_directory) {
        co_await RemoveAll(disk, child);
      } else {
        (void)co_await disk->Remove(child);
      }
    }
    (void)co_await disk->Remove(path);
  }

  NullLogger logger_;
  std::unique_ptr<RealWorld> world_;
  std::string folder_;
};

}  // namespace millrace
