#include "cli/kafka/kafka_group_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace millrace {
namespace {

constexpr size_t kColumnMin = 15;

template <typename T>
std::string TextOf(const std::optional<T>& value) {
  return value.has_value() ? fmt::format("{}", *value) : "-";
}

// Cells to the left, a blank between; nothing is cut off, and the last is not filled up.
class Row {
 public:
  Row& Add(std::string_view cell, size_t width) {
    if (!first_) text_ += ' ';
    first_ = false;
    text_ += fmt::format("{:<{}}", cell, width);
    return *this;
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
  bool first_ = true;
};

void Widen(size_t& width, std::string_view cell) { width = std::max(width, cell.size()); }

}  // namespace

std::string KafkaGroupType(std::string_view wire) {
  if (wire.empty()) return "Unknown";
  std::string type(wire);
  type[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(type[0])));
  return type;
}

std::string KafkaGroupTable(const std::vector<ListedGroup>& groups, bool types, bool states) {
  constexpr size_t kSpare = 10;
  constexpr size_t kWidth = 20;
  size_t width = kColumnMin;
  for (const ListedGroup& group : groups) Widen(width, group.id);
  width += kSpare;
  auto line = [&](std::string_view id, std::string_view type, std::string_view state) {
    Row row;
    row.Add(id, width);
    if (types) row.Add(type, kWidth);
    if (states) row.Add(state, kWidth);
    return row.Take() + "\n";
  };
  std::string text = line("GROUP", "TYPE", "STATE");
  for (const ListedGroup& group : groups) {
    text +=
        line(group.id, KafkaGroupType(group.type), group.state.empty() ? "Unknown" : group.state);
  }
  return text;
}

std::string KafkaAllGroupsTable(const std::vector<ListedGroup>& groups) {
  size_t width = 20;
  for (const ListedGroup& group : groups) {
    Widen(width, group.id);
    Widen(width, group.protocol);
  }
  std::string text =
      Row().Add("GROUP", width).Add("TYPE", width).Add("PROTOCOL", width).Take() + "\n";
  for (const ListedGroup& group : groups) {
    const std::string type = group.type.empty() ? "" : KafkaGroupType(group.type);
    text += Row().Add(group.id, width).Add(type, width).Add(group.protocol, width).Take() + " \n";
  }
  return text;
}

std::string KafkaStateNotice(const GroupDetails& group) {
  if (group.state == "Empty") {
    return fmt::format("\nConsumer group '{}' has no active members.", group.id);
  }
  if (group.state == "Stable") return {};
  return fmt::format("\nWarning: Consumer group '{}' is rebalancing.", group.id);
}

std::string KafkaOffsetsText(const GroupDescription& description, bool verbose) {
  const GroupDetails& group = description.group;
  if (description.partitions.empty()) return {};
  size_t group_width = kColumnMin;
  size_t topic_width = kColumnMin;
  size_t member_width = kColumnMin;
  size_t host_width = kColumnMin;
  Widen(group_width, group.id);
  for (const GroupPartition& one : description.partitions) {
    Widen(topic_width, one.place.topic);
    if (!one.member.has_value()) continue;
    Widen(member_width, group.members[*one.member].member_id);
    Widen(host_width, group.members[*one.member].host);
  }
  auto line = [&](std::string_view id, std::string_view topic, std::string_view partition,
                  std::string_view epoch, std::string_view offset, std::string_view end,
                  std::string_view lag, std::string_view member, std::string_view host,
                  std::string_view client) {
    Row row;
    row.Add(id, group_width).Add(topic, topic_width).Add(partition, 10);
    if (verbose) row.Add(epoch, 15);
    row.Add(offset, 15).Add(end, 15).Add(lag, 15);
    return "\n" + row.Add(member, member_width).Add(host, host_width).Add(client, 0).Take();
  };
  std::string text = line("GROUP", "TOPIC", "PARTITION", "LEADER-EPOCH", "CURRENT-OFFSET",
                          "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID");
  for (const GroupPartition& one : description.partitions) {
    const GroupMemberView* member = one.member.has_value() ? &group.members[*one.member] : nullptr;
    text +=
        line(group.id, one.place.topic, fmt::format("{}", one.place.partition),
             TextOf(one.leader_epoch), TextOf(one.committed), TextOf(one.log_end),
             TextOf(one.lag()), member == nullptr ? "-" : member->member_id,
             member == nullptr ? "-" : member->host, member == nullptr ? "-" : member->client_id);
  }
  return text + "\n";
}

std::string KafkaMembersText(const GroupDetails& group, bool verbose) {
  size_t group_width = kColumnMin;
  size_t member_width = kColumnMin;
  size_t instance_width = 17;
  size_t host_width = kColumnMin;
  size_t client_width = kColumnMin;
  size_t assignment_width = 20;
  bool instances = false;
  for (const GroupMemberView& member : group.members) {
    Widen(group_width, group.id);
    Widen(member_width, member.member_id);
    Widen(instance_width, member.instance_id.value_or(""));
    Widen(host_width, member.host);
    Widen(client_width, member.client_id);
    Widen(assignment_width, AssignmentText(member.assignment));
    instances = instances || member.instance_id.has_value();
  }
  auto line = [&](std::string_view id, std::string_view member, std::string_view instance,
                  std::string_view host, std::string_view client, std::string_view count,
                  std::array<std::string_view, 4> details) {
    Row row;
    row.Add(id, group_width).Add(member, member_width);
    if (instances) row.Add(instance, instance_width);
    row.Add(host, host_width).Add(client, client_width).Add(count, 15);
    if (!verbose) return row.Take() + " \n";
    row.Add(details[0], 15).Add(details[1], assignment_width).Add(details[2], 15);
    return row.Add(details[3], 20).Take() + "\n";
  };
  std::string text =
      "\n" + line("GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS",
                  {"CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT"});
  for (const GroupMemberView& member : group.members) {
    // Epochs and targets are for groups of the new protocol.
    text += line(group.id, member.member_id, member.instance_id.value_or(""), member.host,
                 member.client_id, fmt::format("{}", member.assignment.size()),
                 {"-", AssignmentText(member.assignment), "-", "-"});
  }
  return text;
}

std::string KafkaStateText(const GroupDescription& description, bool verbose) {
  const GroupDetails& group = description.group;
  const std::string coordinator =
      fmt::format("{}  ({})", description.coordinator_address, group.coordinator);
  size_t group_width = kColumnMin;
  size_t coordinator_width = 25;
  Widen(group_width, group.id);
  Widen(coordinator_width, coordinator);
  auto line = [&](std::string_view id, std::string_view at, std::string_view strategy,
                  std::string_view state, std::string_view epoch, std::string_view target,
                  std::string_view members) {
    Row row;
    row.Add(id, group_width).Add(at, coordinator_width).Add(strategy, 20).Add(state, 20);
    if (verbose) row.Add(epoch, 15).Add(target, 25);
    return "\n" + row.Add(members, 0).Take();
  };
  return line("GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "GROUP-EPOCH",
              "TARGET-ASSIGNMENT-EPOCH", "#MEMBERS") +
         line(group.id, coordinator, group.protocol.empty() ? "-" : group.protocol, group.state,
              "-", "-", fmt::format("{}", group.members.size())) +
         "\n";
}

std::string KafkaResetText(const GroupPositions& offsets) {
  size_t group_width = kColumnMin;
  size_t topic_width = kColumnMin;
  for (const auto& [group, places] : offsets) {
    Widen(group_width, group);
    for (const auto& [place, offset] : places) Widen(topic_width, place.topic);
  }
  auto line = [&](std::string_view id, std::string_view topic, std::string_view partition,
                  std::string_view offset) {
    return "\n" + Row()
                      .Add(id, group_width)
                      .Add(topic, topic_width)
                      .Add(partition, 10)
                      .Add(offset, 0)
                      .Take();
  };
  std::string text = line("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET");
  for (const auto& [group, places] : offsets) {
    for (const auto& [place, offset] : places) {
      text +=
          line(group, place.topic, fmt::format("{}", place.partition), fmt::format("{}", offset));
    }
  }
  return text + "\n";
}

std::string KafkaResetCsv(const GroupPositions& offsets) {
  std::string text;
  for (const auto& [group, places] : offsets) {
    for (const auto& [place, offset] : places) {
      const std::string name = offsets.size() == 1 ? "" : group + ",";
      text += fmt::format("{}{},{},{}\n", name, place.topic, place.partition, offset);
    }
  }
  return text + "\n";
}

std::string KafkaDeletedOffsetsText(const PartitionStatuses& statuses) {
  size_t topic_width = kColumnMin;
  for (const auto& [place, status] : statuses) Widen(topic_width, place.topic);
  auto line = [&](std::string_view topic, std::string_view partition, std::string_view status) {
    return "\n" + Row().Add(topic, topic_width).Add(partition, 10).Add(status, 15).Take();
  };
  std::string text = line("TOPIC", "PARTITION", "STATUS");
  for (const auto& [place, status] : statuses) {
    text += line(place.topic, fmt::format("{}", place.partition),
                 status.ok() ? "Successful" : "Error: " + std::string(status.message()));
  }
  return text + "\n";
}

}  // namespace millrace
