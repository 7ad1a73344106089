// What a start makes of a compaction that was putting its segment in the place of others.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "common/status_macros.h"
#include "storage/log_files.h"
#include "storage/segment/segment_scanner.h"
#include "storage/segment_swap.h"

namespace millrace {
namespace {

constexpr std::array kSideSuffixes = {kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix};
constexpr std::array kBesideLog = {kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix,
                                   kSnapshotSuffix};

Task<absl::Status> RenameIfThere(Disk* disk, std::string from, std::string to) {
  absl::Status renamed = co_await disk->Rename(std::move(from), std::move(to));
  co_return absl::IsNotFound(renamed) ? absl::OkStatus() : renamed;
}

// Behind the last batch of the file; nothing when it is not sound to its end.
Task<absl::StatusOr<std::optional<Offset>>> EndOf(Disk* disk, std::string path, Offset base,
                                                  bool check_crc) {
  auto file = co_await disk->Open(std::move(path), {.read_only = true});
  if (!file.ok()) co_return file.status();
  absl::StatusOr<uint64_t> size = co_await (*file)->Size();
  absl::Status status = size.status();
  std::optional<Offset> end;
  if (status.ok()) {
    SegmentScanner scanner(**file, {.end = *size, .offset_min = base, .check_crc = check_crc});
    for (bool more = true; more && status.ok();) {
      auto batch = co_await scanner.Next();
      status = batch.status();
      more = batch.ok() && batch->has_value();
    }
    if (scanner.defect().empty()) end = scanner.next_offset();
  }
  status.Update(co_await (*file)->Close());
  if (!status.ok()) co_return status;
  co_return end;
}

// The swap of one segment, B.log.swap, in a folder as it was found.
class Settling {
 public:
  Settling(Env& env, std::string folder, Offset base, const std::vector<DirectoryEntry>& entries)
      : env_(env), disk_(&env.disk), folder_(std::move(folder)), base_(base) {
    for (const DirectoryEntry& entry : entries) {
      names_.insert(entry.name);
      const std::optional<Offset> log = ParseSegmentFileName(entry.name, kLogSuffix);
      if (log && *log >= base) logs_.insert(*log);
      const std::optional<Offset> retired =
          ParseSegmentFileName(entry.name, std::string(kLogSuffix) + std::string(kDeletedSuffix));
      if (retired && *retired > base) retired_.insert(*retired);
    }
  }

  Task<absl::Status> Run() const;

 private:
  std::string Path(Offset base, std::string_view suffix, std::string_view behind = "") const {
    return JoinPath(folder_, SegmentFileName(base, suffix) + std::string(behind));
  }
  bool Has(Offset base, std::string_view suffix, std::string_view behind = "") const {
    return names_.contains(SegmentFileName(base, suffix) + std::string(behind));
  }
  // The end of a segment that was to be replaced, under whichever of its names.
  Task<absl::StatusOr<std::optional<Offset>>> EndOfSource(Offset base) const {
    co_return co_await EndOf(
        disk_, Path(base, kLogSuffix, logs_.contains(base) ? "" : kDeletedSuffix), base,
        /*check_crc=*/false);
  }
  // The end of the new segment, if it is whole.
  Task<absl::StatusOr<std::optional<Offset>>> WholeEnd() const;
  // The segments that step 4 has renamed. With those that it has not they are a row from B on;
  // others of such names are from earlier.
  Task<absl::StatusOr<std::vector<Offset>>> Retired() const;
  // Steps 4 to 6. `end` is nothing: no other segment is replaced.
  Task<absl::Status> Finish(std::optional<Offset> end) const;
  Task<absl::Status> TakeBack() const;

  // Borrowed.
  Env& env_;
  Disk* const disk_;

  // Constant after construction.
  const std::string folder_;
  const Offset base_;
  std::set<std::string> names_;
  std::set<Offset> logs_;     // B and behind it,
  std::set<Offset> retired_;  // and those behind it that are `.deleted`.
};

Task<absl::Status> Settling::Run() const {
  MR_CO_ASSIGN_OR_RETURN(std::optional<Offset> end, co_await WholeEnd());
  if (!end.has_value() && logs_.contains(base_)) co_return co_await TakeBack();
  co_return co_await Finish(end);
}

Task<absl::StatusOr<std::optional<Offset>>> Settling::WholeEnd() const {
  MR_CO_ASSIGN_OR_RETURN(
      std::optional<Offset> end,
      co_await EndOf(disk_, Path(base_, kLogSuffix, kSwapSuffix), base_, /*check_crc=*/true));
  const std::optional<Offset> damaged;
  if (!end.has_value() || *end == base_) co_return damaged;  // None is empty.
  // A file may also end too early between two batches.
  const auto next = logs_.lower_bound(*end);
  const auto cut_off = retired_.lower_bound(*end);
  if (cut_off != retired_.end() && (next == logs_.end() || *cut_off < *next)) co_return damaged;
  if (cut_off != retired_.end() && logs_.contains(base_)) {
    // Between it and the end there may be another whose renaming a power loss has taken back.
    MR_CO_ASSIGN_OR_RETURN(std::vector<Offset> retired, co_await Retired());
    if (!retired.empty() && retired.back() >= *end) co_return damaged;
  }
  std::optional<Offset> last;
  if (next != logs_.begin()) last = *std::prev(next);
  if (cut_off != retired_.begin()) last = std::max(last.value_or(base_), *std::prev(cut_off));
  if (!last.has_value()) co_return end;
  MR_CO_ASSIGN_OR_RETURN(std::optional<Offset> last_end, co_await EndOfSource(*last));
  // Of one that cannot be read to its end since, nothing better is left.
  if (last_end.has_value() && *last_end != *end) co_return damaged;
  co_return end;
}

Task<absl::StatusOr<std::vector<Offset>>> Settling::Retired() const {
  std::vector<Offset> found;
  for (Offset at = base_;;) {
    MR_CO_ASSIGN_OR_RETURN(std::optional<Offset> end, co_await EndOfSource(at));
    const auto next = retired_.lower_bound(end.value_or(at + OffsetDelta(1)));
    const auto there = logs_.upper_bound(at);
    if (next == retired_.end()) co_return found;
    // A power loss may have taken some of the renamings back.
    const bool in_place = there != logs_.end() && *there <= *next;
    if (!in_place) found.push_back(*next);
    at = in_place ? *there : *next;
  }
}

Task<absl::Status> Settling::Finish(std::optional<Offset> end) const {
  if (!end.has_value()) {
    env_.logger.Error("[log {}] {} is damaged, and nothing else has its records", folder_,
                      SegmentFileName(base_, kLogSuffix) + std::string(kSwapSuffix));
  }
  const auto replaced = [&](const std::string& name, std::string_view suffix) {
    const std::optional<Offset> other = ParseSegmentFileName(name, suffix);
    return other && *other > base_ && end.has_value() && *other < *end;
  };
  for (const std::string& name : names_) {
    if (!replaced(name, kLogSuffix)) continue;
    const std::string path = JoinPath(folder_, name);
    MR_CO_RETURN_IF_ERROR(co_await disk_->Rename(path, path + std::string(kDeletedSuffix)));
  }
  for (std::string_view suffix : kSideSuffixes) {
    if (!Has(base_, suffix, kSwapSuffix)) continue;
    MR_CO_RETURN_IF_ERROR(
        co_await RenameIfThere(disk_, Path(base_, suffix), Path(base_, suffix, kDeletedSuffix)));
  }
  MR_CO_RETURN_IF_ERROR(co_await disk_->SyncDirectory(folder_));
  for (const std::string& name : names_) {
    const bool beside = std::ranges::any_of(
        kBesideLog, [&](std::string_view suffix) { return replaced(name, suffix); });
    if (!beside) continue;
    const std::string path = JoinPath(folder_, name);
    MR_CO_RETURN_IF_ERROR(co_await disk_->Rename(path, path + std::string(kDeletedSuffix)));
  }
  for (std::string_view suffix : kSideSuffixes) {
    MR_CO_RETURN_IF_ERROR(
        co_await RenameIfThere(disk_, Path(base_, suffix, kSwapSuffix), Path(base_, suffix)));
  }
  MR_CO_RETURN_IF_ERROR(co_await disk_->SyncDirectory(folder_));
  MR_CO_RETURN_IF_ERROR(
      co_await disk_->Rename(Path(base_, kLogSuffix, kSwapSuffix), Path(base_, kLogSuffix)));
  MR_CO_RETURN_IF_ERROR(co_await disk_->SyncDirectory(folder_));
  env_.logger.Info("[log {}] the compaction of {} is finished", folder_,
                   SegmentFileName(base_, kLogSuffix));
  co_return absl::OkStatus();
}

Task<absl::Status> Settling::TakeBack() const {
  MR_CO_ASSIGN_OR_RETURN(std::vector<Offset> retired, co_await Retired());
  env_.logger.Error("[log {}] {} is damaged: dropped, and the {} segments from {} on are kept",
                    folder_, SegmentFileName(base_, kLogSuffix) + std::string(kSwapSuffix),
                    retired.size() + 1, base_);
  // Step 5. Whatever of it is done twice finds nothing to do.
  for (std::string_view suffix : kSideSuffixes) {
    if (Has(base_, suffix, kSwapSuffix)) continue;
    MR_CO_RETURN_IF_ERROR(
        co_await RenameIfThere(disk_, Path(base_, suffix), Path(base_, suffix, kSwapSuffix)));
  }
  for (Offset other : retired) {
    for (std::string_view suffix : kBesideLog) {
      if (Has(other, suffix)) continue;
      MR_CO_RETURN_IF_ERROR(
          co_await RenameIfThere(disk_, Path(other, suffix, kDeletedSuffix), Path(other, suffix)));
    }
  }
  MR_CO_RETURN_IF_ERROR(co_await disk_->SyncDirectory(folder_));
  // Step 4.
  for (std::string_view suffix : kSideSuffixes) {
    if (Has(base_, suffix, kSwapSuffix) && Has(base_, suffix)) continue;  // Not come so far.
    MR_CO_RETURN_IF_ERROR(
        co_await RenameIfThere(disk_, Path(base_, suffix, kDeletedSuffix), Path(base_, suffix)));
  }
  for (; !retired.empty(); retired.pop_back()) {
    const Offset other = retired.back();
    MR_CO_RETURN_IF_ERROR(
        co_await disk_->Rename(Path(other, kLogSuffix, kDeletedSuffix), Path(other, kLogSuffix)));
    MR_CO_RETURN_IF_ERROR(co_await disk_->SyncDirectory(folder_));
  }
  MR_CO_RETURN_IF_ERROR(co_await disk_->SyncDirectory(folder_));
  // Steps 3 and 2: the indexes have no log now, and go with those of a swap that was not decided.
  MR_CO_RETURN_IF_ERROR(co_await disk_->Remove(Path(base_, kLogSuffix, kSwapSuffix)));
  co_return co_await disk_->SyncDirectory(folder_);
}

}  // namespace

// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<std::vector<DirectoryEntry>>> SettleSwaps(Env& env, std::string folder,
                                                              std::vector<DirectoryEntry> entries) {
  const bool any = std::ranges::any_of(
      entries, [](const DirectoryEntry& entry) { return entry.name.ends_with(kSwapSuffix); });
  if (!any) co_return entries;
  const std::string log_swap = std::string(kLogSuffix) + std::string(kSwapSuffix);
  for (const DirectoryEntry& entry : entries) {
    const std::optional<Offset> base = ParseSegmentFileName(entry.name, log_swap);
    if (!base) continue;
    const Settling settling(env, folder, *base, entries);
    MR_CO_RETURN_IF_ERROR(co_await settling.Run());
  }
  // Indexes of one that did not come so far, or was taken back.
  MR_CO_ASSIGN_OR_RETURN(entries, co_await env.disk.List(folder));
  for (const DirectoryEntry& entry : entries) {
    if (!entry.name.ends_with(kSwapSuffix)) continue;
    MR_CO_RETURN_IF_ERROR(co_await env.disk.Remove(JoinPath(folder, entry.name)));
  }
  co_return co_await env.disk.List(std::move(folder));
}

}  // namespace millrace
