// The disk of one machine of a seed is bad: bits flip in what lies on it, it fills up for a while,
// it is lost and replaced by an empty one. The other machines' disks are whole, and with two in sync
// at least everything acknowledged is on one of those: so what is lost is lost by us (P1, P36).
#include <absl/strings/match.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "storage/journal/journal_frame.h"
#include "storage/record/record_batch.h"
#include "test/sim/story.h"

namespace millrace::simtest {
namespace {

constexpr const char* kSegments = "/story-";
constexpr const char* kJournals = "/millrace-journal/";

// Of a batch: base offset, length, leader epoch, magic and checksum.
constexpr uint64_t kCrcEnd = 21;

// What a scrub of the whole disk may take: it begins a minute after a start.
constexpr Duration kScrubPatience = seconds(240);

constexpr Duration kHang = seconds(20);
constexpr uint64_t kSentWhileSlow = 15'000;
constexpr Duration kSlowPatience = seconds(120);

std::vector<uint8_t> Contents(const SimFileData& file) {
  std::vector<uint8_t> bytes(file.size());
  file.Read(0, bytes);
  return bytes;
}

// Of a replica that lives: those that were deleted or set aside have a dot in their folder's name.
bool IsSegment(const std::string& path) {
  const size_t at = path.find(kSegments);
  if (at == std::string::npos || !path.ends_with(".log")) return false;
  const size_t dot = path.find('.', at);
  return dot > path.rfind('/');
}

// What was written of each segment; or the heads of its batches alone, which are partly outside the
// checksum.
std::vector<SimExtent> SegmentExtents(SimDiskImage& disk, bool heads) {
  std::vector<SimExtent> extents;
  for (const std::string& path : disk.Files()) {
    if (!IsSegment(path)) continue;
    const uint64_t size = disk.Find(path)->size();
    if (size > 0 && !heads) extents.push_back({path, 0, size});
    if (!heads) continue;
    BatchReader reader(Slice::Copy(Contents(*disk.Find(path))));
    for (uint64_t at = 0;;) {
      const absl::StatusOr<std::optional<BatchView>> batch = reader.Next();
      if (!batch.ok() || !batch->has_value()) break;
      extents.push_back({path, at, at + kCrcEnd});
      at += (*batch)->bytes().size();
    }
  }
  return extents;
}

// The frames of the journals but for the last of each. That one, with a bit flipped, looks like a
// write that was torn and is dropped in silence (docs/storage.md, Recovery); and yet the replica
// counts as cleanly stopped, and may be the one that is elected.
std::vector<SimExtent> FrameExtents(SimDiskImage& disk) {
  struct Frames {
    uint64_t last = 0;
    std::map<uint64_t, SimExtent> by_sequence;
  };
  std::map<JournalGeneration, Frames> journals;
  for (const std::string& path : disk.Files()) {
    if (!absl::StrContains(path, kJournals)) continue;
    const std::vector<uint8_t> bytes = Contents(*disk.Find(path));
    for (size_t at = 0; at < bytes.size(); at += kJournalBlockBytes) {
      const std::span<const uint8_t> rest = std::span(bytes).subspan(at);
      const std::optional<JournalFrameHeader> header = ParseJournalFrameHeader(rest);
      if (!header.has_value() || header->frame_bytes() > rest.size()) continue;
      if (!JournalFrameChecks(*header, rest)) continue;
      Frames& frames = journals[header->stamp.generation];
      const uint64_t sequence = header->stamp.sequence;
      const uint64_t length = kJournalFrameHeaderBytes + header->payload_bytes;
      frames.by_sequence.insert_or_assign(sequence, SimExtent{path, at, at + length});
      frames.last = std::max(frames.last, sequence);
    }
  }
  std::vector<SimExtent> extents;
  for (auto& [generation, frames] : journals) {
    for (auto& [sequence, extent] : frames.by_sequence) {
      if (sequence != frames.last) extents.push_back(extent);
    }
  }
  return extents;
}

// What is wrong with a segment at rest; empty: nothing.
std::string Defect(const std::vector<uint8_t>& bytes) {
  BatchReader reader(Slice::Copy(bytes));
  std::optional<Offset> next;
  for (;;) {
    absl::StatusOr<std::optional<BatchView>> batch = reader.Next();
    if (!batch.ok()) return std::string(batch.status().message());
    if (!batch->has_value()) return "";
    if (absl::Status crc = (*batch)->CheckCrc(); !crc.ok()) return std::string(crc.message());
    const BatchHeader& header = (*batch)->header();
    if (next.has_value() && header.base_offset != *next) {
      return fmt::format("a batch begins at {}, {} is next", header.base_offset, *next);
    }
    next = header.next_offset();
  }
}

}  // namespace

void Story::HarmDisk() {
  ++faults_;
  SimRandom& dice = world_->dice();
  SimNode& node = *brokers_[bad_disk_];
  const Duration down = dice.Between(milliseconds(1), milliseconds(3000));
  switch (dice.Below(8)) {
    case 0:
      node.Wipe();
      journal_rots_ = false;
      MakeFolder(node);
      RestartAfter(node, down);
      break;
    case 1:
      // Read by nobody but the next start.
      node.PowerLoss();
      journal_rots_ = Rot(node, FrameExtents(node.disk())) || journal_rots_;
      RestartAfter(node, down);
      break;
    case 2:
    case 3:
      node.disk().Break(options_.folder, SimAccess::kRoom,
                        absl::ResourceExhaustedError("no space left on the simulated disk"));
      world_->After(down * 3, [this, &node] { node.disk().Mend(options_.folder); });
      break;
    default:
      if (Rot(node, SegmentExtents(node.disk(), dice.Coin()))) ++rotted_;
  }
}

// One bit in one of them. False: there is none.
bool Story::Rot(SimNode& node, const std::vector<SimExtent>& extents) {
  if (extents.empty()) return false;
  SimRandom& dice = world_->dice();
  const SimExtent& in = extents[dice.Below(extents.size())];
  const uint64_t at = in.begin + dice.Below(in.end - in.begin);
  node.disk().Find(in.path)->FlipBit(at, static_cast<int>(dice.Below(8)));
  return true;
}

// A node that finds nonsense in its journal goes down again (P36: it is not taken for the journal's
// end). Whoever runs it gives the machine an empty disk then.
void Story::ReplaceDiskThatIsRefused(SimNode& node) {
  if (!journal_rots_ || &node != brokers_[bad_disk_]) return;
  node.Wipe();
  journal_rots_ = false;
  ++refused_;
  MakeFolder(node);
}

// One folder of it, or the other, which has the metadata too: for a while everything that is made
// durable there takes its time, or nothing is.
void Story::SlowDisk(SimNode& node) {
  SimRandom& dice = world_->dice();
  const std::string folder = dice.Coin() ? options_.slows : options_.folder;
  const Duration more = dice.Below(4) == 0 ? kHang : dice.Between(milliseconds(100), seconds(3));
  node.disk().Slow(folder, more);
  world_->After(dice.Between(seconds(1), seconds(40)), [this, folder, &node] {
    if (breaking_) node.disk().Slow(folder, Duration(0));
  });
}

void Story::SetSlow(SimNode& node, Duration more) {
  node.disk().Slow(options_.folder, more);
  node.disk().Slow(options_.slows, more);
}

void Story::VerifySlowDiskLeadsNothing() {
  // What is not written to is not known to be slow: the producers go on, at leisure.
  plan_.sent_max = history_.sent() + kSentWhileSlow;
  plan_.think_max = std::max(plan_.think_max, Duration(milliseconds(300)));
  plan_.in_flight_max = 1;
  plan_.records_per_batch_max = 2;
  SimNode* slow = nullptr;
  const auto somebody_leads = [&] {
    if (!KeepBrokersUp()) return false;
    const auto found = std::ranges::find_if(
        brokers_, [this](SimNode* node) { return options_.leads_beside_others(brokers_, *node); });
    slow = found == brokers_.end() ? nullptr : *found;
    return slow != nullptr;
  };
  if (!world_->RunUntil(somebody_leads, kSlowPatience)) {
    history_.Wrong("healed, but nobody leads a partition with others in sync");
    return;
  }
  SetSlow(*slow, milliseconds(700));
  const auto leads_nothing = [&] { return !options_.leads_beside_others(brokers_, *slow); };
  const uint64_t acknowledged = history_.acknowledged();
  if (!world_->RunUntil(leads_nothing, kSlowPatience)) {
    history_.Wrong(fmt::format("{} has a slow disk, and leads what others could", slow->name()));
  }
  world_->RunFor(seconds(10));
  if (!leads_nothing()) {
    history_.Wrong(fmt::format("{} has a slow disk, and leads again", slow->name()));
  }
  if (history_.acknowledged() == acknowledged) {
    history_.Wrong(fmt::format("{} has a slow disk, and nothing is acknowledged", slow->name()));
  }
  SetSlow(*slow, Duration(0));
}

void Story::MakeFolder(SimNode& node) {
  MR_CHECK(node.disk().CreateDirectories(options_.folder).ok());
  node.disk().SyncEverything();
}

// P36: rot in a segment is found, by whoever reads it or by the scrub, and repaired from the others.
void Story::VerifyRotIsRepaired() {
  SimDiskImage& disk = brokers_[bad_disk_]->disk();
  const Instant give_up = world_->Now() + kScrubPatience;
  for (;;) {
    std::string defect;
    for (const std::string& path : disk.Files()) {
      if (!IsSegment(path)) continue;
      const std::string found = Defect(Contents(*disk.Find(path)));
      if (!found.empty()) defect = fmt::format("{}: {}", path, found);
    }
    if (defect.empty()) return;
    if (world_->Now() > give_up) {
      history_.Wrong(fmt::format("rot is still there: {}", defect));
      return;
    }
    KeepBrokersUp();
    world_->RunFor(seconds(5));
  }
}

}  // namespace millrace::simtest
