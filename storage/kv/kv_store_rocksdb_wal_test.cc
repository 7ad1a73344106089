// What a RocksDB whose log is damaged gives back: all that was synced, or a refusal.
#include "storage/kv/kv_store_rocksdb_wal.h"

#include <fmt/format.h>
#include <rocksdb/env.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/kv/kv_store_rocksdb.h"
#include "storage/kv/kv_store_rocksdb_test_folder.h"

namespace millrace {
namespace {

using Files = std::map<std::string, std::string>;

// A store in a folder whose files can be read while it is open, as a killed process leaves them.
class Machine {
 public:
  explicit Machine(RocksDbOptions options = {})
      : options_(options), world_(1), env_(&world_.AddNode("n1").Boot(/*shards=*/1)) {}
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine() { Close(); }

  // Lays down `files` in a new folder and opens what is there.
  absl::Status Open(const Files& files = {}) {
    Close();
    folder_ = std::make_unique<RocksDbTestFolder>();
    rocksdb::Env* env = rocksdb::Env::Default();
    if (!files.empty()) REQUIRE(env->CreateDir(folder_->store()).ok());
    for (const auto& [name, content] : files) {
      REQUIRE(rocksdb::WriteStringToFile(env, content, folder_->store() + "/" + name).ok());
    }
    return Reopen();
  }
  absl::Status Reopen() {
    Close();
    auto opened = world_.Run(*env_, OpenRocksDb(*env_, folder_->store(), options_));
    if (opened.ok()) store_ = *std::move(opened);
    return opened.status();
  }
  void Put(const std::string& key, const std::string& value, bool sync) {
    KvBatch batch;
    batch.Put(KvSpace::kTest, key, value);
    REQUIRE(world_.Run(*env_, store_->Write(std::move(batch), {.sync = sync})).ok());
  }
  std::string Keys() {
    auto entries = world_.Run(*env_, store_->ScanAll({KvSpace::kTest, "", std::nullopt}));
    REQUIRE(entries.ok());
    std::string keys;
    for (const KvEntry& entry : *entries) keys += entry.key;
    return keys;
  }
  // Also of the open store.
  Files Snapshot() const {
    rocksdb::Env* env = rocksdb::Env::Default();
    std::vector<std::string> names;
    REQUIRE(env->GetChildren(folder_->store(), &names).ok());
    Files files;
    for (const std::string& name : names) {
      if (name == "." || name == ".." || name == "LOCK") continue;
      REQUIRE(rocksdb::ReadFileToString(env, folder_->store() + "/" + name, &files[name]).ok());
    }
    return files;
  }
  void Close() {
    if (store_ != nullptr) (void)world_.Run(*env_, store_->Close());
    store_ = nullptr;
  }

 private:
  const RocksDbOptions options_;
  std::unique_ptr<RocksDbTestFolder> folder_;
  SimWorld world_;
  Env* env_;
  std::unique_ptr<KvStore> store_;
};

std::string& OnlyLog(Files& files) {
  std::string* found = nullptr;
  for (auto& [name, content] : files) {
    if (!name.ends_with(".log")) continue;
    REQUIRE(found == nullptr);
    found = &content;
  }
  REQUIRE(found != nullptr);
  return *found;
}

std::string NameOfLog(Files files) {
  const std::string& log = OnlyLog(files);
  return std::ranges::find_if(files, [&log](const auto& file) { return &file.second == &log; })
      ->first;
}

// Where the zeros begin that a log has ahead of its records; none of those here ends in one.
size_t Written(const std::string& log) { return log.find_last_not_of('\0') + 1; }
size_t Written(Files files) { return Written(OnlyLog(files)); }

KvWalScan Scan(const Files& files, const std::string& log) {
  const std::string& bytes = files.at(log);
  return ScanKvWal({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()},
                   files.at("IDENTITY"));
}

}  // namespace

TEST_CASE("RocksDB's log: a flipped bit in what was synced is found, wherever it is") {
  Machine machine;
  REQUIRE(machine.Open().ok());
  std::vector<size_t> ends;
  for (const char* key : {"a", "b", "c", "d"}) {
    machine.Put(key, std::string(30, 'v'), /*sync=*/true);
    ends.push_back(Written(machine.Snapshot()));
  }
  Files before = machine.Snapshot();
  // With what the log has ahead of its records, and as a version wrote it that had nothing there.
  const bool ahead = GENERATE(true, false);
  CAPTURE(ahead);
  if (!ahead) OnlyLog(before).resize(ends.back());
  for (size_t at = 0; at < ends.back(); ++at) {
    CAPTURE(at);
    Files files = before;
    OnlyLog(files)[at] ^= 0x10;
    const absl::Status status = machine.Open(files);
    if (at < ends[2]) {
      CHECK(absl::IsDataLoss(status));
      // Nothing was mended meanwhile that would make the next start succeed.
      CHECK(absl::IsDataLoss(machine.Reopen()));
    } else {
      // The last one: nobody knows whether it was ever whole.
      REQUIRE(status.ok());
      CHECK(machine.Keys() == "abc");
    }
  }
}

TEST_CASE("RocksDB's log: a mark is read where a block ends within it, too") {
  for (size_t pad = 0; pad < 130; pad += 3) {
    CAPTURE(pad);
    Machine machine;
    REQUIRE(machine.Open().ok());
    machine.Put("x", std::string(32768 - 400 + pad, 'x'), /*sync=*/true);
    const size_t begin = Written(machine.Snapshot());
    machine.Put("a", "1", /*sync=*/true);
    machine.Put("b", "2", /*sync=*/true);
    Files files = machine.Snapshot();
    OnlyLog(files)[begin + 30] ^= 0x04;
    CHECK(absl::IsDataLoss(machine.Open(files)));
  }
}

TEST_CASE("RocksDB's log: a torn end is cut off, and what follows counts") {
  Machine machine;
  REQUIRE(machine.Open().ok());
  machine.Put("a", "1", /*sync=*/true);
  const size_t whole = Written(machine.Snapshot());
  machine.Put("b", std::string(40000, 'v'), /*sync=*/true);  // More than a block.
  const Files before = machine.Snapshot();
  for (size_t end : {whole + 1, whole + 20, whole + 20000, whole + 32800, Written(before) - 1}) {
    for (const bool zeros : {false, true}) {
      CAPTURE(end, zeros);
      Files files = before;
      std::string& log = OnlyLog(files);
      if (zeros) std::fill(log.begin() + static_cast<std::ptrdiff_t>(end), log.end(), '\0');
      if (!zeros) log.resize(end);
      REQUIRE(machine.Open(files).ok());
      CHECK(machine.Keys() == "a");
      machine.Put("c", "3", /*sync=*/true);
      REQUIRE(machine.Reopen().ok());
      CHECK(machine.Keys() == "ac");
    }
  }
  REQUIRE(machine.Open(before).ok());
  CHECK(machine.Keys() == "ab");
}

TEST_CASE("RocksDB's log: a hole is damage where a sync had closed it, else power loss") {
  const bool synced = GENERATE(false, true);
  CAPTURE(synced);
  Machine machine;
  REQUIRE(machine.Open().ok());
  machine.Put("a", "1", /*sync=*/true);
  const size_t begin = Written(machine.Snapshot());
  machine.Put("b", std::string(5000, 'v'), /*sync=*/false);
  const size_t bytes = Written(machine.Snapshot()) - begin;
  machine.Put("c", "3", synced);
  machine.Put("d", "4", /*sync=*/false);
  Files files = machine.Snapshot();
  OnlyLog(files).replace(begin, bytes, bytes, '\0');
  const absl::Status status = machine.Open(files);
  CHECK(status.ok() == !synced);
  if (synced) CHECK(absl::IsDataLoss(status));
  if (!synced) CHECK(machine.Keys() == "a");
}

TEST_CASE("RocksDB's log: a value cannot pass for a mark") {
  // Whoever chooses a value can write a record of a log into it, but does not know the store's name.
  Machine machine;
  REQUIRE(machine.Open().ok());
  machine.Put("a", "1", /*sync=*/true);
  Machine other;
  REQUIRE(other.Open().ok());
  for (int i = 0; i < 100; ++i) other.Put("x", fmt::to_string(i), /*sync=*/true);
  Files evil = other.Snapshot();
  machine.Put("b", OnlyLog(evil), /*sync=*/true);
  Files files = machine.Snapshot();
  std::string& log = OnlyLog(files);
  log.resize(Written(log) - 1);  // Torn.
  REQUIRE(machine.Open(files).ok());
  CHECK(machine.Keys() == "a");
}

TEST_CASE("RocksDB's log: it is longer than what was written, until it is closed") {
  Machine machine;
  REQUIRE(machine.Open().ok());
  machine.Put("a", "1", /*sync=*/true);
  Files open = machine.Snapshot();
  const std::string name = NameOfLog(open);
  const size_t written = Written(open);
  CHECK(OnlyLog(open).size() > written + RocksDbOptions().write_buffer_bytes);
  machine.Put("b", "2", /*sync=*/true);
  Files after = machine.Snapshot();
  CHECK(Written(after) > written);
  CHECK(OnlyLog(after).size() == OnlyLog(open).size());  // What a sync would have to make durable.
  // Zeros are no damage, where the log would be read twice at every start after a kill.
  CHECK_FALSE(Scan(after, name).damaged);
  OnlyLog(after).back() = 1;
  CHECK(Scan(after, name).damaged);

  machine.Close();
  Files closed = machine.Snapshot();
  // Closing makes a last record of nothing, whose length is the last byte.
  CHECK(OnlyLog(closed).size() == Written(closed) + 1);

  // More than is reserved at once.
  REQUIRE(machine.Reopen().ok());
  machine.Put("c", std::string(3 * RocksDbOptions().write_buffer_bytes, 'v'), /*sync=*/true);
  REQUIRE(machine.Open(machine.Snapshot()).ok());
  CHECK(machine.Keys() == "abc");
}

// As a process leaves it that is killed while the first log's records go into a table.
TEST_CASE("RocksDB's log: zeros are its end also where another one follows") {
  Machine machine({.write_buffer_bytes = size_t{64} << 10});
  REQUIRE(machine.Open().ok());
  Files files = machine.Snapshot();
  const std::string first = NameOfLog(files);
  std::string keys;
  size_t last_record = 0;  // Where it begins in the first log.
  std::string second;
  for (char key = 'A'; second.empty(); ++key) {
    REQUIRE(key < 'z');
    const size_t written = Written(files.at(first));
    machine.Put(std::string(1, key), std::string(5000, 'v'), /*sync=*/true);
    keys += key;
    Files now = machine.Snapshot();
    for (const auto& [name, content] : now) {
      if (!name.ends_with(".log") || name == first) continue;
      second = name;
      files[second] = content;  // Beside the manifest, and the first log, of before the switch.
    }
    if (!second.empty()) break;
    last_record = written;
    files = std::move(now);
  }
  const std::string& log = files.at(first);
  const size_t written = Written(log);
  REQUIRE(written < log.size());
  REQUIRE(machine.Open(files).ok());
  CHECK(machine.Keys() == keys);

  // The second log says that all of the first one was synced. (From the start of a record on it would
  // be the end, to RocksDB, and it goes on with the second.)
  for (const size_t from : {last_record + 20, last_record + 2000, written - 1}) {
    CAPTURE(from);
    Files rotten = files;
    rotten[first].replace(from, std::string::npos, log.size() - from, '\0');
    CHECK(absl::IsDataLoss(machine.Open(rotten)));
  }
}

TEST_CASE("ScanKvWal: what is no log is damage without marks, and zeros are an empty one") {
  CHECK(ScanKvWal({}, "store") == KvWalScan{false, 0});
  CHECK(ScanKvWal(std::vector<uint8_t>(100'000, 0), "store") == KvWalScan{false, 0});
  const std::string noise(100, 'x');
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(noise.data()),
                                       noise.size());
  CHECK(ScanKvWal(bytes, "store") == KvWalScan{true, 0});
}

}  // namespace millrace
