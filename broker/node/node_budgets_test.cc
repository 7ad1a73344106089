#include "broker/node/node_budgets.h"

#include <catch2/catch.hpp>

namespace millrace {
namespace {

NodeBudgets Of(size_t machine_bytes, size_t descriptors, StorageConfig storage = {}) {
  return ChooseBudgets(MemoryConfig(), storage, machine_bytes, descriptors);
}

}  // namespace

TEST_CASE("Budgets: memory adds up to a share of the machine's, between bounds") {
  const auto sum = [](const NodeBudgets& of) {
    return of.requests + of.fetch + of.pending + of.tail_cache + of.validation;
  };
  CHECK(sum(Of(size_t{256} << 20, 1024)) == size_t{64} << 20);
  CHECK(sum(Of(size_t{2} << 30, 1024)) == size_t{128} << 20);
  CHECK(sum(Of(size_t{64} << 30, 1024)) == size_t{192} << 20);
}

TEST_CASE(
    "Budgets: what is kept of producers is beside them, a quarter of their sum unless configured") {
  CHECK(Of(size_t{2} << 30, 1024).producers == size_t{32} << 20);
  MemoryConfig memory{};
  memory.producer_state_bytes = 5 << 20;
  const NodeBudgets node = ChooseBudgets(memory, StorageConfig{}, size_t{2} << 30, 1024);
  CHECK(node.producers == size_t{5} << 20);
  CHECK(ShareOf(node, 2).producers == size_t{5} << 19);
}

TEST_CASE("Budgets: half of the descriptors are for files, between bounds, unless configured") {
  const size_t machine = size_t{1} << 30;
  CHECK(Of(machine, 0).open_files == 64);
  CHECK(Of(machine, 1024).open_files == 512);
  CHECK(Of(machine, 1'048'576).open_files == 8192);
  StorageConfig storage{};
  storage.open_files_max = 20;
  CHECK(Of(machine, 1024, storage).open_files == 20);
  storage.open_files_max = 20'000;
  CHECK(Of(machine, 65'536, storage).open_files == 20'000);
  CHECK(Of(machine, 1024, storage).open_files == 768);
}

TEST_CASE("Budgets: shards share, but for what one piece of work needs") {
  const NodeBudgets node = Of(size_t{64} << 30, 1024);
  CHECK(ShareOf(node, 4).pending == node.pending / 4);
  CHECK(ShareOf(node, 4).open_files == 128);
  CHECK(ShareOf(node, 1000).pending == size_t{1} << 20);
  CHECK(ShareOf(node, 1000).open_files == 32);
  StorageConfig storage{};
  storage.open_files_max = 20;
  CHECK(ShareOf(Of(size_t{1} << 30, 1024, storage), 4).open_files == 20);
}

}  // namespace millrace
