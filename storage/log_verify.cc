#include "storage/log_verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "common/status_macros.h"
#include "storage/log_files.h"
#include "storage/record/record_stream.h"
#include "storage/segment/segment_scanner.h"

namespace millrace {
namespace {

// Index files are taken in advance, and at most this large (segment.index.bytes is an int).
constexpr size_t kIndexBytesMax = size_t{1} << 31;
// What a batch may decompress to; far above what any client writes.
constexpr size_t kRecordsBytesMax = size_t{1} << 31;

// Empty when there is none.
Task<absl::StatusOr<Slice>> ReadIndex(Disk& disk, std::string path) {  // Borrowed: in place.
  absl::StatusOr<Slice> bytes = co_await ReadWholeFile(disk, std::move(path), kIndexBytesMax);
  if (absl::IsNotFound(bytes.status())) co_return Slice();
  co_return bytes;
}

Task<absl::StatusOr<bool>> OnlyZeroes(File& file, uint64_t begin,
                                      uint64_t end) {  // Borrowed: awaited in place.
  for (uint64_t position = begin; position < end;) {
    const auto length = static_cast<size_t>(std::min<uint64_t>(kScanWindowBytes, end - position));
    absl::StatusOr<Slice> piece = co_await file.ReadAt(position, length, ReadHint::kSequentialOnce);
    if (!piece.ok()) co_return piece.status();
    if (piece->empty()) break;
    if (!std::ranges::all_of(*piece, [](uint8_t byte) { return byte == 0; })) co_return false;
    position += piece->size();
  }
  co_return true;
}

Task<absl::Status> VerifyBatches(File& file, Offset offset_min, IndexAgreement& indexes,
                                 SegmentReport& report) {  // Borrowed: awaited in place.
  MR_CO_ASSIGN_OR_RETURN(uint64_t size, co_await file.Size());
  // A CRC that does not hold is a finding, and the walk goes on.
  SegmentScanner scanner(file, {.end = size, .offset_min = offset_min, .check_crc = false});
  Decompressor decompressor;
  std::optional<LeaderEpoch> epoch;
  for (;;) {
    MR_CO_ASSIGN_OR_RETURN(std::optional<BatchView> batch, co_await scanner.Next());
    if (!batch.has_value()) break;
    const BatchHeader& header = batch->header();
    const uint64_t position = scanner.batch_position();
    absl::Status sound = batch->CheckCrc();
    if (sound.ok()) sound = CheckBatchRecords(*batch, decompressor);
    if (!sound.ok()) {
      report.findings.Add(fmt::format("position {}, offset {}: {}", position, header.base_offset,
                                      std::string(sound.message())));
    }
    if (header.leader_epoch.has_value() && header.leader_epoch < epoch) {
      report.findings.Add(fmt::format("position {}, offset {}: leader epoch {} after {}", position,
                                      header.base_offset, header.leader_epoch->value(),
                                      epoch->value()));
    }
    epoch = std::max(epoch, header.leader_epoch);
    indexes.OnBatch(header, position, report.findings);
    ++report.batches;
    report.records += static_cast<uint64_t>(header.record_count);
  }
  report.bytes = scanner.position();
  report.end = scanner.next_offset();
  if (scanner.defect().empty()) co_return absl::OkStatus();
  MR_CO_ASSIGN_OR_RETURN(bool unused, co_await OnlyZeroes(file, report.bytes, size));
  if (unused) {
    report.unused_bytes = size - report.bytes;
  } else {
    report.readable = false;
    report.findings.Add(fmt::format("position {}: {}; {} bytes from there on cannot be read",
                                    report.bytes, scanner.defect(), size - report.bytes));
  }
  co_return absl::OkStatus();
}

}  // namespace

void IndexAgreement::OnBatch(const BatchHeader& header, uint64_t position, Findings& findings) {
  while (next_offset_entry_ < offsets_.size() &&
         offsets_[next_offset_entry_].position <= position) {
    const OffsetIndexEntry entry = offsets_[next_offset_entry_++];
    if (entry.position < position) {
      findings.Add(
          fmt::format("offset index: offset {} leads to position {}, where no batch begins",
                      entry.offset, entry.position));
    } else if (entry.offset < header.base_offset) {
      findings.Add(
          fmt::format("offset index: offset {} leads to position {}, behind it (the batch there "
                      "begins at offset {})",
                      entry.offset, entry.position, header.base_offset));
    }
  }
  // Entries whose offsets end before this batch speak of the batches so far.
  while (next_time_entry_ < times_.size() &&
         times_[next_time_entry_].offset < header.last_offset()) {
    const TimeIndexEntry entry = times_[next_time_entry_++];
    if (newest_.has_value() && *newest_ > entry.timestamp) {
      findings.Add(
          fmt::format("time index: nothing up to offset {} is said to be newer than {}, "
                      "but a batch is of {}",
                      entry.offset, entry.timestamp, *newest_));
    }
  }
  // One that compaction has emptied has no record of that time.
  if (header.record_count > 0) {
    newest_ = std::max(newest_.value_or(header.max_timestamp), header.max_timestamp);
  }
}

void IndexAgreement::Finish(Offset end, uint64_t log_bytes, Findings& findings) {
  for (; next_time_entry_ < times_.size(); ++next_time_entry_) {
    const TimeIndexEntry entry = times_[next_time_entry_];
    if (newest_.has_value() && *newest_ > entry.timestamp) {
      findings.Add(
          fmt::format("time index: nothing up to offset {} is said to be newer than {}, "
                      "but a batch is of {}",
                      entry.offset, entry.timestamp, *newest_));
    }
  }
  // Order and range, of what did not come up above as well.
  absl::Status sound = offsets_.Check(log_bytes);
  if (!sound.ok()) findings.Add(std::string(sound.message()));
  sound = times_.Check(end);
  if (!sound.ok()) findings.Add(std::string(sound.message()));
}

absl::Status CheckBatchRecords(const BatchView& batch, Decompressor& decompressor) {
  const BatchHeader& header = batch.header();
  std::optional<Compression> codec = header.attributes.compression();
  if (!codec.has_value()) return absl::DataLossError("an unknown codec");
  RecordStream stream(decompressor);
  stream.Start(*codec, batch.records(), header.record_count, kRecordsBytesMax);
  int64_t last_delta = -1;
  RecordHead head;
  while (stream.Next(head)) {
    bool has_key = false;
    if (!stream.SkipRest(has_key)) break;
    if (head.offset_delta <= last_delta || head.offset_delta > header.last_offset_delta) {
      return absl::DataLossError(fmt::format("offset delta {} after {}, in a batch up to {}",
                                             head.offset_delta, last_delta,
                                             header.last_offset_delta));
    }
    last_delta = head.offset_delta;
  }
  return stream.Finish();
}

Task<absl::StatusOr<SegmentReport>> VerifySegment(Disk& disk, std::string path, Offset offset_min) {
  const size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  std::optional<Offset> base = ParseSegmentFileName(name, kLogSuffix);
  if (!base.has_value()) {
    co_return absl::InvalidArgumentError(
        fmt::format("{}: the name of a segment is 20 digits and .log", path));
  }
  const std::string stem = path.substr(0, path.size() - kLogSuffix.size());
  MR_CO_ASSIGN_OR_RETURN(Slice offset_index,
                         co_await ReadIndex(disk, stem + std::string(kIndexSuffix)));
  MR_CO_ASSIGN_OR_RETURN(Slice time_index,
                         co_await ReadIndex(disk, stem + std::string(kTimeIndexSuffix)));
  MR_CO_ASSIGN_OR_RETURN(std::unique_ptr<File> file, co_await disk.Open(path, {.read_only = true}));
  IndexAgreement indexes(offset_index.span(), time_index.span(), *base);
  SegmentReport report;
  report.begin = *base;
  if (*base < offset_min) {
    report.findings.Add(
        fmt::format("it begins at offset {}, the segment before it ends at {}", *base, offset_min));
  }
  absl::Status verified = co_await VerifyBatches(*file, *base, indexes, report);
  (void)co_await file->Close();
  MR_CO_RETURN_IF_ERROR(verified);
  // What entries behind a defect should lead to is not known.
  if (report.readable) indexes.Finish(report.end, report.bytes, report.findings);
  co_return report;
}

}  // namespace millrace
