#include "cli/group/reset_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/status_macros.h"

namespace millrace {
namespace {

template <typename Number>
std::optional<Number> NumberOf(std::string_view text) {
  Number value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> SplitAt(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

NewPosition Clamped(int64_t wanted, const PartitionFacts& facts) {
  if (wanted > facts.end.value()) {
    return {facts.end, fmt::format("{} lies behind the end, so it becomes {}", wanted, facts.end)};
  }
  if (wanted < facts.begin.value()) {
    return {facts.begin,
            fmt::format("{} lies before the first offset, so it becomes {}", wanted, facts.begin)};
  }
  return {Offset(wanted), {}};
}

// What a target makes of one partition.
struct Planner {
  const std::string& group;
  const TopicPartition& place;
  const PartitionFacts& facts;
  using Result = absl::StatusOr<NewPosition>;

  Result operator()(const ResetToEarliest&) const { return NewPosition{facts.begin, {}}; }
  Result operator()(const ResetToLatest&) const { return NewPosition{facts.end, {}}; }
  Result operator()(const ResetToCurrent&) const {
    return NewPosition{facts.committed.value_or(facts.end), {}};
  }
  Result operator()(const ResetToOffset& to) const { return Clamped(to.offset, facts); }
  Result operator()(const ResetShiftBy& shift) const {
    if (!facts.committed.has_value()) {
      return absl::FailedPreconditionError("there is no position that could be shifted");
    }
    int64_t wanted = 0;
    if (__builtin_add_overflow(facts.committed->value(), shift.count, &wanted)) {
      wanted = shift.count < 0 ? INT64_MIN : INT64_MAX;
    }
    return Clamped(wanted, facts);
  }
  Result operator()(const ResetToTime&) const {
    if (facts.at_time.has_value()) return NewPosition{*facts.at_time, {}};
    return NewPosition{facts.end, "no record is as young, so it becomes the end", true};
  }
  Result operator()(const ResetFromFile& file) const {
    auto of_group = file.positions.find(group);
    if (of_group != file.positions.end()) {
      if (auto found = of_group->second.find(place); found != of_group->second.end()) {
        return Clamped(found->second.value(), facts);
      }
    }
    return absl::NotFoundError("the file has no position for it");
  }
};

}  // namespace

absl::StatusOr<NewPosition> PlanReset(const ResetTarget& target, const std::string& group,
                                      const TopicPartition& place, const PartitionFacts& facts) {
  return std::visit(Planner{group, place, facts}, target);
}

absl::StatusOr<TopicScope> ParseTopicScope(std::string_view text) {
  const std::vector<std::string_view> parts = SplitAt(text, ':');
  absl::Status wrong = absl::InvalidArgumentError(
      fmt::format("'{}' names no partitions: TOPIC and TOPIC:0,1 are accepted", text));
  if (parts.size() > 2 || parts[0].empty()) return wrong;
  TopicScope scope{std::string(parts[0]), {}};
  if (parts.size() == 1) return scope;
  for (std::string_view number : SplitAt(parts[1], ',')) {
    std::optional<int32_t> partition = NumberOf<int32_t>(number);
    if (!partition.has_value() || *partition < 0) return wrong;
    scope.partitions.emplace_back(*partition);
  }
  return scope;
}

absl::StatusOr<GroupPositions> ParsePositions(std::string_view text,
                                              const std::optional<std::string>& only_group) {
  GroupPositions positions;
  int number = 0;
  for (std::string_view line : SplitAt(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    std::vector<std::string_view> cells = SplitAt(line, ',');
    // Kafka quotes names that hold anything but letters and digits, and doubles no quote: names of
    // topics have none.
    for (std::string_view& cell : cells) {
      if (cell.size() >= 2 && cell.starts_with('"') && cell.ends_with('"')) {
        cell = cell.substr(1, cell.size() - 2);
      }
    }
    const bool has_group = cells.size() == 4;
    if (!has_group && cells.size() == 3 && only_group.has_value()) {
      cells.insert(cells.begin(), *only_group);
    }
    const std::optional<int32_t> partition =
        cells.size() == 4 ? NumberOf<int32_t>(cells[2]) : std::nullopt;
    const std::optional<int64_t> offset =
        cells.size() == 4 ? NumberOf<int64_t>(cells[3]) : std::nullopt;
    if (!partition.has_value() || !offset.has_value() || *partition < 0 || *offset < 0) {
      return absl::InvalidArgumentError(fmt::format(
          "line {}: '{}' is not {}", number, line,
          only_group.has_value() ? "TOPIC,PARTITION,OFFSET or GROUP,TOPIC,PARTITION,OFFSET"
                                 : "GROUP,TOPIC,PARTITION,OFFSET"));
    }
    positions[std::string(cells[0])].insert_or_assign(
        TopicPartition{std::string(cells[1]), PartitionId(*partition)}, Offset(*offset));
  }
  return positions;
}

}  // namespace millrace
