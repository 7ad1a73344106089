// Any bytes as the extents of a journal: recovery ends with a status, and what it delivers is in
// order and within what was read. The input is cut into blocks; where a frame begins its checksum
// is made right, or the fuzzer would never get past it.
//
// The first byte says in how many extents the rest lies.
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/bytes/crc32c.h"
#include "common/bytes/endian.h"
#include "common/bytes/slice.h"
#include "common/check.h"
#include "common/runtime/sim/sim_node.h"
#include "common/runtime/sim/sim_world.h"
#include "storage/journal/journal_extents.h"
#include "storage/journal/journal_frame.h"
#include "storage/journal/journal_recovery.h"

namespace millrace {
namespace {

constexpr const char* kLogDir = "/data";
constexpr size_t kCrcAt = 8;
constexpr size_t kAfterCrc = 12;

// Journal files are whole blocks; a short rest is filled with zeros, as unwritten space is.
std::vector<uint8_t> Blocks(std::span<const uint8_t> bytes) {
  std::vector<uint8_t> blocks(JournalPadded(bytes.size()));
  std::ranges::copy(bytes, blocks.begin());
  return blocks;
}

void MakeChecksumsRight(std::span<uint8_t> blocks) {
  for (size_t at = 0; at < blocks.size(); at += kJournalBlockBytes) {
    std::span<uint8_t> frame = blocks.subspan(at);
    auto header = ParseJournalFrameHeader(frame);
    if (!header.has_value() || header->frame_bytes() > frame.size()) continue;
    uint32_t crc = Crc32c(frame.subspan(kJournalFrameHeaderBytes, header->payload_bytes));
    crc = Crc32c(frame.first(kCrcAt), crc);
    crc = Crc32c(frame.subspan(kAfterCrc, kJournalFrameHeaderBytes - kAfterCrc), crc);
    StoreBig<uint32_t>(frame.data() + kCrcAt, crc);
    header = ParseJournalFrameHeader(frame);
    MR_CHECK(header.has_value());
    MR_CHECK(JournalFrameChecks(*header, frame));
    auto entries = ParseJournalEntries(*header, Slice::Copy(frame));
    if (entries.ok()) MR_CHECK(entries->size() == header->entries);
  }
}

class OrderVisitor final : public JournalVisitor {
 public:
  Task<absl::Status> OnJournalEntry(JournalReplay replay) override {
    if (last_.has_value() && last_->first == replay.generation) {
      MR_CHECK(last_->second < replay.position.value());
    }
    last_.emplace(replay.generation, replay.position.value());
    ++entries;
    co_return absl::OkStatus();
  }
  uint64_t entries = 0;

 private:
  std::optional<std::pair<JournalGeneration, uint64_t>> last_;
};

Task<absl::Status> WriteFile(Disk* disk, std::string path, Slice bytes) {
  auto file = co_await disk->Open(path, {.create = true});
  if (!file.ok()) co_return file.status();
  absl::Status written = co_await (*file)->WriteAt(0, Chain(std::move(bytes)), {});
  (co_await (*file)->Close()).IgnoreError();
  co_return written;
}

Task<void> Recover(Disk* disk, std::vector<Slice> extents) {
  MR_CHECK((co_await disk->CreateDirectories(JournalDirectory(kLogDir))).ok());
  for (size_t i = 0; i < extents.size(); ++i) {
    const JournalExtentName name{ShardId(0), i};
    MR_CHECK(
        (co_await WriteFile(disk, JournalDirectory(kLogDir) + "/" + name.ToString(), extents[i]))
            .ok());
  }
  OrderVisitor visitor;
  auto report = co_await RecoverJournals(*disk, kLogDir, visitor);
  if (!report.ok()) co_return;
  MR_CHECK(report->entries == visitor.entries);
  // Nothing was changed: a second recovery finds the same.
  OrderVisitor second;
  auto again = co_await RecoverJournals(*disk, kLogDir, second);
  MR_CHECK(again.ok());
  MR_CHECK(second.entries == visitor.entries);
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace millrace;
  if (size == 0) return 0;
  std::vector<uint8_t> blocks = Blocks({data + 1, size - 1});
  MakeChecksumsRight(blocks);
  const size_t count = 1 + data[0] % 3;
  const size_t each = JournalPadded(blocks.size() / count);
  std::vector<Slice> extents;
  for (size_t at = 0; at < blocks.size(); at += each) {
    extents.push_back(Slice::Copy(
        std::span<const uint8_t>(blocks).subspan(at, std::min(each, blocks.size() - at))));
  }
  SimWorld world(1);
  Env& env = world.AddNode("n1").Boot();
  world.Run(env, Recover(&env.disk, std::move(extents)));
  return 0;
}
