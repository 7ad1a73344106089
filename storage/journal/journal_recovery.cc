#include "storage/journal/journal_recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/status_macros.h"
#include "storage/journal/journal_extents.h"
#include "storage/journal/journal_frame.h"

namespace millrace {
namespace {

constexpr size_t kWindowBytes = size_t{1} << 20;

// An extent file, read in windows: what is parsed is mostly in memory already. Hint kNormal,
// because what is needed is read twice.
class ExtentReader {
 public:
  ExtentReader(Disk& disk, std::string path) : disk_(disk), path_(std::move(path)) {}
  ExtentReader(const ExtentReader&) = delete;
  ExtentReader& operator=(const ExtentReader&) = delete;
  ~ExtentReader() { MR_CHECK(file_ == nullptr); }

  Task<absl::Status> Open() {
    MR_CO_ASSIGN_OR_RETURN(file_, co_await disk_.Open(path_, OpenOptions{.read_only = true}));
    absl::StatusOr<uint64_t> size = co_await file_->Size();
    if (!size.ok()) {
      co_await Close();
      co_return std::move(size).status();
    }
    size_ = *size;
    co_return absl::OkStatus();
  }

  Task<void> Close() {
    if (file_ == nullptr) co_return;
    (co_await file_->Close()).IgnoreError();  // It was only read.
    file_ = nullptr;
  }

  uint64_t size() const { return size_; }
  Task<absl::Status> Sync() { return file_->Sync(); }

  // Bytes [position, position + length), fewer at the end of the file.
  Task<absl::StatusOr<Slice>> Read(uint64_t position, size_t length) {
    if (position >= size_) co_return Slice();
    length = static_cast<size_t>(std::min<uint64_t>(length, size_ - position));
    if (position < window_at_ || position + length > window_at_ + window_.size()) {
      window_ = Slice();  // Freed before the next one is read.
      MR_CO_ASSIGN_OR_RETURN(
          window_,
          co_await file_->ReadAt(position, std::max(length, kWindowBytes), ReadHint::kNormal));
      window_at_ = position;
    }
    length = std::min(length, window_.size());  // The file may be shorter than it said.
    co_return window_.Sub(static_cast<size_t>(position - window_at_), length);
  }

 private:
  Disk& disk_;
  const std::string path_;
  std::unique_ptr<File> file_;
  uint64_t size_ = 0;
  uint64_t window_at_ = 0;
  Slice window_;
};

// A whole frame that carries its checksum.
struct Frame {
  JournalFrameHeader header;
  Slice bytes;
};

// The frame that begins at `position`; nothing where no whole frame does.
Task<absl::StatusOr<std::optional<Frame>>> ReadFrame(
    ExtentReader& reader, uint64_t position) {  // Borrowed: awaited in place.
  MR_CO_ASSIGN_OR_RETURN(Slice head, co_await reader.Read(position, kJournalFrameHeaderBytes));
  const std::optional<JournalFrameHeader> header = ParseJournalFrameHeader(head.span());
  if (!header.has_value()) co_return std::nullopt;
  const size_t length = kJournalFrameHeaderBytes + header->payload_bytes;
  if (length > reader.size() - position) co_return std::nullopt;
  head = Slice();
  MR_CO_ASSIGN_OR_RETURN(Slice bytes, co_await reader.Read(position, length));
  if (!JournalFrameChecks(*header, bytes.span())) co_return std::nullopt;
  co_return Frame{*header, std::move(bytes)};
}

// Frames in a row: one behind the other in one extent, with sequences that go on.
struct Run {
  std::string path;
  uint64_t position;
  uint64_t first_sequence;
  uint64_t last_sequence;
  uint64_t end;          // Where the last one ends.
  uint64_t stated_tail;  // By the last one.
};

struct FoundJournal {
  ShardId shard;
  std::vector<Run> runs;
};

// By generation. Ordered, so that every process does the same.
using FoundJournals = std::map<JournalGeneration, FoundJournal>;

void AddFrame(const std::string& path, uint64_t position, const JournalFrameHeader& header,
              FoundJournals& found) {
  const auto [entry, added] =
      found.try_emplace(header.stamp.generation, FoundJournal{header.stamp.shard, {}});
  std::vector<Run>& runs = entry->second.runs;
  const uint64_t sequence = header.stamp.sequence;
  const uint64_t end = position + header.frame_bytes();
  if (!runs.empty() && runs.back().path == path && runs.back().end == position &&
      runs.back().last_sequence + 1 == sequence) {
    runs.back().last_sequence = sequence;
    runs.back().end = end;
    runs.back().stated_tail = header.stamp.tail_sequence;
    return;
  }
  runs.push_back({path, position, sequence, sequence, end, header.stamp.tail_sequence});
}

// Every whole frame of the extent, those of older laps included: what lies behind an invalid place
// tells whether the place is a torn end or rot.
Task<absl::Status> ScanExtent(ExtentReader& reader, std::string path,
                              FoundJournals& found) {  // Borrowed: awaited in place.
  uint64_t position = 0;
  while (position < reader.size()) {
    MR_CO_ASSIGN_OR_RETURN(std::optional<Frame> frame, co_await ReadFrame(reader, position));
    if (!frame.has_value()) {
      position += kJournalBlockBytes;
      continue;
    }
    const JournalFrameHeader& header = frame->header;
    if (header.format != kJournalFormat || header.features != 0) {
      co_return absl::UnimplementedError(
          fmt::format("{}: a journal of format {} with features {:#x}; this version reads format "
                      "{}: start the version that wrote it once and stop it cleanly",
                      path, header.format, header.features, kJournalFormat));
    }
    AddFrame(path, position, header, found);
    position += header.frame_bytes();
  }
  co_return absl::OkStatus();
}

// What has to be delivered: frames [tail, last], in runs without a gap.
struct Plan {
  JournalGeneration generation;
  ShardId shard;
  uint64_t tail;
  uint64_t last;
  std::vector<Run> runs;
};

// Only the newest frame may be torn, because each is written after the one before is durable. So
// every frame from the tail that the newest whole one states up to that one must be whole.
absl::StatusOr<std::optional<Plan>> MakePlan(const JournalGeneration& generation,
                                             FoundJournal journal) {
  std::vector<Run>& runs = journal.runs;
  const Run& newest = *std::max_element(runs.begin(), runs.end(), [](const Run& a, const Run& b) {
    return a.last_sequence < b.last_sequence;
  });
  Plan plan{generation, journal.shard, newest.stated_tail, newest.last_sequence, {}};
  if (plan.tail == 0 || plan.tail > plan.last + 1 || plan.last == UINT64_MAX) {
    return absl::DataLossError(fmt::format("{}: journal frame {} states an impossible tail of {}",
                                           newest.path, plan.last, plan.tail));
  }
  if (plan.tail > plan.last) return std::nullopt;  // Ended cleanly; only its files are left.
  std::sort(runs.begin(), runs.end(),
            [](const Run& a, const Run& b) { return a.first_sequence < b.first_sequence; });
  uint64_t next = plan.tail;
  for (Run& run : runs) {
    if (run.last_sequence < next) continue;
    if (run.first_sequence > next) {
      return absl::DataLossError(
          fmt::format("{}: journal frames {} to {} of shard {} are missing or fail their checksum, "
                      "though {} is whole: the directory is corrupt",
                      run.path, next, run.first_sequence - 1, journal.shard, plan.last));
    }
    next = run.last_sequence + 1;
    plan.runs.push_back(std::move(run));
  }
  MR_CHECK(next == plan.last + 1);
  return plan;
}

// The last frame may be whole and yet not durable: its writer was killed before it heard of the
// completion, and a drive's cache, or the page cache where there is no direct I/O, still has it.
// From here on it counts, so it must not be lost by the next crash.
// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> MakeDurable(Disk& disk, std::string path) {  // Borrowed: awaited in place.
  ExtentReader reader(disk, std::move(path));
  MR_CO_RETURN_IF_ERROR(co_await reader.Open());
  absl::Status status = co_await reader.Sync();
  co_await reader.Close();
  co_return status;
}

// Whether the frame after the last one was begun.
Task<absl::StatusOr<bool>> EndsTorn(ExtentReader& reader, uint64_t end,
                                    uint64_t sequence) {  // Borrowed: awaited in place.
  MR_CO_ASSIGN_OR_RETURN(Slice head, co_await reader.Read(end, kJournalFrameHeaderBytes));
  const std::optional<JournalFrameHeader> header = ParseJournalFrameHeader(head.span());
  co_return header.has_value() && header->stamp.sequence == sequence;
}

class Replayer {
 public:
  Replayer(Disk& disk, JournalVisitor& visitor, JournalRecoveryReport& report)
      : disk_(disk), visitor_(visitor), report_(report) {}

  Task<absl::Status> Replay(Plan plan) {
    next_sequence_ = plan.tail;
    next_position_ = std::nullopt;
    for (const Run& run : plan.runs) {
      ExtentReader reader(disk_, run.path);
      MR_CO_RETURN_IF_ERROR(co_await reader.Open());
      absl::Status status = co_await ReplayRun(reader, run);
      if (status.ok() && run.last_sequence == plan.last) {
        absl::StatusOr<bool> torn = co_await EndsTorn(reader, run.end, plan.last + 1);
        status = torn.status();
        if (torn.ok() && *torn) ++report_.torn_journals;
      }
      co_await reader.Close();
      if (!status.ok()) co_return status;
    }
    ++report_.journals;
    co_return absl::OkStatus();
  }

 private:
  Task<absl::Status> ReplayRun(ExtentReader& reader, Run run) {  // Borrowed: awaited in place.
    uint64_t position = run.position;
    for (uint64_t sequence = run.first_sequence; sequence <= run.last_sequence; ++sequence) {
      MR_CO_ASSIGN_OR_RETURN(std::optional<Frame> frame, co_await ReadFrame(reader, position));
      if (!frame.has_value() || frame->header.stamp.sequence != sequence) {
        co_return absl::DataLossError(
            fmt::format("{}: journal frame {} read differently a second time", run.path, sequence));
      }
      position += frame->header.frame_bytes();
      if (sequence < next_sequence_) continue;  // Below the tail, or seen in another extent.
      MR_CO_RETURN_IF_ERROR(co_await ReplayFrame(std::move(*frame)));
      next_sequence_ = sequence + 1;
    }
    co_return absl::OkStatus();
  }

  Task<absl::Status> ReplayFrame(Frame frame) {
    const JournalFrameHeader& header = frame.header;
    MR_CO_ASSIGN_OR_RETURN(std::vector<JournalEntry> entries,
                           ParseJournalEntries(header, frame.bytes));
    uint64_t position = header.first_position.value();
    if (next_position_.value_or(position) != position || position > UINT64_MAX - entries.size()) {
      co_return absl::DataLossError(fmt::format("journal frame {} begins with entry {}, not {}",
                                                header.stamp.sequence, position,
                                                next_position_.value_or(0)));
    }
    next_position_ = position + entries.size();
    ++report_.frames;
    report_.entries += entries.size();
    report_.bytes += header.payload_bytes;
    for (JournalEntry& entry : entries) {
      MR_CO_RETURN_IF_ERROR(co_await visitor_.OnJournalEntry(
          JournalReplay{header.stamp.generation, JournalPosition(position), header.stamp.shard,
                        std::move(entry)}));
      ++position;
    }
    co_return absl::OkStatus();
  }

  Disk& disk_;
  JournalVisitor& visitor_;
  JournalRecoveryReport& report_;
  uint64_t next_sequence_ = 0;
  std::optional<uint64_t> next_position_;
};

struct Listing {
  bool discarded = false;          // The marker is there: no extent counts.
  std::vector<std::string> paths;  // Of the extents.
};

Task<absl::StatusOr<Listing>> ListExtents(Disk& disk,
                                          std::string directory) {  // Borrowed: awaited in place.
  Listing listing;
  absl::StatusOr<std::vector<DirectoryEntry>> entries = co_await disk.List(directory);
  if (absl::IsNotFound(entries.status())) co_return listing;
  if (!entries.ok()) co_return std::move(entries).status();
  for (const DirectoryEntry& entry : *entries) {
    if (entry.is_directory) continue;
    if (entry.name == kJournalDiscardedName) listing.discarded = true;
    if (JournalExtentName::Parse(entry.name).has_value()) {
      listing.paths.push_back(directory + "/" + entry.name);
    }
  }
  co_return listing;
}

}  // namespace

Task<absl::StatusOr<JournalRecoveryReport>> RecoverJournals(
    // Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
    Disk& disk, std::string log_dir, JournalVisitor& visitor) {  // Borrowed: awaited in place.
  JournalRecoveryReport report;
  MR_CO_ASSIGN_OR_RETURN(Listing listing, co_await ListExtents(disk, JournalDirectory(log_dir)));
  if (listing.discarded) co_return report;

  FoundJournals found;
  for (const std::string& path : listing.paths) {
    ExtentReader reader(disk, path);
    MR_CO_RETURN_IF_ERROR(co_await reader.Open());
    absl::Status status = co_await ScanExtent(reader, path, found);
    co_await reader.Close();
    if (!status.ok()) co_return status;
  }

  std::vector<Plan> plans;  // All of them before the first is carried out.
  for (auto& [generation, journal] : found) {
    MR_CO_ASSIGN_OR_RETURN(std::optional<Plan> plan, MakePlan(generation, std::move(journal)));
    if (plan.has_value()) plans.push_back(*std::move(plan));
  }
  for (const Plan& plan : plans) {
    MR_CO_RETURN_IF_ERROR(co_await MakeDurable(disk, plan.runs.back().path));
  }
  Replayer replayer(disk, visitor, report);
  for (Plan& plan : plans) {
    MR_CO_RETURN_IF_ERROR(co_await replayer.Replay(std::move(plan)));
  }
  co_return report;
}

// Why a marker, in steps:
//   1. The journal holds: append 0-9, truncate to 5, append 5-9 again. Segments hold it all,
//   synced.
//   2. The files are removed one by one, and power fails when the last append's file is gone.
//   3. Recovery replays "append 0-9, truncate to 5" and cuts acknowledged records off.
// With the marker durable first, either everything counts or nothing does.
// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::Status> DiscardJournals(Disk& disk,
                                   std::string log_dir) {  // Borrowed: awaited in place.
  const std::string directory = JournalDirectory(log_dir);
  MR_CO_ASSIGN_OR_RETURN(Listing listing, co_await ListExtents(disk, directory));
  const std::string marker = directory + "/" + kJournalDiscardedName;
  if (listing.paths.empty() && !listing.discarded) co_return absl::OkStatus();
  if (listing.discarded) {
    // A life that was killed may have left its name in the page cache only: the removals could
    // become durable without it.
    MR_CO_RETURN_IF_ERROR(co_await disk.SyncDirectory(directory));
  } else {
    MR_CO_RETURN_IF_ERROR(co_await ReplaceFile(
        disk, marker, "What the journals here held is in the segments; they may be removed.\n"));
  }
  for (const std::string& path : listing.paths) {
    MR_CO_RETURN_IF_ERROR(co_await disk.Remove(path));
  }
  // The marker goes only when the removals cannot come back.
  MR_CO_RETURN_IF_ERROR(co_await disk.SyncDirectory(directory));
  MR_CO_RETURN_IF_ERROR(co_await disk.Remove(marker));
  co_return co_await disk.SyncDirectory(directory);
}

}  // namespace millrace
