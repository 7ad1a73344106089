#include "cli/storage/log_stat.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/text_table.h"
#include "common/json/json_writer.h"
#include "common/status_macros.h"
#include "storage/log_files.h"
#include "storage/segment/segment_scanner.h"

namespace millrace {
namespace {

Task<absl::Status> ReadEnd(Disk* disk, std::string path, PartitionStat* stat) {
  auto file = co_await disk->Open(path, OpenOptions{.read_only = true});
  if (!file.ok()) co_return file.status();
  absl::StatusOr<uint64_t> size = co_await (*file)->Size();
  absl::Status status = size.status();
  if (size.ok()) {
    SegmentScanner scanner(**file, {.end = *size, .offset_min = stat->end, .check_crc = false});
    for (;;) {
      auto batch = co_await scanner.Next();
      if (!batch.ok()) status = batch.status();
      if (!batch.ok() || !batch->has_value()) break;
      const Timestamp newest = (*batch)->header().max_timestamp;
      stat->newest = stat->newest ? std::max(*stat->newest, newest) : newest;
    }
    stat->end = scanner.next_offset();
    stat->defect = scanner.defect();
  }
  status.Update(co_await (*file)->Close());
  co_return status;
}

}  // namespace

Task<absl::StatusOr<std::optional<PartitionStat>>> StatPartition(Disk& disk, std::string path) {
  auto entries = co_await disk.List(path);
  if (!entries.ok()) co_return entries.status();
  PartitionStat stat;
  stat.folder = path;
  std::string last;
  for (const DirectoryEntry& entry : *entries) {
    if (std::optional<Offset> base = ParseSegmentFileName(entry.name, kLogSuffix)) {
      if (stat.segments++ == 0) stat.begin = *base;
      stat.end = *base;
      stat.log_bytes += entry.size;
      last = entry.name;
    } else if (ParseSegmentFileName(entry.name, kIndexSuffix) ||
               ParseSegmentFileName(entry.name, kTimeIndexSuffix) ||
               ParseSegmentFileName(entry.name, kTxnIndexSuffix)) {
      stat.index_bytes += entry.size;
    }
  }
  if (stat.segments == 0) co_return std::optional<PartitionStat>();
  MR_CO_RETURN_IF_ERROR(co_await ReadEnd(&disk, JoinPath(path, last), &stat));
  co_return std::optional<PartitionStat>(std::move(stat));
}

// The disk outlives the call.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<std::vector<PartitionStat>>> StatPath(Disk& disk, std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  std::vector<PartitionStat> stats;
  auto own = co_await StatPartition(disk, path);
  if (!own.ok()) co_return own.status();
  if (own->has_value()) {
    stats.push_back(**std::move(own));
    co_return stats;
  }
  auto entries = co_await disk.List(path);
  if (!entries.ok()) co_return entries.status();
  for (const DirectoryEntry& entry : *entries) {
    if (!entry.is_directory || !ParsePartitionDirectoryName(entry.name)) continue;
    auto stat = co_await StatPartition(disk, JoinPath(path, entry.name));
    if (!stat.ok()) co_return stat.status();
    if (stat->has_value()) stats.push_back(**std::move(stat));
  }
  if (stats.empty()) {
    co_return absl::NotFoundError(fmt::format("{}: there are no segments", path));
  }
  co_return stats;
}

std::string StatTable(const std::vector<PartitionStat>& stats) {
  constexpr TextTable::Align kRight = TextTable::Align::kRight;
  TextTable table({{"FOLDER"},
                   {"SEGMENTS", kRight},
                   {"LOG-BYTES", kRight},
                   {"INDEX-BYTES", kRight},
                   {"BEGIN", kRight},
                   {"END", kRight},
                   {"NEWEST-MS", kRight}});
  uint64_t segments = 0;
  uint64_t log_bytes = 0;
  uint64_t index_bytes = 0;
  for (const PartitionStat& stat : stats) {
    table.AddRow({stat.folder, fmt::to_string(stat.segments), fmt::to_string(stat.log_bytes),
                  fmt::to_string(stat.index_bytes), fmt::to_string(stat.begin.value()),
                  fmt::to_string(stat.end.value()),
                  stat.newest ? fmt::to_string(stat.newest->ms()) : "-"});
    segments += stat.segments;
    log_bytes += stat.log_bytes;
    index_bytes += stat.index_bytes;
  }
  table.AddRow({"TOTAL", fmt::to_string(segments), fmt::to_string(log_bytes),
                fmt::to_string(index_bytes), "", "", ""});
  return table.ToString();
}

std::string StatJson(const std::vector<PartitionStat>& stats) {
  std::string lines;
  for (const PartitionStat& stat : stats) {
    JsonWriter json;
    json.BeginObject().Key("folder").String(stat.folder);
    json.Key("segments").Number(static_cast<int64_t>(stat.segments));
    json.Key("log_bytes").Number(static_cast<int64_t>(stat.log_bytes));
    json.Key("index_bytes").Number(static_cast<int64_t>(stat.index_bytes));
    json.Key("begin").Number(stat.begin.value()).Key("end").Number(stat.end.value());
    json.Key("newest_ms")
        .OptionalNumber(stat.newest ? std::optional(stat.newest->ms()) : std::nullopt);
    lines += json.EndObject().text() + "\n";
  }
  return lines;
}

}  // namespace millrace
