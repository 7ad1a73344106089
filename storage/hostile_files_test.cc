// Files as somebody else, or something else, left them: the table says what was done to which file
// and what the store makes of it. Whatever it is: no crash, no record that was not written, and
// nothing gone that the store has not understood.
#include <catch2/catch.hpp>

#include "storage/log_files.h"
#include "storage/log_store.h"
#include "storage/log_test_tools.h"

namespace millrace {
namespace {

constexpr int kBatches = 120;
constexpr const char* kFolder = "/data/topic1-0/";

enum class Outcome {
  kAll,      // Every record is there.
  kPrefix,   // Records are missing at the end only.
  kDamaged,  // Some cannot be read; all others are there.
  kRefused,  // The store does not start, and `message` says why.
};

struct Case {
  const char* what;
  bool clean;  // The stop before.
  // Matches names of files in the data directory; all of them are treated.
  const char* suffix;
  void (*damage)(SimFileData& file);
  Outcome outcome;
  const char* message = "";
};

void Empty(SimFileData& file) { file.Resize(0); }
void CutThree(SimFileData& file) { file.Resize(file.size() < 3 ? 0 : file.size() - 3); }
void HalfGone(SimFileData& file) { file.Resize(file.size() / 2); }
void Garbage(SimFileData& file) {
  std::vector<uint8_t> bytes(file.size() == 0 ? 64 : file.size());
  uint64_t random = 88172645463325252;
  for (uint8_t& byte : bytes) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    byte = static_cast<uint8_t>(random);
  }
  file.Write(0, bytes);
}
void ZeroTail(SimFileData& file) {
  std::vector<uint8_t> zeroes(4096);
  file.Write(file.size(), zeroes);
}
void Say(SimFileData& file, std::string_view text) {
  file.Resize(0);
  file.Write(0, std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}
void Grow(SimFileData& file) {
  std::vector<uint8_t> bytes(100'000, 'x');
  file.Write(file.size(), bytes);
}

constexpr Case kCases[] = {
    {"an empty index", true, ".index", Empty, Outcome::kAll},
    {"an index that is no multiple of an entry", true, ".index", CutThree, Outcome::kAll},
    {"a garbage index", true, ".index", Garbage, Outcome::kAll},
    {"zeroes behind the index", true, ".index", ZeroTail, Outcome::kAll},
    {"an empty time index", true, ".timeindex", Empty, Outcome::kAll},
    {"a cut time index", true, ".timeindex", CutThree, Outcome::kAll},
    {"a garbage time index", true, ".timeindex", Garbage, Outcome::kAll},
    {"a garbage index after a crash", false, ".index", Garbage, Outcome::kAll},
    {"an empty snapshot", true, ".snapshot", Empty, Outcome::kAll},
    {"a garbage snapshot", true, ".snapshot", Garbage, Outcome::kAll},
    {"a snapshot of a newer version", true, ".snapshot",
     [](SimFileData& file) { file.Write(0, std::vector<uint8_t>{0x7f, 0xff}); }, Outcome::kAll},
    {"an empty leader-epoch file", true, "leader-epoch-checkpoint", Empty, Outcome::kAll},
    {"a leader-epoch file of version 9", true, "leader-epoch-checkpoint",
     [](SimFileData& file) { Say(file, "9\n1\n0 0\n"); }, Outcome::kAll},
    {"a garbage leader-epoch file", true, "leader-epoch-checkpoint", Garbage, Outcome::kAll},
    {"garbage partition.metadata, the checkpoint knows better", true, "partition.metadata", Garbage,
     Outcome::kAll},
    {"a garbage recovery-point checkpoint", true, "recovery-point-offset-checkpoint", Garbage,
     Outcome::kAll},
    {"a log-start checkpoint of version 7", true, "log-start-offset-checkpoint",
     [](SimFileData& file) { Say(file, "7\n"); }, Outcome::kAll},
    {"a clean mark full of garbage", true, ".kafka_cleanshutdown", Garbage, Outcome::kAll},
    {"meta.properties of another cluster", true, "meta.properties",
     [](SimFileData& file) { Say(file, "version=1\ncluster.id=other\nnode.id=1\n"); },
     Outcome::kRefused, "log directory /data belongs to cluster other, this node to c"},
    {"meta.properties of another node", true, "meta.properties",
     [](SimFileData& file) { Say(file, "version=1\ncluster.id=c\nnode.id=9\n"); },
     Outcome::kRefused, "log directory /data belongs to node 9, this is node 1"},
    {"meta.properties of a newer version", true, "meta.properties",
     [](SimFileData& file) { Say(file, "version=2\ncluster.id=c\nnode.id=1\n"); },
     Outcome::kRefused, "/data/meta.properties: "},
    {"garbage meta.properties", true, "meta.properties", Garbage, Outcome::kRefused,
     "/data/meta.properties: "},
    {"empty meta.properties", true, "meta.properties", Empty, Outcome::kRefused,
     "/data/meta.properties: "},
    {"meta.properties of 100 KB", true, "meta.properties", Grow, Outcome::kRefused,
     "at most 65536 are accepted"},
    {"the last segment cut within a batch", true, "9.log", CutThree, Outcome::kDamaged},
    {"segments cut in half", true, ".log", HalfGone, Outcome::kDamaged},
    {"garbage segments", true, ".log", Garbage, Outcome::kDamaged},
    {"zeroes behind segments after a crash", false, ".log", ZeroTail, Outcome::kAll},
    {"a journal with nothing in it", false, ".journal", Empty, Outcome::kPrefix},
};

LogStoreOptions Options() {
  LogStoreOptions options;
  options.cluster_id = "c";
  options.node_id = BrokerId(1);
  options.scrub_bytes_per_second = 0;
  options.tail_cache_bytes_max = 0;
  return options;
}

LogConfig SmallSegments() {
  LogConfig config;
  config.segment_bytes = 2000;
  config.index_interval_bytes = 200;
  return config;
}

std::string ValueAt(int64_t offset) { return fmt::format("value number {}", offset); }

void FillAndEnd(SimWorld& world, SimNode& node, bool clean) {
  TestStore store(world, node.Boot(), Options());
  REQUIRE(store.Start().ok());
  Log& log = store.Open(1, SmallSegments());
  log.BeginEpoch(LeaderEpoch(0));
  for (int i = 0; i < kBatches; ++i) {
    store.Append(log, TestBatch({ValueAt(i)}, Timestamp(1000 + i),
                                BatchProducer{ProducerId(3), ProducerEpoch(0), Sequence(i)}));
  }
  store.WaitDurable(log);
  REQUIRE(world.Run(store.env(), log.Flush()).ok());
  if (clean) REQUIRE(store.Stop().ok());
  node.Kill();
  if (!clean) (void)store.Stop();
  node.disk().SyncEverything();
}

// How many offsets are served; each must have the record that was written there.
int CountServed(SimWorld& world, TestStore& store, Log& log) {
  int served = 0;
  for (int64_t at = log.start_offset().value(); at < log.end_offset().value(); ++at) {
    auto read = world.Run(store.env(), log.Read(Offset(at), {1, log.end_offset(), true}));
    if (!read.ok()) {
      CHECK(absl::IsDataLoss(read.status()));
      continue;
    }
    std::vector<ReadRecord> records;
    AppendRecords(read->batches, Offset(at), records);
    if (records.empty()) continue;
    REQUIRE(records[0] == ReadRecord{Offset(at), ValueAt(at)});
    ++served;
  }
  return served;
}

void Judge(SimWorld& world, TestStore& store, const Case& one) {
  Log* log = store->Find(TestPartition(1));
  REQUIRE(log != nullptr);
  const int served = CountServed(world, store, *log);
  if (one.outcome == Outcome::kAll) {
    CHECK(served == kBatches);
    CHECK(log->end_offset() == Offset(kBatches));
    auto at = world.Run(store.env(), log->OffsetForTimestamp(Timestamp(1050), Offset(kBatches)));
    REQUIRE(at.ok());
    REQUIRE(at->has_value());
    CHECK((*at)->offset == Offset(50));
  } else if (one.outcome == Outcome::kPrefix) {
    CHECK(served == log->end_offset().value());
  }
}

}  // namespace

TEST_CASE("Hostile files: rebuilt, cut or refused; never a crash, never garbage") {
  for (const Case& one : kCases) {
    INFO(one.what);
    SimWorld world(1);
    SimNode& node = world.AddNode("n1");
    FillAndEnd(world, node, one.clean);
    int treated = 0;
    for (const std::string& path : node.disk().Files()) {
      if (!path.ends_with(one.suffix) || path.find("meta/") != std::string::npos) continue;
      one.damage(*node.disk().Find(path));
      ++treated;
    }
    REQUIRE(treated > 0);
    node.disk().SyncEverything();
    TestStore store(world, node.Boot(), Options());
    absl::Status started = store.Start();
    INFO(started.ToString());
    if (one.outcome == Outcome::kRefused) {
      CHECK(absl::IsFailedPrecondition(started));
      CHECK(std::string(started.message()).find(one.message) != std::string::npos);
    } else {
      REQUIRE(started.ok());
      Judge(world, store, one);
    }
    absl::Status stopped = store.Stop();
    INFO(stopped.ToString());
    CHECK((one.outcome == Outcome::kRefused || stopped.ok()));
  }
}

TEST_CASE("Hostile files: what is not ours stays where it is") {
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  FillAndEnd(world, node, /*clean=*/true);
  Env& env = node.Boot();
  const std::vector<std::string> folders = {"/data/lost+found",
                                            "/data/not a partition",
                                            "/data/topic9-0",
                                            "/data/t-x.stray",
                                            "/data/other-0.0123456789abcdef0123456789abcdef-future",
                                            std::string(kFolder) + "00000000000000000777.log"};
  std::vector<std::string> files = {"/data/notes.txt", "/data/topic9-0/partition.metadata",
                                    std::string(kFolder) + "remote_log_snapshot",
                                    std::string(kFolder) + "0000.log"};
  for (const std::string& folder : folders) {
    REQUIRE(world.Run(env, env.disk.CreateDirectories(folder)).ok());
  }
  for (const std::string& file : files) {
    REQUIRE(world.Run(env, ReplaceFile(env.disk, file, "something\n")).ok());
  }
  TestStore store(world, env, Options());
  REQUIRE(store.Start().ok());
  Judge(world, store, {"", true, "", nullptr, Outcome::kAll});
  CHECK(store->Logs().size() == 1);
  world.RunFor(seconds(1));
  REQUIRE(store.Stop().ok());
  for (const std::string& file : files) CHECK(node.disk().Find(file) != nullptr);
  node.Kill();
  Env& again = node.Boot();
  for (const std::string& folder : folders) {
    CHECK(world.Run(again, again.disk.List(folder)).ok());
  }
}

TEST_CASE("Hostile files: without the metadata of its life a log is found by its own files") {
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  FillAndEnd(world, node, /*clean=*/true);
  std::vector<std::string> meta;
  for (const std::string& path : node.disk().Files()) {
    if (path.find("meta/") != std::string::npos) meta.push_back(path);
  }
  Env& env = node.Boot();
  for (const std::string& path : meta) {
    REQUIRE(world.Run(env, env.disk.Remove(path.starts_with('/') ? path : "/" + path)).ok());
  }
  const bool metadata_too = GENERATE(false, true);
  if (metadata_too) {
    Garbage(*node.disk().Find(std::string(kFolder) + "partition.metadata"));
  }
  TestStore store(world, env, Options());
  REQUIRE(store.Start().ok());
  if (metadata_too) {
    // Nobody can tell whose it is: left alone.
    CHECK(store->Logs().empty());
    CHECK(node.disk().Find(std::string(kFolder) + "00000000000000000000.log") != nullptr);
  } else {
    Judge(world, store, {"", true, "", nullptr, Outcome::kAll});
  }
  REQUIRE(store.Stop().ok());
}

}  // namespace millrace
