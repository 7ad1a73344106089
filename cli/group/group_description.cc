#include "cli/group/group_description.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <string_view>
#include <utility>

#include "cli/text_table.h"

namespace millrace {
namespace {

template <typename T>
std::string TextOf(const std::optional<T>& value) {
  return value.has_value() ? fmt::format("{}", *value) : "-";
}

void AddField(std::string& text, std::string_view name, std::string_view value) {
  text += fmt::format("{:<12} {}\n", name, value.empty() ? "-" : value);
}

std::string PartitionRows(const GroupDescription& description) {
  using enum TextTable::Align;
  TextTable table({{"TOPIC", kLeft},
                   {"PARTITION", kRight},
                   {"COMMITTED", kRight},
                   {"LOG-END", kRight},
                   {"LAG", kRight},
                   {"LAG-SECONDS", kRight},
                   {"MEMBER", kLeft},
                   {"HOST", kLeft},
                   {"CLIENT-ID", kLeft}});
  std::vector<const GroupPartition*> sorted;
  for (const GroupPartition& one : description.partitions) sorted.push_back(&one);
  std::ranges::sort(sorted, {}, [](const GroupPartition* one) { return one->place; });
  for (const GroupPartition* one : sorted) {
    const GroupMemberView* member =
        one->member.has_value() ? &description.group.members[*one->member] : nullptr;
    table.AddRow({one->place.topic, fmt::format("{}", one->place.partition), TextOf(one->committed),
                  TextOf(one->log_end), TextOf(one->lag()), SecondsText(one->age),
                  member != nullptr ? member->member_id : "-",
                  member != nullptr ? member->host : "-",
                  member != nullptr ? member->client_id : "-"});
  }
  return table.ToString();
}

std::string MemberRows(const GroupDetails& group) {
  using enum TextTable::Align;
  TextTable table({{"MEMBER", kLeft},
                   {"INSTANCE", kLeft},
                   {"HOST", kLeft},
                   {"CLIENT-ID", kLeft},
                   {"PARTITIONS", kRight},
                   {"ASSIGNMENT", kLeft}});
  for (const GroupMemberView& member : group.members) {
    table.AddRow({member.member_id, member.instance_id.value_or("-"), member.host, member.client_id,
                  fmt::format("{}", member.assignment.size()), AssignmentText(member.assignment)});
  }
  return table.ToString();
}

void MemberJson(const GroupMemberView& member, JsonWriter& json) {
  json.BeginObject().Key("member").String(member.member_id);
  json.Key("instance");
  if (member.instance_id.has_value()) {
    json.String(*member.instance_id);
  } else {
    json.Null();
  }
  json.Key("host").String(member.host).Key("client_id").String(member.client_id);
  json.Key("assignment").BeginArray();
  for (const TopicPartition& place : member.assignment) {
    json.BeginObject().Key("topic").String(place.topic);
    json.Key("partition").Number(place.partition.value()).EndObject();
  }
  json.EndArray().EndObject();
}

std::optional<int64_t> ValueOf(const std::optional<Offset>& offset) {
  return offset.has_value() ? std::optional(offset->value()) : std::nullopt;
}

}  // namespace

std::optional<int64_t> GroupPartition::lag() const {
  if (!committed.has_value() || !log_end.has_value()) return std::nullopt;
  return (*log_end - *committed).value();
}

std::optional<int64_t> GroupDescription::total_lag() const {
  int64_t total = 0;
  for (const GroupPartition& one : partitions) {
    if (!one.committed.has_value()) continue;
    if (!one.log_end.has_value()) return std::nullopt;
    total += *one.lag();
  }
  return total;
}

std::optional<Duration> GroupDescription::age_max() const {
  std::optional<Duration> oldest;
  for (const GroupPartition& one : partitions) {
    if (!one.committed.has_value()) continue;
    const std::optional<int64_t> lag = one.lag();
    if (!lag.has_value()) return std::nullopt;
    const std::optional<Duration> age = *lag <= 0 ? Duration(0) : one.age;
    if (!age.has_value()) return std::nullopt;
    oldest = std::max(oldest, age);  // Nothing is less than anything.
  }
  return oldest;
}

std::vector<GroupPartition> PartitionsOf(const GroupDetails& group,
                                         const CommittedPositions& committed) {
  std::vector<GroupPartition> partitions;
  std::set<TopicPartition> assigned;
  auto add = [&](const TopicPartition& place, std::optional<size_t> member) {
    GroupPartition one{place, std::nullopt, std::nullopt, std::nullopt, member, std::nullopt};
    if (auto found = committed.find(place); found != committed.end()) {
      one.committed = found->second.offset;
      one.leader_epoch = found->second.leader_epoch;
    }
    partitions.push_back(std::move(one));
  };
  std::vector<size_t> order(group.members.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&group](size_t member) {
    return std::pair(-static_cast<int64_t>(group.members[member].assignment.size()), member);
  });
  for (size_t member : order) {
    for (const TopicPartition& place : group.members[member].assignment) {
      assigned.insert(place);
      add(place, member);
    }
  }
  for (const auto& [place, offset] : committed) {
    if (!assigned.contains(place)) add(place, std::nullopt);
  }
  return partitions;
}

std::string AssignmentText(const ConsumerAssignment& assignment) {
  std::string text;
  std::string_view topic;
  for (const TopicPartition& place : assignment) {
    if (text.empty() || topic != place.topic) {
      text += fmt::format("{}{}:{}", text.empty() ? "" : ";", place.topic, place.partition);
    } else {
      text += fmt::format(",{}", place.partition);
    }
    topic = place.topic;
  }
  return text.empty() ? "-" : text;
}

std::optional<int64_t> MillisecondsOf(const std::optional<Duration>& age) {
  if (!age.has_value()) return std::nullopt;
  return std::chrono::duration_cast<milliseconds>(*age).count();
}

std::string SecondsText(const std::optional<Duration>& age) {
  if (!age.has_value()) return "-";
  return fmt::format("{:.1f}", std::chrono::duration<double>(*age).count());
}

std::string GroupText(const GroupDescription& description, bool members) {
  const GroupDetails& group = description.group;
  std::string text;
  AddField(text, "GROUP", group.id);
  AddField(text, "STATE", group.state);
  AddField(text, "PROTOCOL", group.protocol);
  AddField(text, "COORDINATOR",
           fmt::format("{} ({})", group.coordinator, description.coordinator_address));
  AddField(text, "MEMBERS", fmt::format("{}", group.members.size()));
  AddField(text, "TOTAL-LAG", TextOf(description.total_lag()));
  // Where ages were asked for.
  if (!members) AddField(text, "LAG-SECONDS", SecondsText(description.age_max()));
  if (members && !group.members.empty()) text += "\n" + MemberRows(group);
  if (!members && !description.partitions.empty()) text += "\n" + PartitionRows(description);
  return text;
}

void GroupJson(const GroupDescription& description, JsonWriter& json) {
  const GroupDetails& group = description.group;
  json.BeginObject().Key("group").String(group.id).Key("state").String(group.state);
  json.Key("protocol_type").String(group.protocol_type);
  json.Key("protocol").String(group.protocol);
  json.Key("coordinator").Number(group.coordinator.value());
  json.Key("coordinator_address").String(description.coordinator_address);
  json.Key("total_lag").OptionalNumber(description.total_lag());
  json.Key("lag_ms_max").OptionalNumber(MillisecondsOf(description.age_max()));
  json.Key("members").BeginArray();
  for (const GroupMemberView& member : group.members) MemberJson(member, json);
  json.EndArray().Key("partitions").BeginArray();
  for (const GroupPartition& one : description.partitions) {
    json.BeginObject().Key("topic").String(one.place.topic);
    json.Key("partition").Number(one.place.partition.value());
    json.Key("committed").OptionalNumber(ValueOf(one.committed));
    json.Key("log_end").OptionalNumber(ValueOf(one.log_end));
    json.Key("lag").OptionalNumber(one.lag());
    json.Key("lag_ms").OptionalNumber(MillisecondsOf(one.age));
    json.Key("member");
    if (one.member.has_value()) {
      json.String(group.members[*one.member].member_id);
    } else {
      json.Null();
    }
    json.EndObject();
  }
  json.EndArray().EndObject();
}

}  // namespace millrace
