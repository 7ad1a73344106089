// A log directory that Apache Kafka wrote and stopped cleanly (README.md beside this file), opened
// by ours: every record, what is committed, the producers, and appending from there on.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/log_files.h"
#include "storage/log_state.h"
#include "storage/log_test_tools.h"
#include "storage/log_verify.h"
#include "storage/producer/producer_state.h"
#include "storage/producer/transaction_test_tools.h"
#include "storage/record/compression.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

const std::string kTopic = "kafka-log";

struct Expected {
  std::map<std::string, std::vector<std::string>>
      records;  // By isolation: "offset time key value".
  std::map<std::string, int64_t> ends;
  std::vector<std::string> producers;  // id, epoch, last sequence, coordinator epoch, open since.
};

Expected ReadExpected() {
  Expected expected;
  std::ifstream file(fs::path(MILLRACE_KAFKA_LOG) / "expected.txt");
  REQUIRE(file.good());
  for (std::string line; std::getline(file, line);) {
    const size_t space = line.find(' ');
    const std::string kind = line.substr(0, space);
    const std::string rest = line.substr(space + 1);
    if (kind == "producer") {
      expected.producers.push_back(rest);
    } else if (rest.starts_with("end ")) {
      expected.ends[kind] = std::stoll(rest.substr(4));
    } else {
      expected.records[kind].push_back(rest);
    }
  }
  return expected;
}

Task<absl::Status> WriteFile(Disk* disk, std::string path, std::string bytes) {
  const std::string folder = path.substr(0, path.rfind('/'));
  absl::Status made = co_await disk->CreateDirectories(folder);
  if (!made.ok()) co_return made;
  co_return co_await ReplaceFile(*disk, path, bytes);
}

// Puts the directory on the node's disk. Without `clean` the mark of Kafka's clean stop is left
// out.
void CopyDirectory(SimWorld& world, Env& env, bool clean) {
  const fs::path from = fs::path(MILLRACE_KAFKA_LOG) / "data";
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    if (!entry.is_regular_file()) continue;
    const std::string name = fs::relative(entry.path(), from).string();
    if (name == kCleanShutdownFile && !clean) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    REQUIRE(world.Run(env, WriteFile(&env.disk, JoinPath(kTestDataDir, name), bytes.str())).ok());
    ++files;
  }
  REQUIRE(files > 20);
}

std::string Text(const std::optional<std::span<const uint8_t>>& bytes) {
  return bytes ? std::string(bytes->begin(), bytes->end()) : "null";
}

// Reads as a client does: control batches are not shown, aborted transactions are left out.
std::vector<std::string> ReadAs(SimWorld& world, TestStore& store, Log& log, bool committed,
                                size_t bytes_max) {
  const Offset end =
      committed ? log.first_unstable_offset().value_or(log.end_offset()) : log.end_offset();
  std::vector<std::string> lines;
  std::map<ProducerId, Offset> aborting;
  for (Offset at = log.start_offset(); at < end;) {
    auto read = world.Run(store.env(), log.Read(at, {bytes_max, end, true}));
    if (!read.ok()) FAIL(read.status().ToString());
    auto aborted = world.Run(store.env(), log.AbortedTransactions(at, read->next_offset));
    REQUIRE(aborted.ok());
    auto next_aborted = aborted->begin();
    Slice bytes = read->batches.Flatten();
    BatchReader batches(bytes);
    for (;;) {
      auto batch = batches.Next();
      REQUIRE(batch.ok());
      if (!batch->has_value()) break;
      const BatchHeader& header = (*batch)->header();
      for (; next_aborted != aborted->end() && next_aborted->first <= header.last_offset();
           ++next_aborted) {
        aborting.insert_or_assign(next_aborted->producer, next_aborted->last);
      }
      if (header.attributes.is_control()) {
        aborting.erase(header.producer->id);
        continue;
      }
      if (committed && header.attributes.is_transactional() &&
          aborting.contains(header.producer->id)) {
        continue;
      }
      auto plain = Decompress(*header.attributes.compression(), (*batch)->records(), 1 << 20);
      REQUIRE(plain.ok());
      RecordReader reader(plain->span(), header.record_count);
      RecordView record;
      while (reader.Next(record)) {
        const Offset offset = header.base_offset + OffsetDelta(record.offset_delta);
        if (offset < at) continue;
        lines.push_back(fmt::format("{} {} {} {}", offset,
                                    header.base_timestamp.ms() + record.timestamp_delta,
                                    Text(record.key), Text(record.value)));
      }
      REQUIRE(reader.status().ok());
    }
    at = read->next_offset;
  }
  return lines;
}

std::vector<std::string> Producers(const Log& log) {
  std::vector<std::string> lines;
  for (const auto& [id, entry] : log.producers().entries()) {
    lines.push_back(fmt::format("{} {} {} {} {}", id, entry.epoch(),
                                entry.last_sequence() ? entry.last_sequence()->value() : -1,
                                entry.coordinator_epoch.value_or(-1),
                                entry.open_transaction ? entry.open_transaction->value() : -1));
  }
  return lines;
}

void CheckAll(const Expected& expected, SimWorld& world, TestStore& store, Log& log) {
  log.OnCommitted(log.end_offset());
  CHECK(log.end_offset() == Offset(expected.ends.at("read_uncommitted")));
  CHECK(log.first_unstable_offset() == Offset(expected.ends.at("read_committed")));
  for (size_t bytes_max : {1, 700, 1 << 20}) {
    CHECK(ReadAs(world, store, log, false, bytes_max) == expected.records.at("read_uncommitted"));
    CHECK(ReadAs(world, store, log, true, bytes_max) == expected.records.at("read_committed"));
  }
  CHECK(Producers(log) == expected.producers);
}

}  // namespace

TEST_CASE("Kafka's log directory: every record comes back, committed or not, and the producers") {
  const Expected expected = ReadExpected();
  for (bool clean : {true, false}) {
    INFO("clean " << clean);
    SimWorld world(1);
    SimNode& node = world.AddNode("n1");
    CopyDirectory(world, node.Boot(), clean);
    node.Kill();
    // Opened, stopped and opened again, the second time by our own checkpoint.
    for (int lap = 0; lap < 3; ++lap) {
      INFO("lap " << lap);
      TestStore store(world, node.Boot(), {});
      REQUIRE(store.Start().ok());
      REQUIRE(store->Logs().size() == 1);
      Log& log = *store->Logs().front();
      CHECK(log.topic() == kTopic);
      CHECK(log.start_offset() == Offset(30));  // DeleteRecords; within the first segment.
      CHECK(log.latest_epoch() == LeaderEpoch(0));
      CheckAll(expected, world, store, log);
      if (lap == 0) {
        REQUIRE(store.Stop().ok());
        node.Kill();
      } else {
        world.RunFor(seconds(30));
        node.PowerLoss();
        (void)store.Stop();
      }
    }
  }
}

TEST_CASE(
    "Kafka's log directory: appending goes on, with sequences and transactions as they stood") {
  const Expected expected = ReadExpected();
  SimWorld world(2);
  SimNode& node = world.AddNode("n1");
  CopyDirectory(world, node.Boot(), /*clean=*/true);
  node.Kill();
  TestStore store(world, node.Boot(), {});
  REQUIRE(store.Start().ok());
  Log& log = *store->Logs().front();
  const Offset end = log.end_offset();
  // Producer 0 stopped at sequence 47 (rules 1.31, 1.35).
  auto batch = [](int32_t sequence, int count) {
    return TestBatch(std::vector<std::string>(static_cast<size_t>(count), "more"), Timestamp(1),
                     BatchProducer{ProducerId(0), ProducerEpoch(0), Sequence(sequence)});
  };
  CHECK_FALSE(log.producers().Check(batch(49, 1).header()).ok());
  auto duplicate = log.producers().Check(batch(36, 12).header());
  REQUIRE(duplicate.ok());
  REQUIRE(duplicate->has_value());
  CHECK((*duplicate)->base_offset == Offset(36));
  auto next = log.producers().Check(batch(48, 1).header());
  REQUIRE(next.ok());
  CHECK_FALSE(next->has_value());
  CHECK(store.Append(log, batch(48, 1)).base_offset == end);

  // The transaction that Kafka's client left open is ended here.
  log.OnCommitted(log.end_offset());
  CHECK(log.first_unstable_offset() == Offset(672));
  store.Append(log, MarkerBatch(7, 0, /*commit=*/false));
  log.OnCommitted(log.end_offset());
  CHECK_FALSE(log.first_unstable_offset().has_value());
  std::vector<std::string> committed = ReadAs(world, store, log, true, 1 << 20);
  std::vector<std::string> wanted = expected.records.at("read_committed");
  for (const std::string& line : expected.records.at("read_uncommitted")) {
    if (std::stoll(line) > 672 && line.find(" last-") != std::string::npos) wanted.push_back(line);
  }
  wanted.push_back(fmt::format("{} 1 null more", end));
  CHECK(committed == wanted);
  REQUIRE(store.Stop().ok());
}

TEST_CASE(
    "Kafka's log directory: what its indexes say of aborted transactions is what the log says") {
  SimWorld world(3);
  SimNode& node = world.AddNode("n1");
  Env& env = node.Boot();
  CopyDirectory(world, env, /*clean=*/true);
  auto all = [&](TestStore& store) {
    Log& log = *store->Logs().front();
    auto found = world.Run(store.env(), log.AbortedTransactions(Offset(30), Offset(672)));
    REQUIRE(found.ok());
    return *found;
  };
  std::vector<AbortedTransaction> kafkas;
  {
    TestStore store(world, env, {});
    REQUIRE(store.Start().ok());
    kafkas = all(store);
    CHECK(kafkas.size() == 7);
    REQUIRE(store.Stop().ok());
    node.Kill();
  }
  // The same directory with an index that cannot be true: built anew, to Kafka's bytes.
  Env& again = node.Boot();
  const std::string folder = JoinPath(kTestDataDir, kTopic + "-0");
  std::map<std::string, std::string> bytes;
  for (int64_t base : {310, 526}) {
    const std::string path = JoinPath(folder, SegmentFileName(Offset(base), kTxnIndexSuffix));
    auto file = world.Run(again, ReadWholeFile(again.disk, path, 1 << 20));
    REQUIRE(file.ok());
    bytes[path] = std::string(file->view());
    REQUIRE(world.Run(again, WriteFile(&again.disk, path, bytes[path].substr(1))).ok());
  }
  TestStore store(world, again, {});
  REQUIRE(store.Start().ok());
  CHECK(all(store) == kafkas);
  for (const auto& [path, before] : bytes) {
    auto file = world.Run(again, ReadWholeFile(again.disk, path, 1 << 20));
    REQUIRE(file.ok());
    CHECK(file->view() == before);
  }
  REQUIRE(store.Stop().ok());
}

TEST_CASE("Kafka's log directory: verify finds nothing wrong with it") {
  SimWorld world(4);
  SimNode& node = world.AddNode("n1");
  Env& env = node.Boot();
  CopyDirectory(world, env, /*clean=*/true);
  uint64_t records = 0;
  Offset end(0);
  for (int64_t base : {0, 132, 310, 456, 526, 672}) {
    const std::string path =
        JoinPath(JoinPath(kTestDataDir, kTopic + "-0"), SegmentFileName(Offset(base), kLogSuffix));
    auto report = world.Run(env, VerifySegment(env.disk, path, end));
    REQUIRE(report.ok());
    CHECK(report->findings.count() == 0);
    CHECK(report->readable);
    records += report->records;
    end = report->end;
  }
  CHECK(end == Offset(687));
  CHECK(records == 687);
}

}  // namespace millrace
