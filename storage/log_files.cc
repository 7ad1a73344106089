#include "storage/log_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "common/error_kind.h"

namespace millrace {
namespace {

constexpr size_t kOffsetDigits = 20;
constexpr size_t kTopicNameMax = 249;
constexpr size_t kFileNameMax = 255;
constexpr std::string_view kDeletedEnd = "-delete";
constexpr std::string_view kStrayEnd = "-stray";

template <typename T>
std::optional<T> ParseNumber(std::string_view text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

absl::Status Damaged(std::string_view file, std::string_view why) {
  return MakeError(ErrorKind::kStorageError, absl::StatusCode::kDataLoss,
                   fmt::format("{}: {}", file, why));
}

// Takes the first line off `text`.
std::string_view TakeLine(std::string_view& text) {
  size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::vector<std::string_view> SplitFields(std::string_view line) {
  std::vector<std::string_view> fields;
  while (!line.empty()) {
    size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string_view::npos) break;
    line.remove_prefix(begin);
    size_t end = std::min(line.find_first_of(" \t"), line.size());
    fields.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  return fields;
}

std::string RetiredName(std::string_view topic, PartitionId partition, Uuid unique,
                        std::string_view end) {
  const std::string suffix = fmt::format(".{:016x}{:016x}{}", unique.high(), unique.low(), end);
  return PartitionDirectoryName(topic, partition).substr(0, kFileNameMax - suffix.size()) + suffix;
}

bool IsRetiredName(std::string_view name, std::string_view end) {
  return name.ends_with(end) && name.size() > end.size() + 33 &&
         name[name.size() - end.size() - 33] == '.';
}

}  // namespace

std::string SegmentFileName(Offset base, std::string_view suffix) {
  return fmt::format("{:020}{}", base.value(), suffix);
}

std::optional<Offset> ParseSegmentFileName(std::string_view name, std::string_view suffix) {
  if (name.size() != kOffsetDigits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  std::string_view digits = name.substr(0, kOffsetDigits);
  if (!std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  std::optional<int64_t> value = ParseNumber<int64_t>(digits);
  if (!value) return std::nullopt;
  return Offset(*value);
}

std::string PartitionDirectoryName(std::string_view topic, PartitionId partition) {
  return fmt::format("{}-{}", topic, partition);
}

std::optional<PartitionDirectory> ParsePartitionDirectoryName(std::string_view name) {
  size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0 || dash > kTopicNameMax) return std::nullopt;
  std::string_view topic = name.substr(0, dash);
  std::string_view digits = name.substr(dash + 1);
  if (digits.empty() || digits[0] < '0' || digits[0] > '9') return std::nullopt;
  std::optional<int32_t> partition = ParseNumber<int32_t>(digits);
  if (!partition || *partition < 0) return std::nullopt;
  // "foo-1.0123-delete" ends in a word and was refused above; "foo-01" is nobody's.
  if (digits.size() > 1 && digits[0] == '0') return std::nullopt;
  return PartitionDirectory{std::string(topic), PartitionId(*partition)};
}

std::string DeletedDirectoryName(std::string_view topic, PartitionId partition, Uuid unique) {
  return RetiredName(topic, partition, unique, kDeletedEnd);
}

std::string StrayDirectoryName(std::string_view topic, PartitionId partition, Uuid unique) {
  return RetiredName(topic, partition, unique, kStrayEnd);
}

std::string FutureDirectoryName(std::string_view topic, PartitionId partition, Uuid unique) {
  return fmt::format("{}.{:016x}{:016x}-future", PartitionDirectoryName(topic, partition),
                     unique.high(), unique.low());
}

std::optional<PartitionDirectory> ParseFutureDirectoryName(std::string_view name) {
  constexpr std::string_view kEnd = "-future";
  constexpr size_t kSuffix = 33 + kEnd.size();
  if (!name.ends_with(kEnd) || name.size() <= kSuffix || name[name.size() - kSuffix] != '.') {
    return std::nullopt;
  }
  return ParsePartitionDirectoryName(name.substr(0, name.size() - kSuffix));
}

bool IsDeletedDirectoryName(std::string_view name) { return IsRetiredName(name, kDeletedEnd); }

bool IsStrayDirectoryName(std::string_view name) { return IsRetiredName(name, kStrayEnd); }

std::string JoinPath(std::string_view a, std::string_view b) { return fmt::format("{}/{}", a, b); }

std::string FormatPartitionMetadata(TopicId topic_id) {
  return fmt::format("version: 0\ntopic_id: {}", topic_id);
}

absl::StatusOr<TopicId> ParsePartitionMetadata(std::string_view text) {
  bool version_ok = false;
  std::optional<TopicId> id;
  while (!text.empty()) {
    std::string_view line = TakeLine(text);
    size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::vector<std::string_view> value = SplitFields(line.substr(colon + 1));
    if (value.size() != 1) return Damaged(kPartitionMetadataFile, fmt::format("line '{}'", line));
    if (line.substr(0, colon) == "version") version_ok = value[0] == "0";
    if (line.substr(0, colon) == "topic_id") id = Uuid::Parse(value[0]);
  }
  if (!version_ok) return Damaged(kPartitionMetadataFile, "no 'version: 0'");
  if (!id || id->is_zero()) return Damaged(kPartitionMetadataFile, "no valid topic_id");
  return *id;
}

std::string FormatOffsetCheckpoint(const std::vector<OffsetCheckpointEntry>& entries) {
  std::string text = fmt::format("0\n{}\n", entries.size());
  for (const OffsetCheckpointEntry& entry : entries) {
    text += fmt::format("{} {} {}\n", entry.topic, entry.partition, entry.offset);
  }
  return text;
}

absl::StatusOr<std::vector<OffsetCheckpointEntry>> ParseOffsetCheckpoint(std::string_view text) {
  constexpr std::string_view kName = "offset checkpoint";
  if (std::string_view version = TakeLine(text); version != "0") {
    return Damaged(kName, fmt::format("version '{}', not 0", version));
  }
  std::string_view count_line = TakeLine(text);
  std::optional<int64_t> count = ParseNumber<int64_t>(count_line);
  if (!count || *count < 0) return Damaged(kName, fmt::format("count '{}'", count_line));
  std::vector<OffsetCheckpointEntry> entries;
  while (!text.empty()) {
    std::string_view line = TakeLine(text);
    std::vector<std::string_view> fields = SplitFields(line);
    if (fields.empty()) continue;
    if (fields.size() != 3) return Damaged(kName, fmt::format("line '{}'", line));
    std::optional<int32_t> partition = ParseNumber<int32_t>(fields[1]);
    std::optional<int64_t> offset = ParseNumber<int64_t>(fields[2]);
    if (!partition || !offset || *partition < 0 || *offset < 0) {
      return Damaged(kName, fmt::format("line '{}'", line));
    }
    entries.push_back({std::string(fields[0]), PartitionId(*partition), Offset(*offset)});
  }
  if (static_cast<int64_t>(entries.size()) != *count) {
    return Damaged(kName, fmt::format("{} entries instead of {}", entries.size(), *count));
  }
  return entries;
}

std::string FormatCleanShutdown(std::optional<BrokerEpoch> epoch) {
  return fmt::format("{{\"version\":0,\"brokerEpoch\":{}}}", epoch ? epoch->value() : -1);
}

}  // namespace millrace
