// `millrace log dump FILE...`, `millrace log verify PATH...`, `millrace log stat PATH...`: what
// lies on a disk, without a node.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/client_verb.h"
#include "cli/command_line.h"
#include "cli/command_parser.h"
#include "cli/storage/batch_format.h"
#include "cli/storage/log_stat.h"
#include "common/json/json_writer.h"
#include "common/log/spdlog_logger.h"
#include "common/status_macros.h"
#include "common/sys/real_world.h"
#include "storage/log_files.h"
#include "storage/log_verify.h"
#include "storage/segment/segment_scanner.h"

namespace millrace {
namespace {

constexpr size_t kIndexBytesMax = size_t{1} << 31;

struct LogArguments {
  std::vector<std::string> paths;
  bool records = false;
  std::string output = "text";

  bool json() const { return output == "json"; }
};

using LogAction = Task<int> (*)(Disk*, std::shared_ptr<LogArguments>);

std::string FileName(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

Task<absl::StatusOr<bool>> DumpSegment(Disk& disk, std::string path, Offset base,
                                       const LogArguments& arguments) {  // Borrowed: in place.
  MR_CO_ASSIGN_OR_RETURN(std::unique_ptr<File> file, co_await disk.Open(path, {.read_only = true}));
  absl::StatusOr<uint64_t> size = co_await file->Size();
  bool sound = size.ok();
  absl::Status status = size.status();
  if (!arguments.json()) PrintOutput(fmt::format("Log starting offset: {}\n", base));
  // A CRC that does not hold is shown, and the walk goes on.
  SegmentScanner scanner(*file, {.end = size.ok() ? *size : 0, .check_crc = false});
  while (status.ok()) {
    absl::StatusOr<std::optional<BatchView>> batch = co_await scanner.Next();
    if (!batch.ok()) status = batch.status();
    if (!batch.ok() || !batch->has_value()) break;
    absl::Status records;
    std::string text;
    if (arguments.json()) {
      JsonWriter json;
      records = BatchJson(**batch, scanner.batch_position(), arguments.records, json);
      text = json.Take() + "\n";
    } else {
      text = BatchLine(**batch, scanner.batch_position());
      if (arguments.records) records = RecordLines(**batch, text);
    }
    if (!PrintOutput(text)) break;
    if (!records.ok()) {
      PrintError(fmt::format("{}: position {}: {}", path, scanner.batch_position(),
                             std::string(records.message())));
    }
    sound = sound && records.ok() && (*batch)->CheckCrc().ok();
  }
  (void)co_await file->Close();
  MR_CO_RETURN_IF_ERROR(status);
  if (!scanner.defect().empty()) {
    PrintError(fmt::format("{}: position {}: {}; {} bytes from there on are no batches", path,
                           scanner.position(), scanner.defect(), *size - scanner.position()));
    sound = false;
  }
  co_return sound;
}

template <typename View>
// Awaited in place. NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<absl::StatusOr<bool>> DumpIndex(Disk& disk, std::string path, Offset base,
                                     bool json_output) {  // Borrowed: awaited in place.
  MR_CO_ASSIGN_OR_RETURN(Slice bytes, co_await ReadWholeFile(disk, path, kIndexBytesMax));
  View view(bytes.span(), base);
  std::string text;
  for (size_t i = 0; i < view.size(); ++i) {
    if (!json_output) {
      text += IndexLine(view[i]);
      continue;
    }
    JsonWriter json;
    json.BeginObject().Key("offset").Number(view[i].offset.value());
    if constexpr (std::is_same_v<View, OffsetIndexView>) {
      json.Key("position").Number(view[i].position);
    } else {
      json.Key("timestamp").Number(view[i].timestamp.ms());
    }
    text += json.EndObject().text() + "\n";
  }
  PrintOutput(text);
  co_return true;
}

Task<absl::StatusOr<bool>> DumpFile(Disk& disk, std::string path,
                                    const LogArguments& arguments) {  // Borrowed: in place.
  const std::string name = FileName(path);
  if (!arguments.json()) PrintOutput(fmt::format("Dumping {}\n", path));
  if (std::optional<Offset> base = ParseSegmentFileName(name, kLogSuffix); base.has_value()) {
    co_return co_await DumpSegment(disk, path, *base, arguments);
  }
  if (std::optional<Offset> base = ParseSegmentFileName(name, kIndexSuffix); base.has_value()) {
    co_return co_await DumpIndex<OffsetIndexView>(disk, path, *base, arguments.json());
  }
  if (std::optional<Offset> base = ParseSegmentFileName(name, kTimeIndexSuffix); base.has_value()) {
    co_return co_await DumpIndex<TimeIndexView>(disk, path, *base, arguments.json());
  }
  co_return absl::InvalidArgumentError(fmt::format(
      "{}: 20 digits and .log, .index or .timeindex make a name that can be shown", path));
}

Task<int> Dump(Disk* disk, std::shared_ptr<LogArguments> arguments) {
  int exit_status = kExitOk;
  for (const std::string& path : arguments->paths) {
    absl::StatusOr<bool> sound = co_await DumpFile(*disk, path, *arguments);
    if (!sound.ok()) PrintError(sound.status());
    if (!sound.ok() || !*sound) exit_status = kExitFailed;
  }
  co_return exit_status;
}

// The segments at `path`, in order: itself; those in the folder; those in its folders.
Task<absl::StatusOr<std::vector<std::string>>> SegmentsAt(Disk& disk, std::string path,
                                                          int depth) {  // Borrowed: in place.
  std::vector<std::string> segments;
  if (path.ends_with(kLogSuffix)) {
    segments.push_back(path);
    co_return segments;
  }
  MR_CO_ASSIGN_OR_RETURN(std::vector<DirectoryEntry> entries, co_await disk.List(path));
  for (const DirectoryEntry& entry : entries) {
    std::string inside = JoinPath(path, entry.name);
    if (!entry.is_directory) {
      if (ParseSegmentFileName(entry.name, kLogSuffix).has_value()) {
        segments.push_back(std::move(inside));
      }
    } else if (depth > 0 && ParsePartitionDirectoryName(entry.name).has_value()) {
      MR_CO_ASSIGN_OR_RETURN(std::vector<std::string> more,
                             co_await SegmentsAt(disk, std::move(inside), depth - 1));
      segments.insert(segments.end(), more.begin(), more.end());
    }
  }
  co_return segments;
}

void PrintReport(const std::string& path, const SegmentReport& report, bool json_output) {
  const Findings& findings = report.findings;
  if (json_output) {
    JsonWriter json;
    json.BeginObject().Key("file").String(path).Key("sound").Bool(findings.count() == 0);
    json.Key("begin").Number(report.begin.value()).Key("end").Number(report.end.value());
    json.Key("batches").Number(static_cast<int64_t>(report.batches));
    json.Key("records").Number(static_cast<int64_t>(report.records));
    json.Key("bytes").Number(static_cast<int64_t>(report.bytes));
    json.Key("findings").BeginArray();
    for (const std::string& finding : findings.list()) json.String(finding);
    PrintOutput(json.EndArray().EndObject().text() + "\n");
  } else if (findings.count() == 0) {
    PrintOutput(fmt::format(
        "{}: sound: {} records in {} batches, offsets [{}, {}), {} bytes{}\n", path, report.records,
        report.batches, report.begin, report.end, report.bytes,
        report.unused_bytes == 0 ? "" : fmt::format(" and {} not used yet", report.unused_bytes)));
  }
  for (const std::string& finding : findings.list()) {
    PrintError(fmt::format("{}: {}", path, finding));
  }
  if (findings.count() > findings.list().size()) {
    PrintError(fmt::format("{}: and {} more", path, findings.count() - findings.list().size()));
  }
}

Task<int> Verify(Disk* disk, std::shared_ptr<LogArguments> arguments) {
  int exit_status = kExitOk;
  for (const std::string& path : arguments->paths) {
    absl::StatusOr<std::vector<std::string>> segments =
        co_await SegmentsAt(*disk, path, /*depth=*/1);
    if (segments.ok() && segments->empty()) {
      segments = absl::NotFoundError(fmt::format("{}: there are no segments", path));
    }
    if (!segments.ok()) {
      PrintError(segments.status());
      exit_status = kExitFailed;
      continue;
    }
    std::string folder;
    Offset end(0);
    for (const std::string& segment : *segments) {
      const std::string its_folder = segment.substr(0, segment.size() - FileName(segment).size());
      if (its_folder != folder) end = Offset(0);
      folder = its_folder;
      absl::StatusOr<SegmentReport> report = co_await VerifySegment(*disk, segment, end);
      if (!report.ok()) {
        PrintError(report.status());
        exit_status = kExitFailed;
        continue;
      }
      end = report->end;
      PrintReport(segment, *report, arguments->json());
      if (report->findings.count() > 0) exit_status = kExitFailed;
    }
  }
  co_return exit_status;
}

Task<int> Stat(Disk* disk, std::shared_ptr<LogArguments> arguments) {
  int exit_status = kExitOk;
  std::vector<PartitionStat> all;
  for (const std::string& path : arguments->paths) {
    absl::StatusOr<std::vector<PartitionStat>> stats = co_await StatPath(*disk, path);
    if (!stats.ok()) {
      PrintError(stats.status());
      exit_status = kExitFailed;
      continue;
    }
    for (PartitionStat& stat : *stats) {
      if (!stat.defect.empty()) PrintError(fmt::format("{}: {}", stat.folder, stat.defect));
      all.push_back(std::move(stat));
    }
  }
  PrintOutput(arguments->json() ? StatJson(all) : StatTable(all));
  co_return exit_status;
}

Task<void> RunAction(Disk* disk, LogAction action, std::shared_ptr<LogArguments> arguments,
                     int* exit_status) {
  *exit_status = co_await action(disk, std::move(arguments));
}

int RunOnDisk(LogAction action, std::shared_ptr<LogArguments> arguments) {
  SpdlogLogger logger(LogLevel::kError);
  absl::StatusOr<std::unique_ptr<RealWorld>> world =
      RealWorld::Create({.io = IoBackend::kEpoll}, logger);
  if (!world.ok()) {
    PrintError(world.status());
    return kExitFailed;
  }
  int exit_status = kExitFailed;
  (*world)->Run(
      RunAction(&(*world)->env(ShardId(0)).disk, action, std::move(arguments), &exit_status));
  return exit_status;
}

Command AddVerb(Command& log, ChosenCommand& chosen, const char* name, const char* what,
                const char* paths, LogAction action, std::shared_ptr<LogArguments> arguments) {
  Command verb = log.AddVerb(name, what);
  verb.AddOption("PATH", arguments->paths, paths).Required().TypeName("");
  verb.AddOption("-o,--output", arguments->output, "text or json (an object per line)")
      .TypeName("FORMAT")
      .ShowDefault()
      .Check(CheckOutputFormat);
  verb.OnChosen([arguments, action, &chosen] {
    chosen = [arguments, action] { return RunOnDisk(action, arguments); };
  });
  return verb;
}

}  // namespace

void AddLogCommand(Command& program, ChosenCommand& chosen) {
  Command log = program.AddVerb("log", "Look at the files of partitions, without a node");
  log.RequireVerb();
  auto dump = std::make_shared<LogArguments>();
  Command verb = AddVerb(log, chosen, "dump", "Show what segments and indexes hold",
                         "Files: .log, .index, .timeindex", Dump, dump);
  verb.AddFlag("--records,--print-data-log", dump->records, "Also each record, with key and value");
  AddVerb(log, chosen, "verify", "Check CRCs, records, offsets and indexes; reads only",
          "Segments, folders of partitions, or data directories", Verify,
          std::make_shared<LogArguments>());
  AddVerb(log, chosen, "stat", "How many segments, bytes and offsets there are",
          "Folders of partitions, or data directories", Stat, std::make_shared<LogArguments>());
}

}  // namespace millrace
