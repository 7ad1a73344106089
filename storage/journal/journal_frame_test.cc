#include "storage/journal/journal_frame.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "storage/journal/journal_test_tools.h"

namespace millrace {
namespace {

const JournalFrameStamp kStamp{Uuid(11, 12), ShardId(3), 77, 70};

Slice SealedFrame(const std::vector<JournalEntry>& entries) {
  JournalChunkPool pool(4);
  JournalFrameBuilder builder(pool, JournalPosition(1000));
  for (const JournalEntry& entry : entries) builder.Add(entry);
  // The pool takes the memory back, so the frame is copied.
  return Slice::Copy(builder.Seal(kStamp).Flatten().span());
}

// Makes the checksum right again after surgery, to get past it.
void FixChecksum(std::vector<uint8_t>& frame) {
  const auto header = ParseJournalFrameHeader(frame);
  if (!header.has_value()) return;
  if (kJournalFrameHeaderBytes + header->payload_bytes > frame.size()) return;
  uint32_t crc = Crc32c(std::span<const uint8_t>(frame).subspan(64, header->payload_bytes));
  crc = Crc32c(std::span<const uint8_t>(frame).first(8), crc);
  crc = Crc32c(std::span<const uint8_t>(frame).subspan(12, 52), crc);
  StoreBig<uint32_t>(frame.data() + 8, crc);
}

TEST_CASE("JournalFrame: entries of every type come back as they were put in") {
  std::vector<JournalEntry> entries;
  for (uint64_t i = 0; i < 200; ++i) entries.push_back(TestEntry(5, i, 3000));
  entries.push_back(TestAppend(1, 300'000));  // Over several chunks.
  const Slice frame = SealedFrame(entries);
  REQUIRE(frame.size() % kJournalBlockBytes == 0);

  const auto header = ParseJournalFrameHeader(frame.span());
  REQUIRE(header.has_value());
  CHECK(header->stamp.generation == kStamp.generation);
  CHECK(header->stamp.shard == kStamp.shard);
  CHECK(header->stamp.sequence == kStamp.sequence);
  CHECK(header->stamp.tail_sequence == kStamp.tail_sequence);
  CHECK(header->first_position == JournalPosition(1000));
  CHECK(header->frame_bytes() == frame.size());
  REQUIRE(JournalFrameChecks(*header, frame.span()));
  const auto parsed = ParseJournalEntries(*header, frame);
  REQUIRE(parsed.ok());
  REQUIRE(parsed->size() == entries.size());
  for (size_t i = 0; i < entries.size(); ++i) REQUIRE(SameEntry((*parsed)[i], entries[i]));
}

TEST_CASE("JournalFrame: what an entry takes is what was announced") {
  JournalChunkPool pool(4);
  JournalFrameBuilder builder(pool, JournalPosition(1));
  for (uint64_t i = 0; i < 50; ++i) {
    const JournalEntry entry = TestEntry(6, i, 500);
    const size_t before = builder.bytes();
    builder.Add(entry);
    CHECK(builder.bytes() - before == JournalEntryBytes(entry));
  }
}

TEST_CASE("JournalFrame: every bit of header and payload is under the checksum") {
  const Slice frame = SealedFrame({TestAppend(1, 100), TestEntry(1, 2, 10)});
  const auto header = ParseJournalFrameHeader(frame.span());
  REQUIRE(header.has_value());
  for (size_t byte = 0; byte < kJournalFrameHeaderBytes + header->payload_bytes; ++byte) {
    std::vector<uint8_t> broken(frame.begin(), frame.end());
    broken[byte] ^= static_cast<uint8_t>(1 << (byte % 8));
    const auto parsed = ParseJournalFrameHeader(broken);
    INFO("byte " << byte);
    CHECK((!parsed.has_value() || !JournalFrameChecks(*parsed, broken)));
  }
}

TEST_CASE("JournalFrame: padding carries nothing of earlier frames") {
  JournalChunkPool pool(4);
  {
    JournalFrameBuilder first(pool, JournalPosition(1));
    first.Add(TestAppend(1, 20'000));
  }
  JournalFrameBuilder second(pool, JournalPosition(2));
  second.Add(TestAppend(2, 1));
  const size_t used = second.bytes();
  const Slice frame = second.Seal(kStamp).Flatten();
  for (size_t i = used; i < frame.size(); ++i) REQUIRE(frame[i] == 0);
}

TEST_CASE("JournalFrame: a newer format, feature or entry type is told from damage") {
  const Slice frame = SealedFrame({TestAppend(1, 100)});
  const auto parse = [&](size_t at, uint8_t value) {
    std::vector<uint8_t> changed(frame.begin(), frame.end());
    changed[at] = value;
    FixChecksum(changed);
    const auto header = ParseJournalFrameHeader(changed);
    REQUIRE(header.has_value());
    REQUIRE(JournalFrameChecks(*header, changed));
    return ParseJournalEntries(*header, Slice::Copy(std::span<const uint8_t>(changed))).status();
  };
  CHECK(absl::IsUnimplemented(parse(5, 2)));
  CHECK(absl::IsUnimplemented(parse(7, 1)));
  CHECK(absl::IsUnimplemented(parse(64 + 4, 9)));
  CHECK(absl::IsDataLoss(parse(64 + 3, 1)));  // The entry's length.
  CHECK(absl::IsDataLoss(parse(59, 2)));      // The number of entries.
}

TEST_CASE("JournalFrame: hostile bytes with a right checksum get a status") {
  SimRandom random(42);
  std::vector<JournalEntry> entries;
  for (uint64_t i = 0; i < 12; ++i) entries.push_back(TestEntry(9, i, 60));
  const Slice frame = SealedFrame(entries);
  int parsed_anyway = 0;
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<uint8_t> bytes(frame.begin(), frame.end());
    const uint64_t changes = random.Between(1, 6);
    for (uint64_t i = 0; i < changes; ++i) {
      bytes[random.Below(1200)] = static_cast<uint8_t>(random.Coin() ? random.Next() : 0xFF);
    }
    if (random.Below(4) == 0) bytes.resize(random.Below(bytes.size() + 1));
    FixChecksum(bytes);
    const auto header = ParseJournalFrameHeader(bytes);
    if (!header.has_value() || !JournalFrameChecks(*header, bytes)) continue;
    const auto result = ParseJournalEntries(*header, Slice::Copy(std::span<const uint8_t>(bytes)));
    (result.ok() ? parsed_anyway : refused) += 1;
  }
  CHECK(parsed_anyway > 100);
  CHECK(refused > 100);
}

}  // namespace
}  // namespace millrace
