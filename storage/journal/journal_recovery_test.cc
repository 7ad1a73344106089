#include "storage/journal/journal_recovery.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "storage/journal/journal_test_tools.h"

namespace millrace {
namespace {

// Enqueues entries [first, last] of stream 1, one frame each, and waits for them.
void WriteFrames(JournalFixture& f, uint64_t first, uint64_t last, size_t bytes_max) {
  for (uint64_t i = first; i <= last; ++i) {
    const JournalPosition position = f.Enqueue(TestEntry(1, i, bytes_max));
    REQUIRE(f.Wait(position).ok());
  }
}

void CheckEntries(const KeepingVisitor& visitor, uint64_t first, uint64_t last) {
  REQUIRE(visitor.replays.size() == last - first + 1);
  for (size_t i = 0; i < visitor.replays.size(); ++i) {
    REQUIRE(visitor.replays[i].position.value() == first + i);
    REQUIRE(SameEntry(visitor.replays[i].entry, TestEntry(1, first + i, 1000)));
  }
}

// The position of each frame in an extent that was written once, in order.
std::vector<uint64_t> FramePositions(SimFileData& extent) {
  std::vector<uint64_t> positions;
  uint64_t at = 0;
  while (at < extent.size()) {
    std::vector<uint8_t> head(kJournalFrameHeaderBytes);
    extent.Read(at, head);
    const auto header = ParseJournalFrameHeader(head);
    if (!header.has_value()) break;
    positions.push_back(at);
    at += header->frame_bytes();
  }
  return positions;
}

TEST_CASE("Journal recovery: what was durable comes back entry for entry, until it is discarded") {
  JournalFixture f(1);
  REQUIRE(f.Open().ok());
  const JournalGeneration generation = f.journal->generation();
  WriteFrames(f, 1, 30, 1000);
  f.Reboot(/*power_lost=*/true);
  for (int round = 0; round < 2; ++round) {  // Reading changes nothing.
    KeepingVisitor visitor;
    const auto report = f.Recover(visitor);
    REQUIRE(report.ok());
    CheckEntries(visitor, 1, 30);
    CHECK(visitor.replays[0].generation == generation);
    CHECK(visitor.replays[0].shard == ShardId(0));
    CHECK(report->journals == 1);
    CHECK(report->frames == 30);
    CHECK(report->entries == 30);
  }
  CHECK(absl::IsFailedPrecondition(f.Open()));
  REQUIRE(f.Discard().ok());
  KeepingVisitor visitor;
  REQUIRE(f.Recover(visitor).ok());
  CHECK(visitor.replays.empty());
  CHECK(f.Open().ok());
}

TEST_CASE("Journal recovery: no directory, no journal") {
  JournalFixture f(2);
  KeepingVisitor visitor;
  REQUIRE(f.Recover(visitor).ok());
  CHECK(visitor.replays.empty());
  CHECK(f.Discard().ok());
}

TEST_CASE("Journal recovery: journals of all shards are read, whatever their number") {
  JournalFixture f(3);
  std::vector<std::unique_ptr<Journal>> others;
  for (uint32_t shard = 0; shard < 3; ++shard) {
    REQUIRE(f.Open(ShardId(shard)).ok());
    WriteFrames(f, 1, 5 + shard, 1000);
    if (shard < 2) others.push_back(std::move(f.journal));
  }
  f.node.Kill();
  for (auto& journal : others) f.world.Run(*f.env, journal->Stop()).IgnoreError();
  f.Reboot(false);
  KeepingVisitor visitor;
  const auto report = f.Recover(visitor);
  REQUIRE(report.ok());
  CHECK(report->journals == 3);
  CHECK(report->entries == 5 + 6 + 7);
  size_t next = 0;
  for (int journal = 0; journal < 3; ++journal) {  // One after another, each in order.
    const size_t count = 5 + visitor.replays[next].shard.value();
    for (size_t i = 0; i < count; ++i, ++next) {
      REQUIRE(visitor.replays[next].position.value() == i + 1);
    }
  }
}

TEST_CASE("Journal recovery: an error of the visitor ends it") {
  class Refusing final : public JournalVisitor {
   public:
    Task<absl::Status> OnJournalEntry(JournalReplay replay) override {
      co_return replay.position == JournalPosition(2) ? absl::ResourceExhaustedError("full")
                                                      : absl::OkStatus();
    }
  };
  JournalFixture f(4);
  REQUIRE(f.Open().ok());
  WriteFrames(f, 1, 3, 1000);
  f.Reboot(false);
  Refusing visitor;
  const auto report = f.world.Run(*f.env, RecoverJournals(f.env->disk, kTestLogDir, visitor));
  CHECK(absl::IsResourceExhausted(report.status()));
}

TEST_CASE("Journal recovery: a torn last frame is cut, and counted") {
  JournalFixture f(5);
  REQUIRE(f.Open().ok());
  WriteFrames(f, 1, 10, 1000);
  f.Reboot(false);
  const std::vector<uint64_t> frames = FramePositions(f.Extent(0));
  REQUIRE(frames.size() == 10);
  uint64_t torn = 1;
  SECTION("in its payload") { f.Extent(0).FlipBit(frames[9] + 70, 3); }
  SECTION("in its header") { f.Extent(0).FlipBit(frames[9] + 41, 3); }
  SECTION("in its first bytes") {
    f.Extent(0).FlipBit(frames[9] + 1, 3);
    torn = 0;  // Nothing says that it was begun.
  }
  KeepingVisitor visitor;
  const auto report = f.Recover(visitor);
  REQUIRE(report.ok());
  CheckEntries(visitor, 1, 9);
  CHECK(report->torn_journals == torn);
}

TEST_CASE("Journal recovery: rot in front of a whole frame is found and nothing is delivered") {
  JournalFixture f(6);
  REQUIRE(f.Open().ok());
  WriteFrames(f, 1, 40, 1000);  // Over several extents.
  REQUIRE(f.journal->extent_count() >= 3);
  f.Reboot(false);
  const std::vector<uint64_t> frames = FramePositions(f.Extent(0));
  SECTION("in the middle of an extent") { f.Extent(0).FlipBit(frames[4] + 70, 0); }
  SECTION("at the start of an extent") { f.Extent(1).FlipBit(13, 1); }
  SECTION("at the end of an extent") { f.Extent(0).FlipBit(frames.back() + 66, 2); }
  SECTION("a whole extent that holds nothing") { f.Extent(1).Resize(0); }
  SECTION("an extent that is gone") {
    const std::string path = JournalDirectory(kTestLogDir) + "/0-1.journal";
    REQUIRE(f.world.Run(*f.env, f.env->disk.Remove(path)).ok());
  }
  SECTION("a frame in the wrong place") {
    std::vector<uint8_t> frame(4096);
    f.Extent(0).Read(frames[2], frame);
    f.Extent(0).Write(frames[6], frame);
  }
  KeepingVisitor visitor;
  CHECK(absl::IsDataLoss(f.Recover(visitor).status()));
  CHECK(visitor.replays.empty());
}

TEST_CASE("Journal recovery: a misdirected write is found, or was harmless") {
  int found = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    INFO("seed " << seed);
    JournalFixture f(seed);
    REQUIRE(f.Open().ok());
    WriteFrames(f, 1, 5, 1000);
    f.node.disk().MisdirectNextWrite();
    WriteFrames(f, 6, 12, 1000);
    f.Reboot(false);
    KeepingVisitor visitor;
    const auto report = f.Recover(visitor);
    if (report.ok()) {
      CheckEntries(visitor, 1, 12);  // It fell on a place without frames, and is found there.
    } else {
      ++found;
      CHECK(absl::IsDataLoss(report.status()));
    }
  }
  CHECK(found > 3);
}

TEST_CASE("Journal recovery: rot in what is not needed any more hurts nobody") {
  JournalFixture f(8);
  REQUIRE(f.Open().ok());
  WriteFrames(f, 1, 20, 1000);
  f.journal->Recycle(JournalPosition(20));
  WriteFrames(f, 21, 22, 1000);
  f.Reboot(false);
  f.Extent(0).FlipBit(100, 1);
  KeepingVisitor visitor;
  REQUIRE(f.Recover(visitor).ok());
  CHECK(visitor.replays.back().position == JournalPosition(22));
  CHECK(visitor.replays.front().position <= JournalPosition(21));
}

TEST_CASE("Journal recovery: a journal of a newer version is refused, not cut") {
  JournalFixture f(9);
  REQUIRE(f.Open().ok());
  WriteFrames(f, 1, 3, 1000);
  f.Reboot(false);
  SimFileData& extent = f.Extent(0);
  std::vector<uint8_t> frame(FramePositions(extent)[1]);
  extent.Read(0, frame);
  frame[5] = 2;
  const auto header = ParseJournalFrameHeader(frame);
  REQUIRE(header.has_value());
  uint32_t crc = Crc32c(std::span<const uint8_t>(frame).subspan(64, header->payload_bytes));
  crc = Crc32c(std::span<const uint8_t>(frame).first(8), crc);
  crc = Crc32c(std::span<const uint8_t>(frame).subspan(12, 52), crc);
  StoreBig<uint32_t>(frame.data() + 8, crc);
  extent.Write(0, frame);
  KeepingVisitor visitor;
  CHECK(absl::IsUnimplemented(f.Recover(visitor).status()));
  CHECK(visitor.replays.empty());
}

TEST_CASE("Journal recovery: hostile extents get a status or a part of the truth") {
  JournalFixture f(10);
  REQUIRE(f.Open().ok());
  WriteFrames(f, 1, 25, 1000);
  f.Reboot(false);
  std::vector<std::vector<uint8_t>> originals;
  for (uint64_t number = 0; number < 2; ++number) {
    originals.emplace_back(f.Extent(number).size());
    f.Extent(number).Read(0, originals.back());
  }
  int ok = 0;
  int lost = 0;
  for (int round = 0; round < 150; ++round) {
    SimRandom random(round);
    for (uint64_t number = 0; number < 2; ++number) {
      std::vector<uint8_t> bytes = originals[number];
      const uint64_t changes = random.Below(3);
      for (uint64_t i = 0; i < changes; ++i) {
        // Headers are where it hurts.
        const uint64_t at = random.Coin()
                                ? random.Below(bytes.size())
                                : random.Below(bytes.size() / 4096) * 4096 + random.Below(100);
        bytes[at] = static_cast<uint8_t>(random.Next());
      }
      f.Extent(number).Resize(0);
      f.Extent(number).Write(0, bytes);
      if (random.Below(5) == 0) f.Extent(number).Resize(random.Below(bytes.size()));
    }
    KeepingVisitor visitor;
    const auto report = f.Recover(visitor);
    if (!report.ok()) {
      ++lost;
      CHECK(absl::IsDataLoss(report.status()));
      continue;
    }
    ++ok;
    for (const JournalReplay& replay : visitor.replays) {
      REQUIRE(SameEntry(replay.entry, TestEntry(1, replay.position.value(), 1000)));
    }
  }
  CHECK(ok > 10);
  CHECK(lost > 10);
}

TEST_CASE("Journal recovery: files of other names are left alone") {
  CHECK(JournalExtentName::Parse("3-17.journal")->number == 17);
  CHECK(JournalExtentName::Parse("3-17.journal")->shard == ShardId(3));
  for (const char* name :
       {"3-17.journal.tmp", "-1.journal", "3-.journal", "3.journal", "03-1.journal", "3-1x.journal",
        "99999999999-1.journal", ".journal", "3--1.journal"}) {
    INFO(name);
    CHECK_FALSE(JournalExtentName::Parse(name).has_value());
  }
}

}  // namespace
}  // namespace millrace
